"""Load an image, or name the file that cannot be loaded."""

import logging
from typing import Optional

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmengine.logging import print_log

from mmdclpp.errors import UserError
from mmdclpp.registry import TRANSFORMS
from mmdclpp.utils.files import printable

from .decode_image import decode_image, is_cut_off


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read and decode ``results['img_path']``.

    Like mmcv's ``LoadImageFromFile``, but a missing, broken or truncated file gives one line that names it, where
    decoders otherwise fail obscurely or, for truncated JPEGs, fill the rest with grey. With the default arguments,
    Pillow reads what OpenCV cannot (GIF, AVIF, TIFF of 32 bits), and samples of more than 8 bits are stretched from the
    image's own 0.1 to its 99.9 percentile.

    Adds ``img``, uint8 of shape ``(H, W, 3)`` (BGR), ``img_shape`` and ``ori_shape``, both ``(H, W)``.

    Args:
        color_type (str): How to decode, a flag of :func:`mmcv.imfrombytes`. Defaults to ``'color'``.
        imdecode_backend (str): What decodes, a backend of :func:`mmcv.imfrombytes`. Defaults to ``'cv2'``.
        backend_args (dict, optional): Arguments of mmengine's file backend. Defaults to None, which chooses by path.
        skip_broken (bool): Whether an image that cannot be loaded is told in the log, and mmengine's data sets draw
            another in its place, where otherwise it ends the run. Defaults to False.

    Raises:
        UserError: If the file is missing, unreadable or cut off, unless ``skip_broken``.
    """

    def __init__(
        self,
        color_type: str = 'color',
        imdecode_backend: str = 'cv2',
        backend_args: Optional[dict] = None,
        skip_broken: bool = False,
    ):
        self.color_type = color_type
        self.imdecode_backend = imdecode_backend
        self.backend_args = backend_args
        self.skip_broken = skip_broken

    def transform(self, results: dict) -> Optional[dict]:
        """Load the image of a sample; None says that it cannot be."""
        try:
            image = self._load(results['img_path'])
        except UserError as error:
            if not self.skip_broken:
                raise
            print_log(f'{error}. Another image takes its place.', logger='current', level=logging.WARNING)
            return None
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results

    def _load(self, path: str) -> np.ndarray:
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except OSError as error:
            raise UserError(
                f'cannot read image {printable(path)} ({error.strerror or error}): restore the file, or check '
                'data_root and data_prefix'
            ) from None
        try:
            image = self._decode(data)
        except (OSError, cv2.error):
            image = None
        if image is None:
            raise UserError(
                f'cannot decode image {printable(path)} (broken or cut off, {len(data)} bytes): restore the file or '
                'take it out of the data set'
            )
        return image

    def _decode(self, data: bytes) -> Optional[np.ndarray]:
        if (self.color_type, self.imdecode_backend) == ('color', 'cv2'):
            return decode_image(data)
        return None if is_cut_off(data) else mmcv.imfrombytes(data, self.color_type, backend=self.imdecode_backend)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(color_type={self.color_type!r}, '
            f'imdecode_backend={self.imdecode_backend!r}, backend_args={self.backend_args}, '
            f'skip_broken={self.skip_broken})'
        )
