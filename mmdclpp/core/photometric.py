"""Colour jitter, grey, blur and solarisation of a batch of images, each with parameters of its own.

The operations are those of torchvision (``torchvision.transforms.functional``) on float images, with which the tests
compare them. torchvision draws one set of parameters for a batch; here every image has its own, the order of the
jitter included, and images are changed in place.
"""

import itertools
import math
from functools import partial
from typing import Callable, NamedTuple, Optional, Union

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
def change_photometry(images: Tensor, parameters: Photometric) -> Tensor:
    """Change images as ``parameters`` say.

    Args:
        images (Tensor): RGB in [0, 1], float32 of shape ``(N, 3, H, W)``. Changed in place.
        parameters (Photometric): Of each image.

    Returns:
        Tensor: ``images``.
    """
    with torch.autocast(images.device.type, enabled=False):
        if images.device.type == 'cpu':
            # One after the other they stay in the core's cache: in half the time of all together.
            for image, *values in zip(images.split(1), *(column.tolist() for column in parameters), strict=True):
                _change_one(image, Photometric(*values))
        else:
            _change_all(images, parameters)
    return images


def _change_one(image: Tensor, parameters: Photometric) -> None:
    jitter = parameters[1:5]
    for index in ORDERS[int(parameters.order)]:
        if jitter[index] != _NEUTRAL[index]:
            _JITTER[index](image, jitter[index])
    if parameters.grey:
        _take_out_colours(image)
    if parameters.sigma > 0:
        _blur(image, torch.tensor(parameters.sigma), parameters.sigma)
    if parameters.threshold < math.inf:
        _solarise(image, parameters.threshold)


def _change_all(images: Tensor, parameters: Photometric) -> None:
    for turn in ORDERS[parameters.order.astype(int)].T:
        for index, (change, neutral) in enumerate(zip(_JITTER, _NEUTRAL)):
            values = parameters[1 + index]
            _change_chosen(change, images, (turn == index) & (values != neutral), values)
    _change_chosen(_take_out_colours, images, parameters.grey != 0)
    blur = partial(_blur, largest=float(parameters.sigma.max()))
    _change_chosen(blur, images, parameters.sigma > 0, parameters.sigma)
    _change_chosen(_solarise, images, parameters.threshold < math.inf, parameters.threshold)


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
    mean = _luma(images).mean((2, 3), keepdim=True)
    images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def _change_saturation(images: Tensor, factor: Value) -> None:
    luma = _luma(images)
    images.mul_(factor).add_(luma.mul_(1 - factor)).clamp_(0, 1)


def _take_out_colours(images: Tensor) -> None:
    images.copy_(_luma(images).expand_as(images))


def _solarise(images: Tensor, threshold: Value) -> None:
    images.copy_(torch.where(images >= threshold, 1 - images, images))


def _luma(images: Tensor) -> Tensor:
    """Shape ``(N, 1, H, W)``."""
    red, green, blue = images.split(1, dim=1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def _shift_hue(images: Tensor, shift: Value) -> None:
    """Turn the hue and keep the largest and the smallest channel: HSV's value, and its saturation.

    The hue, in turns, is where on the edge of the colour hexagon a pixel lies. A channel, whose own place there is 0
    (red), 1/3 (green) or 2/3 (blue), is the largest as far as 1/6 from its place, the smallest from 1/3 on, and linear
    in between.
    """
    red, green, blue = images.unbind(1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    chroma = largest - torch.minimum(torch.minimum(red, green), blue)
    six = chroma * 6
    sixth = six.clamp_min(1e-12).reciprocal_()  # of a turn; without chroma any hue will do
    # Signs, not conditions: on a CPU they take a tenth of the time of torch.where.
    not_red, not_green = (largest - red).sign_(), (largest - green).sign_()
    if_red = (green - blue).mul_(sixth)
    if_green = (blue - red).mul_(sixth).add_(1 / 3)
    if_blue = (red - green).mul_(sixth).add_(2 / 3)
    hue = if_blue.sub_(if_green).mul_(not_green).add_(if_green).sub_(if_red).mul_(not_red).add_(if_red)
    places = torch.arange(3, device=images.device).view(1, 3, 1, 1) / 3
    torch.add(hue[:, None], shift - places, out=images)
    # The distance d of places on a circle of length 1, as 1/2 - d.
    images.frac_().abs_().sub_(0.5).abs_().clamp_(1 / 6, 1 / 3)
    # largest - chroma * (6 * d - 1)
    images.mul_(six[:, None]).add_(largest.sub_(chroma, alpha=2)[:, None])


def _blur(images: Tensor, sigma: Tensor, largest: float) -> None:
    """A Gaussian blur, along rows and then along columns, with edges mirrored as torchvision does.

    Each is a product of blocks of the image with a band matrix, which all blocks of an image share: matrix products are
    what CPUs and GPUs do best. The first gives the image transposed, the second turns it back, and so neither copies.
    The kernel is as long as the ``largest`` sigma asks for.
    """
    height, width = images.shape[2:]
    radius = min(math.ceil(_SIGMAS * largest), height - 1, width - 1)
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.softmax(-0.5 * (offsets / sigma.view(-1, 1)).square(), dim=1)
    band = _band_matrix(kernel)
    more = [-height % _BLOCK, -width % _BLOCK]
    padded = F.pad(images, [radius] * 4, mode='reflect')
    padded = F.pad(padded, [0, more[1], 0, more[0]]) if any(more) else padded
    rows = padded.flatten(1, 2).unfold(2, band.shape[2], _BLOCK)  # (N, 3 * H, blocks, length)
    rows = torch.matmul(band[:, None], rows.permute(0, 2, 3, 1))  # (N, blocks, block, 3 * H)
    rows = rows.view(len(images), -1, 3, padded.shape[2])  # (N, W, 3, H)
    for channel in range(3):
        columns = rows[:, :, channel].unfold(2, band.shape[2], _BLOCK)  # (N, W, blocks, length)
        columns = torch.matmul(band[:, None], columns.permute(0, 2, 3, 1))  # (N, blocks, block, W)
        images[:, channel] = columns.flatten(1, 2)[:, :height, :width]


def _band_matrix(kernel: Tensor) -> Tensor:
    """For kernels of shape ``(N, size)`` the matrices, shape ``(N, block, block + size - 1)``, whose row ``i`` has the
    kernel from column ``i`` on."""
    number, size = kernel.shape
    length = _BLOCK + size - 1
    # Rows that are longer by one than the matrix's: read by its length, each is shifted by one more.
    rows = F.pad(kernel[:, None].expand(-1, _BLOCK, -1), [0, length + 1 - size])
    return rows.flatten(1)[:, : _BLOCK * length].view(number, _BLOCK, length)


_JITTER = (_change_brightness, _change_contrast, _change_saturation, _shift_hue)
_NEUTRAL = (1, 1, 1, 0)
