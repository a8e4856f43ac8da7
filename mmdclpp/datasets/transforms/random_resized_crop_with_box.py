"""A random crop that tells where it lies."""

from typing import Tuple

import numpy as np
from mmpretrain.datasets.transforms import RandomResizedCrop

from mmdclpp.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomResizedCropWithBox(RandomResizedCrop):
    """``RandomResizedCrop`` with the same arguments, draws and pixels, which records what it cut out.

    Adds ``crop_box``, ``(x0, y0, x1, y1)``: the crop's edges in the image that came in, as shares of its width and
    height. In terms of the original image it is right if neither another crop nor a flip came before.
    """

    def rand_crop_params(self, img: np.ndarray) -> Tuple[int, int, int, int]:
        """Draw a crop and remember it.

        Args:
            img (np.ndarray): Image to be cropped, shape ``(H, W, 3)``.

        Returns:
            tuple: Top, left, height and width, in pixels.
        """
        self._crop = super().rand_crop_params(img)
        return self._crop

    def transform(self, results: dict) -> dict:
        """Crop and resize the image of a sample."""
        height, width = results['img'].shape[:2]
        results = super().transform(results)
        top, left, crop_height, crop_width = self._crop
        results['crop_box'] = (
            left / width,
            top / height,
            (left + crop_width) / width,
            (top + crop_height) / height,
        )
        return results
