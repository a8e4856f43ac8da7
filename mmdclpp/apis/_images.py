"""Images in all the forms that users have them in, as 8-bit RGB."""

import os
from pathlib import Path
from typing import Iterable, List, Sequence, Union

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mmdclpp.datasets.decode_image import to_8_bits
from mmdclpp.datasets.load_image import LoadImage
from mmdclpp.errors import UserError

ImageLike = Union[str, Path, Image.Image, np.ndarray, Tensor]


def rgb_image(image: ImageLike) -> Image.Image:
    """Any one image as a PIL image of mode RGB.

    Grey images get three equal channels; transparency is dropped; the orientation in EXIF is followed. Files and PIL
    images of more than 8 bits are stretched by :func:`~mmdclpp.datasets.decode_image.to_8_bits`.

    Args:
        image (str, Path, PIL.Image.Image, np.ndarray or Tensor): A file; a PIL image; a uint8 array of shape ``(H, W)``
            or ``(H, W, C)``; or a tensor of shape ``(C, H, W)``, uint8 or floating from 0 to 1. ``C`` is 1, 3 (RGB) or
            4 (RGBA).

    Raises:
        UserError: If a file cannot be read, or the image has another form.
    """
    if isinstance(image, (str, Path)):
        return Image.fromarray(LoadImage().transform(dict(img_path=os.fspath(image)))['img'][..., ::-1])
    if isinstance(image, Image.Image):
        image = _from_pil(image)
    if isinstance(image, Tensor):
        image = _from_tensor(image)
    if not isinstance(image, np.ndarray):
        raise UserError(f'images: {type(image).__name__} is no image: give a file, PIL image, array or tensor')
    fits = image.ndim == 2 or image.ndim == 3 and image.shape[2] in (1, 3, 4)
    if image.dtype != np.uint8 or not fits or not image.size:
        raise UserError(
            f'images: an array of shape {image.shape} and type {image.dtype} is no image: give uint8 of shape '
            '(H, W), (H, W, 3) or (H, W, 4), or a tensor of shape (C, H, W)'
        )
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return Image.fromarray(np.ascontiguousarray(image[..., :3]))


def as_list(images: Union[ImageLike, Sequence[ImageLike]]) -> List[ImageLike]:
    """One image, several, or a batch ``(N, C, H, W)`` or ``(N, H, W, C)``, as a list of images."""
    if isinstance(images, (str, Path, Image.Image)):
        return [images]
    if isinstance(images, (np.ndarray, Tensor)) and images.ndim < 4:
        return [images]
    if not isinstance(images, Iterable):
        raise UserError(f'images: {type(images).__name__} is no image: give a file, PIL image, array or tensor')
    return list(images)


def _from_pil(image: Image.Image) -> np.ndarray:
    if 0 in image.size:
        raise UserError(f'images: a PIL image of {image.width} × {image.height} px is no image')
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith(('I', 'F')):  # more than 8 bits, which convert() would clip to 255
            return to_8_bits(np.repeat(np.asarray(image)[..., None], 3, axis=2))
        return np.asarray(image.convert('RGB'))
    except OSError as error:
        raise UserError(f'images: a PIL image cannot be decoded ({error}): restore its file') from error


def _from_tensor(image: Tensor) -> np.ndarray:
    if image.dim() != 3 or image.shape[0] not in (1, 3, 4) or not image.numel():
        raise UserError(
            f'images: a tensor of shape {tuple(image.shape)} is no image: give (C, H, W) with C = 1, 3 or 4'
        )
    image = image.detach().cpu()
    if image.is_floating_point():
        if not (image.min() >= -1e-3 and image.max() <= 1 + 1e-3):
            raise UserError(
                f'images: a tensor has values from {image.min():.3g} to {image.max():.3g}: give floats from 0 to 1, or '
                'uint8; normalised tensors go to the forward method of the model'
            )
        image = (image.float() * 255).round().clamp(0, 255).to(torch.uint8)
    return image.permute(1, 2, 0).numpy()
