"""From an image file to views, in one step."""

from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmdclpp.datasets.decode_image import decode_image, image_size
from mmdclpp.datasets.load_image import BrokenImageError, LoadImage, read_image_file
from mmdclpp.datasets.sample_seeds import SampleSeeds
from mmdclpp.errors import UserError
from mmdclpp.registry import TRANSFORMS

from .multi_view_with_geometry import MultiViewWithGeometry
from .view_recipe import ViewRecipe

BACKENDS = ('batched', 'mmpretrain')
Box = Tuple[int, int, int, int]  # top, left, height, width


@TRANSFORMS.register_module()
class LoadViews(BaseTransform):
    """Random views of an image file: ``LoadImage`` and ``MultiView`` in one, in about a quarter of the time.

    The recipe is written as for mmpretrain's ``MultiView``. Its crops are drawn before the file is decoded: once, and
    at half, a quarter or an eighth of the resolution where all of them have as many pixels as their views also there.
    Each is cut out and resized in one step, with antialiasing, as Pillow does it. Colour jitter, grey, blur and
    solarisation are drawn here and computed for the whole batch, on the GPU where there is one, by
    :class:`~mmdclpp.models.data_preprocessors.ViewDataPreprocessor`. docs/data-path.md has what differs from
    mmpretrain's, and docs/performance.md how fast it is.

    Adds, for ``PackInputs(meta_keys=...)``:

    - ``img``: the views, each uint8 of shape ``(3, H, W)``, BGR
    - ``view_boxes``, ``view_flips``: where they lie, as :class:`MultiViewWithGeometry` has it
    - ``view_photometric``: what is still to be done, float32 of shape ``(num_views, 8)``, a row of
      :class:`~mmdclpp.core.photometric.Photometric` each
    - ``ori_shape``: height and width of the image, ``img_shape``: of the first view

    Args:
        transforms (List[List[dict]]): The transforms of each kind of view; those that ``ViewRecipe.of``
            reads.
        num_views (int | List[int]): How many views of each kind.
        backend (str): ``'batched'``, or ``'mmpretrain'``: LoadImage and mmpretrain's own transforms, one by one on the
            CPU, any of them. Defaults to ``'batched'``.
        backend_args (dict, optional): Arguments of mmengine's file backend. Defaults to None, which chooses by path.

    Raises:
        BrokenImageError: If the file cannot be read or decoded.
        UserError: If an argument is wrong.
    """

    def __init__(
        self,
        transforms: List[List[dict]],
        num_views: Union[int, Sequence[int]] = 2,
        backend: str = 'batched',
        backend_args: Optional[dict] = None,
    ) -> None:
        numbers = num_views if isinstance(num_views, (list, tuple)) else [num_views]
        if backend not in BACKENDS:
            raise UserError(f'LoadViews.backend={backend!r} is unknown: use one of {", ".join(map(repr, BACKENDS))}')
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            raise UserError(f'LoadViews.num_views={num_views!r} must be a whole number of 1 or more, or a list of them')
        if not all(isinstance(kind, (list, tuple)) for kind in transforms):
            raise UserError('LoadViews.transforms must be a list of lists, one for each kind of view: [view_pipeline]')
        if not transforms or len(numbers) != len(transforms):
            raise UserError(
                f'LoadViews.num_views={num_views} does not fit {len(transforms)} lists of transforms: give one each'
            )
        self.sample_seeds = SampleSeeds()
        self.backend_args = backend_args
        self.transforms: List[BaseTransform] = []
        self.recipes: List[ViewRecipe] = []
        if backend == 'mmpretrain':
            self.transforms = [LoadImage(backend_args=backend_args), MultiViewWithGeometry(transforms, list(numbers))]
        else:
            recipes = map(ViewRecipe.of, transforms)
            self.recipes = [recipe for recipe, number in zip(recipes, numbers) for _ in range(number)]

    @property
    def leaves_photometric(self) -> bool:
        """Whether the views still have to be changed by ``ViewDataPreprocessor``."""
        return any(recipe.jitter or recipe.grey or recipe.blur or recipe.solarise for recipe in self.recipes)

    def transform(self, results: dict) -> dict:
        """Make the views of a sample."""
        index = results.get('sample_idx')
        if self.transforms:
            with self.sample_seeds.global_states(index):
                for transform in self.transforms:
                    results = transform(results)
            return results
        random = self.sample_seeds.generator(index)
        # What stays comes before what is freed again: behind an image in memory it would leave a gap.
        views = [torch.from_numpy(np.empty((3, *recipe.size), np.uint8)) for recipe in self.recipes]
        flips = [recipe.draw_flip(random) for recipe in self.recipes]
        photometric = np.array([recipe.draw_photometric(random) for recipe in self.recipes], np.float32)
        data = read_image_file(results, self.backend_args)
        try:
            image, reduction, shape, crops = self._decode(data, random)
        except OSError as error:
            raise BrokenImageError.undecodable(results['img_path'], data, error) from None
        for arguments in zip(views, crops, flips, self.recipes):
            _fill(image, *arguments)
        results.update(
            img=views,
            img_shape=tuple(views[0].shape[1:]),
            ori_shape=shape,
            view_boxes=[_shares(crop, reduction, shape) for crop in crops],
            view_flips=flips,
            view_photometric=photometric,
        )
        return results

    def _decode(self, data: bytes, random: np.random.Generator) -> Tuple[np.ndarray, int, Tuple[int, int], List[Box]]:
        """The image, at what reduction, the shape of the whole, and crops in pixels of the reduced image."""
        size = image_size(data)
        if size is None or size.reductions == (1,):
            image = decode_image(data, size=size)
            shape = image.shape[:2]
            return image, 1, shape, [recipe.draw_crop(random, *shape) for recipe in self.recipes]
        shape = (size.height, size.width)
        crops = [recipe.draw_crop(random, *shape) for recipe in self.recipes]
        spare = min(
            min(height / recipe.size[0], width / recipe.size[1])
            for (_, _, height, width), recipe in zip(crops, self.recipes)
        )
        reduction = max(factor for factor in size.reductions if factor <= max(spare, 1))
        image = decode_image(data, reduction=reduction, size=size)
        return image, reduction, shape, [_reduced(crop, reduction, image.shape) for crop in crops]

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.recipes or self.transforms}, backend_args={self.backend_args})'


def _reduced(crop: Box, reduction: int, shape: Sequence[int]) -> Box:
    """A crop in the pixels of a reduced image, moved to whole ones."""
    top, left = (round(edge / reduction) for edge in crop[:2])
    bottom, right = (round((crop[axis] + crop[axis + 2]) / reduction) for axis in (0, 1))
    return top, left, min(bottom, shape[0]) - top, min(right, shape[1]) - left


def _shares(crop: Box, reduction: int, shape: Sequence[int]) -> Tuple[float, float, float, float]:
    """Left, top, right and bottom edge of a crop, as shares of width and height."""
    top, left, height, width = crop
    # In pixels of the reduced image, the last of which may lie partly outside.
    whole_height, whole_width = (length / reduction for length in shape)
    right, bottom = (left + width) / whole_width, (top + height) / whole_height
    return left / whole_width, top / whole_height, min(right, 1.0), min(bottom, 1.0)


def _fill(image: np.ndarray, view: Tensor, crop: Box, flip: bool, recipe: ViewRecipe) -> None:
    top, left, height, width = crop
    # Of shape (1, 3, H, W) on memory of (H, W, 3), as OpenCV has it: PyTorch resizes it as it is.
    pixels = torch.from_numpy(image[top : top + height, left : left + width])[None].permute(0, 3, 1, 2)
    resized = F.interpolate(pixels, recipe.size, mode=recipe.interpolation, antialias=True)[0].permute(1, 2, 0).numpy()
    cv2.split(cv2.flip(resized, 1) if flip else resized, list(view.numpy()))  # a third of the time of PyTorch's copy
