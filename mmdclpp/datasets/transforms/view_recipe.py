"""What a view is made by, read from mmpretrain's transforms, and its random draws."""

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple, Union

import mmcv.transforms
import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.datasets import transforms as mmpretrain_transforms

from mmdclpp.core.photometric import ORDERS
from mmdclpp.errors import UserError
from mmdclpp.registry import TRANSFORMS

from .random_resized_crop_with_box import RandomResizedCropWithBox

Range = Tuple[float, float]
# The luma of blue, green and red that torchvision and Pillow take.
_LUMA = (0.114, 0.587, 0.299)
_REMEDY = "change it, or let mmpretrain make the views: LoadViews(backend='mmpretrain')"


@dataclass
class ViewRecipe:
    """The published recipe of a view: crop, flip, colour jitter, grey, blur, solarise.

    Ranges are uniform. Probabilities are those of applying a change at all.

    Attributes:
        size (Tuple[int, int]): Height and width of the view.
        area (Range): Of the crop, as share of the image's.
        aspect (Range): Width over height of the crop; its logarithm is uniform.
        max_attempts (int): Crops that are drawn until one fits into the image; then it is the centre.
        interpolation (str): ``'bilinear'`` or ``'bicubic'``.
        flip (float): Probability of mirroring left to right.
        jitter (float): Probability of the colour jitter, in random order.
        brightness, contrast, saturation (Range): Factors.
        hue (Range): Shift in turns.
        grey (float): Probability of taking the colours out.
        blur (float): Probability of the Gaussian blur.
        sigma (Range): Of the Gaussian, in pixels of the view.
        solarise (float): Probability of inverting bright values.
        threshold (float): From where on, in [0, 1].
    """

    size: Tuple[int, int]
    area: Range
    aspect: Range
    max_attempts: int
    interpolation: str
    flip: float = 0.0
    jitter: float = 0.0
    brightness: Range = (1, 1)
    contrast: Range = (1, 1)
    saturation: Range = (1, 1)
    hue: Range = (0, 0)
    grey: float = 0.0
    blur: float = 0.0
    sigma: Range = (0, 0)
    solarise: float = 0.0
    threshold: float = math.inf

    @classmethod
    def of(cls, transforms: Sequence[Union[dict, BaseTransform]]) -> 'ViewRecipe':
        """Read a view's transforms.

        They are mmpretrain's ``RandomResizedCrop`` or our ``RandomResizedCropWithBox``, then any of ``ColorJitter``,
        ``RandomGrayscale``, ``GaussianBlur`` and ``Solarize`` in this order, and anywhere between or behind them
        ``RandomFlip``. Each stands once at most; all but the crop may stand in a ``RandomApply``.

        Args:
            transforms (Sequence[dict | BaseTransform]): The transforms, or their configs.

        Raises:
            UserError: If there is another, or one has arguments that cannot be obeyed.
        """
        built = (TRANSFORMS.build(transform) if isinstance(transform, dict) else transform for transform in transforms)
        found = [_unwrapped(transform) for transform in built]
        for transform, _ in found:
            # Classes that inherit from those known do otherwise.
            _require(type(transform) in _READERS, type(transform).__name__)
        readers = [_READERS[type(transform)] for transform, _ in found]
        # A flip may come anywhere: nothing else tells left from right.
        steps = [reader for reader in readers if reader is not _read_flip]
        in_order = steps == [reader for reader in _STEPS if reader in steps] and readers.count(_read_flip) < 2
        if readers[:1] != [_read_crop] or found[0][1] != 1 or not in_order:
            names = ', '.join(type(transform).__name__ for transform, _ in found)
            raise UserError(
                f'transforms: LoadViews cannot compute [{names}]: it takes RandomResizedCrop first and always, then '
                'ColorJitter, RandomGrayscale, GaussianBlur, Solarize in this order, and anywhere RandomFlip, each '
                f'once: {_REMEDY}'
            )
        fields = {}
        for reader, (transform, applied) in zip(readers, found):
            fields.update(reader(transform, applied))
        return cls(**fields)

    def __post_init__(self) -> None:
        for name in ('flip', 'jitter', 'grey', 'blur', 'solarise'):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f'transforms: the probability {getattr(self, name)} of {name} must lie in [0, 1]')
        if min(*self.area, *self.aspect) <= 0:
            raise UserError(
                f'transforms: crop_ratio_range={self.area} and aspect_ratio_range={self.aspect} of RandomResizedCrop '
                'must lie above 0'
            )
        if self.sigma[0] < 0:
            raise UserError(f'transforms: the sigma {self.sigma} of GaussianBlur must be 0 or more')

    def draw_crop(self, random: np.random.Generator, height: int, width: int) -> Tuple[int, int, int, int]:
        """Draw a crop as torchvision's and mmpretrain's ``RandomResizedCrop`` do.

        Args:
            random (np.random.Generator): Gives the draws.
            height (int): Of the image, in pixels.
            width (int): The same.

        Returns:
            Tuple[int, int, int, int]: Top, left, height and width, in pixels.
        """
        low, high = math.log(self.aspect[0]), math.log(self.aspect[1])
        for _ in range(self.max_attempts):
            area = random.uniform(*self.area) * height * width
            aspect = math.exp(random.uniform(low, high))
            crop_height, crop_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < crop_height <= height and 0 < crop_width <= width:
                top, left = random.integers((height - crop_height + 1, width - crop_width + 1)).tolist()
                return top, left, crop_height, crop_width
        aspect = min(max(width / height, self.aspect[0]), self.aspect[1])
        crop_height, crop_width = min(height, round(width / aspect)), min(width, round(height * aspect))
        return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width

    def draw_flip(self, random: np.random.Generator) -> bool:
        """Draw whether the view is mirrored."""
        return bool(random.random() < self.flip)

    def draw_photometric(self, random: np.random.Generator) -> List[float]:
        """Draw the rest, in the order of :class:`~mmdclpp.core.photometric.Photometric`."""
        order, factors, hue = 0, (1, 1, 1), 0
        if random.random() < self.jitter:
            order = random.integers(len(ORDERS))
            factors = [random.uniform(*span) for span in (self.brightness, self.contrast, self.saturation)]
            hue = random.uniform(*self.hue)
        grey = random.random() < self.grey
        sigma = random.uniform(*self.sigma) if random.random() < self.blur else 0
        threshold = self.threshold if random.random() < self.solarise else math.inf
        return [order, *factors, hue, grey, sigma, threshold]


def _unwrapped(transform: BaseTransform) -> Tuple[BaseTransform, float]:
    """The transform in a ``RandomApply``, and its probability."""
    applied = 1.0
    while isinstance(transform, mmcv.transforms.RandomApply):
        parts = transform.transforms.transforms
        _require(len(parts) == 1, f'RandomApply of {len(parts)} transforms')
        applied *= transform.prob
        transform = parts[0]
    return transform, applied


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise UserError(f'transforms: LoadViews cannot compute {what}: {_REMEDY}')


def _read_crop(crop: BaseTransform, _: float) -> dict:
    _require(crop.interpolation in ('bilinear', 'bicubic'), f'RandomResizedCrop.interpolation={crop.interpolation!r}')
    return dict(
        size=tuple(crop.scale),
        area=tuple(crop.crop_ratio_range),
        aspect=tuple(crop.aspect_ratio_range),
        max_attempts=crop.max_attempts,
        interpolation=crop.interpolation,
    )


def _read_flip(flip: BaseTransform, applied: float) -> dict:
    _require(isinstance(flip.prob, float), f'RandomFlip.prob={flip.prob!r}')
    _require(flip.direction == 'horizontal', f'RandomFlip.direction={flip.direction!r}')
    return dict(flip=applied * flip.prob)


def _read_jitter(jitter: BaseTransform, applied: float) -> dict:
    ranges = {name: getattr(jitter, name) for name in ('brightness', 'contrast', 'saturation', 'hue')}
    return dict(jitter=applied, **{name: span for name, span in ranges.items() if span is not None})


def _read_grey(grey: BaseTransform, applied: float) -> dict:
    weights = np.array(grey.channel_weights) / sum(grey.channel_weights)
    _require(
        len(weights) == 3 and np.allclose(weights, _LUMA, atol=2e-3),
        f'RandomGrayscale.channel_weights={grey.channel_weights!r} (but (0.114, 0.587, 0.2989))',
    )
    _require(grey.keep_channels and grey.color_format == 'bgr', 'RandomGrayscale without keep_channels, or not of BGR')
    return dict(grey=applied * grey.prob)


def _read_blur(blur: BaseTransform, applied: float) -> dict:
    if blur.radius is not None:
        sigma = (blur.radius, blur.radius)
    else:
        _require(blur.magnitude_std in ('inf', 0), f'GaussianBlur.magnitude_std={blur.magnitude_std!r}')
        low, high = blur.magnitude_range
        high = low + (high - low) * blur.magnitude_level / blur.total_level
        sigma = tuple(sorted((low if blur.magnitude_std == 'inf' else high, high)))
    return dict(blur=applied * blur.prob, sigma=sigma)


def _read_solarise(solarise: BaseTransform, applied: float) -> dict:
    _require(solarise.thr is not None, 'Solarize with magnitude_range')
    return dict(solarise=applied * solarise.prob, threshold=solarise.thr / 255)


_READERS = {
    mmpretrain_transforms.RandomResizedCrop: _read_crop,
    RandomResizedCropWithBox: _read_crop,
    mmcv.transforms.RandomFlip: _read_flip,
    mmpretrain_transforms.ColorJitter: _read_jitter,
    mmcv.transforms.RandomGrayscale: _read_grey,
    mmpretrain_transforms.GaussianBlur: _read_blur,
    mmpretrain_transforms.Solarize: _read_solarise,
}
# In the order in which the views are computed.
_STEPS = (_read_crop, _read_jitter, _read_grey, _read_blur, _read_solarise)
