"""Colour jitter, grey, blur and solarisation of a batch of images, each with parameters of its own.

The operations are those of torchvision (``torchvision.transforms.functional``) on float images, with which the tests
compare them. torchvision draws one set of parameters for a batch; here every image has its own, the order of the
jitter included, and images are changed in place.
"""

import itertools
import math
from functools import cache, partial
from typing import Callable, NamedTuple, Optional, Sequence, Union

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# The orders in which brightness, contrast, saturation and hue (0 ... 3) can be changed.
ORDERS = np.array(list(itertools.permutations(range(4))))
_LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as torchvision rounds it
_BLOCK = 16  # pixels that the blur computes at once: of 8, 16, 32, 64 the fastest on the CPU
_SIGMAS = 4  # of the Gaussian on each side: 6e-5 of its mass lie outside


Value = Union[float, Tensor]


class Photometric(NamedTuple):
    """How each of ``N`` images is changed, one after the other in the order of the attributes.

    Float arrays of shape ``(N, )``.

    Attributes:
        order (np.ndarray): Row of ``ORDERS``, in which the next four are taken.
        brightness (np.ndarray): Factor; 1 changes nothing.
        contrast (np.ndarray): Factor; 1 changes nothing.
        saturation (np.ndarray): Factor; 1 changes nothing.
        hue (np.ndarray): Shift in turns, in [-0.5, 0.5]; 0 changes nothing.
        grey (np.ndarray): Whether colours are taken out: 0 or 1.
        sigma (np.ndarray): Of the Gaussian blur, in pixels; 0 changes nothing.
        threshold (np.ndarray): In [0, 1], from which on values are inverted; infinity changes nothing.
    """

    order: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray
    hue: np.ndarray
    grey: np.ndarray
    sigma: np.ndarray
    threshold: np.ndarray

    @classmethod
    def of_rows(cls, rows: np.ndarray) -> 'Photometric':
        """From an array of shape ``(N, 8)``, the columns in the order of the attributes."""
        return cls(*np.asarray(rows, np.float32).T)


# Of one image, column by column.
UNCHANGED = (0, 1, 1, 1, 0, 0, 0, math.inf)


@torch.no_grad()
def change_photometry(images: Tensor, parameters: Photometric, compiled: bool = False) -> Tensor:
    """Change images as ``parameters`` say.

    Args:
        images (Tensor): RGB in [0, 1], float32 of shape ``(N, 3, H, W)``. Changed in place.
        parameters (Photometric): Of each image.
        compiled (bool): Whether to compile the jitter with ``torch.compile``, which then reads and writes the images
            once where some twenty operations did. Of no consequence on a CPU. Defaults to False.

    Returns:
        Tensor: ``images``.
    """
    with torch.autocast(images.device.type, enabled=False):
        if images.device.type == 'cpu':
            # One after the other they stay in the core's cache: in half the time of all together.
            for image, *values in zip(images, *(column.tolist() for column in parameters), strict=True):
                planes = image.contiguous()
                _change_one(planes, Photometric(*values))
                image.copy_(planes)  # of itself: nothing is done
        else:
            _change_all(images, parameters, compiled)
    return images


@torch.inference_mode()  # of many small operations, PyTorch's own bookkeeping is a part that is felt
def _change_one(image: Tensor, parameters: Photometric) -> None:
    """Change an image on the CPU, contiguous and of shape ``(3, H, W)``."""
    images, jitter = image[None], parameters[1:5]
    for index in ORDERS[int(parameters.order)]:
        if jitter[index] == _NEUTRAL[index]:
            continue
        if index == _HUE:
            _shift_hue_of_one(image, parameters.hue)
        else:
            _JITTER[index](images, jitter[index])
    if parameters.grey:
        _take_out_colours(images)
    if parameters.sigma > 0:
        _blur_one(image, parameters.sigma)
    if parameters.threshold < math.inf:
        _solarise(images, parameters.threshold)


# OpenCV goes over an image once where PyTorch takes some forty operations: half of the time for the hue, a third less
# for the blur. Both change contiguous planes in place.


def _shift_hue_of_one(image: Tensor, shift: float) -> None:
    planes = image.numpy()
    pixels = cv2.cvtColor(cv2.merge(planes), cv2.COLOR_RGB2HSV)
    pixels[..., 0] += 360 * (shift % 1)  # degrees; OpenCV takes a turn more, but no negative ones
    cv2.split(cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB, dst=pixels), planes)


def _blur_one(image: Tensor, sigma: float) -> None:
    side = 2 * _radius(sigma, image.shape) + 1
    for plane in image.numpy():
        cv2.GaussianBlur(plane, (side, side), sigma, dst=plane)  # edges mirrored, as in _blur


def _change_all(images: Tensor, parameters: Photometric, compiled: bool = False) -> None:
    jitter = [_compiled(change) if compiled else change for change in _JITTER]
    for turn in ORDERS[parameters.order.astype(int)].T:
        for index, (change, neutral) in enumerate(zip(jitter, _NEUTRAL)):
            values = parameters[1 + index]
            _change_chosen(change, images, (turn == index) & (values != neutral), values)
    _change_chosen(_take_out_colours, images, parameters.grey != 0)
    blur = partial(_blur, largest=float(parameters.sigma.max()))
    _change_chosen(blur, images, parameters.sigma > 0, parameters.sigma)
    _change_chosen(_solarise, images, parameters.threshold < math.inf, parameters.threshold)


@cache
def _compiled(change: Callable[..., None]) -> Callable[..., None]:
    return torch.compile(change, dynamic=True)  # for any number of images


def _change_chosen(
    change: Callable[..., None], images: Tensor, chosen: np.ndarray, values: Optional[np.ndarray] = None
) -> None:
    """Change some images in place, each by its value."""
    if not chosen.any():
        return

    # The choice is made on the CPU, where the parameters are: the GPU is never waited for.
    def moved(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(images.device, non_blocking=True)

    indices = moved(np.flatnonzero(chosen))
    arguments = () if values is None else (moved(values[chosen]).view(-1, 1, 1, 1),)
    part = images[indices]
    change(part, *arguments)
    images[indices] = part


# All below work in place, on one image by a number, or on several by a tensor of shape (N, 1, 1, 1).


def _change_brightness(images: Tensor, factor: Value) -> None:
    images.mul_(factor).clamp_(0, 1)


def _change_contrast(images: Tensor, factor: Value) -> None:
    _blend(images, _luma(images.mean((2, 3), keepdim=True)), factor)


def _change_saturation(images: Tensor, factor: Value) -> None:
    _blend(images, _luma(images), factor)


def _blend(images: Tensor, grey: Tensor, factor: Value) -> None:
    torch.lerp(grey, images, factor, out=images).clamp_(0, 1)


def _take_out_colours(images: Tensor) -> None:
    images.copy_(_luma(images).expand_as(images))


def _solarise(images: Tensor, threshold: Value) -> None:
    images.copy_(torch.where(images >= threshold, 1 - images, images))


def _luma(images: Tensor) -> Tensor:
    """Shape ``(N, 1, H, W)``."""
    red, green, blue = images.unbind(1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2]).unsqueeze_(1)


def _shift_hue(images: Tensor, shift: Value) -> None:
    """Turn the hue and keep the largest and the smallest channel: HSV's value, and its saturation.

    The hue, in turns, is where on the edge of the colour hexagon a pixel lies. A channel, whose own place there is 0
    (red), 1/3 (green) or 2/3 (blue), is the largest as far as 1/6 from its place, the smallest from 1/3 on, and linear
    in between.
    """
    red, green, blue = channels = images.split(1, dim=1)
    larger, smaller = torch.maximum(green, blue), torch.minimum(green, blue)
    largest, other = torch.maximum(red, larger), torch.minimum(red, larger)
    least = torch.minimum(other, smaller)
    six = torch.sub(largest, least, out=least).mul_(6).clamp_min_(1e-12)  # times chroma; without one any hue will do
    hue = other.sub_(smaller).div_(six)
    # 1 or 0: on a CPU a sign takes a tenth of the time of torch.where.
    not_red = torch.sub(largest, red, out=smaller).sign_()
    bluish = larger.sub_(green).sign_()  # more blue than green
    # Of the largest channel: red 0 or 1, green 1/3, blue -2/3; for these the difference of the others has one form.
    place = torch.rsub(bluish, 1 / 3, alpha=2).mul_(not_red).add_(bluish)
    hue.sub_(place).abs_()
    for number, channel in enumerate(channels):
        # In [-1, 1], where one turn less or more is the same.
        torch.add(hue, (shift - number / 3) % 1 - 1, out=channel)
    # 1/2 - d, where d is the distance on a circle of length 1
    images.abs_().sub_(0.5).abs_().clamp_(1 / 6, 1 / 3)
    # largest - chroma * (6 * d - 1)
    torch.addcmul(largest.sub_(six, alpha=1 / 3), images, six, out=images)


def _blur(images: Tensor, sigma: Value, largest: float) -> None:
    """A Gaussian blur, along rows and then along columns, with edges mirrored as torchvision does.

    Each is a product of blocks of the image with a band matrix, which all blocks of an image share: matrix products are
    what CPUs and GPUs do best. The kernel is as long as the ``largest`` sigma asks for.
    """
    height, width = images.shape[2:]
    radius = _radius(largest, images.shape)
    band = torch.softmax(_squared_offsets(radius, images.device) * (-0.5 / sigma**2), dim=-1)
    more = [-height % _BLOCK, -width % _BLOCK]
    padded = F.pad(images, [radius] * 4, mode='reflect')
    padded = F.pad(padded, [0, more[1], 0, more[0]]) if any(more) else padded
    for channel in range(3):  # each stays in a CPU's cache
        columns = _smooth_rows(padded[:, channel], band)
        images[:, channel] = _smooth_rows(columns, band)[:, :height, :width]


def _radius(sigma: float, shape: Sequence[int]) -> int:
    return min(math.ceil(_SIGMAS * sigma), shape[-2] - 1, shape[-1] - 1)


def _smooth_rows(plane: Tensor, band: Tensor) -> Tensor:
    """The product, for a plane of shape ``(N, H, W)`` of ``(N, W, H)``: transposed, so that nothing is copied."""
    blocks = plane.unfold(2, band.shape[-1], _BLOCK)  # (N, H, blocks, length)
    return torch.matmul(band, blocks.permute(0, 2, 3, 1)).flatten(1, 2)


@cache
def _squared_offsets(radius: int, device: torch.device) -> Tensor:
    """Of the pixels that a block of the blur reads from those that it gives, shape ``(block, block + 2 * radius)``;
    infinite beyond the radius."""
    offsets = torch.arange(-radius, _BLOCK + radius, device=device) - torch.arange(_BLOCK, device=device)[:, None]
    return offsets.square().float().masked_fill(offsets.abs() > radius, math.inf)


_JITTER = (_change_brightness, _change_contrast, _change_saturation, _shift_hue)
_NEUTRAL = (1, 1, 1, 0)
_HUE = _JITTER.index(_shift_hue)
