"""What the pictures accept: 8-bit RGB images, and dense features with their grid."""

from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from mmdclpp.errors import UserError


def to_rgb(tensor: Tensor, mean: Sequence[float], std: Sequence[float], bgr: bool = False) -> np.ndarray:
    """Undo the normalisation of images.

    Args:
        tensor (Tensor): Normalised, shape ``(3, H, W)`` or ``(N, 3, H, W)``, on any device.
        mean (Sequence[float]): Subtracted mean of each of the tensor's channels, in units of 0 to 255.
        std (Sequence[float]): Divisor of each of the tensor's channels, same units.
        bgr (bool): Whether the tensor's channels stand in the order blue, green, red. Defaults to False.

    Returns:
        np.ndarray: uint8 RGB, shape ``(H, W, 3)`` or ``(N, H, W, 3)``.

    Raises:
        UserError: If the tensor does not have three channels, or ``std`` is in units of 0 to 1.
    """
    if tensor.dim() not in (3, 4) or tensor.shape[-3] != 3:
        raise UserError(f'images have shape {tuple(tensor.shape)}: give (3, H, W) or (N, 3, H, W)')
    if max(std) < 1:
        raise UserError(f'std={tuple(std)} is in units of 0 to 1: multiply mean and std by 255')
    mean, std = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (mean, std))
    pixels = (tensor.detach().float().cpu() * std + mean).round().clamp(0, 255).to(torch.uint8)
    if bgr:
        pixels = pixels.flip(-3)
    return pixels.movedim(-3, -1).numpy()


def input_to_rgb(tensor: Tensor, data_preprocessor: nn.Module) -> np.ndarray:
    """Undo the normalisation of mmengine's data preprocessors, whose images were loaded as BGR; see :func:`to_rgb`."""
    mean, std = (
        getattr(data_preprocessor, name, torch.tensor(default)).flatten().expand(3).tolist()
        for name, default in (('mean', 0.0), ('std', 1.0))
    )
    # One that converts channels gives RGB.
    return to_rgb(tensor, mean, std, bgr=not getattr(data_preprocessor, '_channel_conversion', False))


def check_images(images: Sequence, name: str) -> List[np.ndarray]:
    """Return the images as arrays, or raise a UserError unless each is uint8 of shape ``(H, W, 3)``."""
    arrays = [np.asarray(image) for image in images]
    if not arrays:
        raise UserError(f'{name} is empty: give at least one image')
    for index, array in enumerate(arrays):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise UserError(
                f'{name}[{index}] has shape {array.shape} and type {array.dtype}: give uint8 RGB of shape (H, W, 3), '
                'for normalised tensors see mmdclpp.visualization.to_rgb'
            )
    return arrays


def check_positions(positions: Tensor, grid: Tuple[int, int], num_images: int, name: str) -> Tensor:
    """Return dense features detached, on the CPU and in float64.

    Args:
        positions (Tensor): Shape ``(N, K, C)``.
        grid (Tuple[int, int]): Rows and columns of the positions.
        num_images (int): The expected ``N``.
        name (str): What the caller calls them, for the messages.

    Raises:
        UserError: If ``N`` is not ``num_images``, ``rows * columns`` is not ``K``, or a value is not finite.
    """
    if positions.dim() != 3 or len(positions) != num_images:
        raise UserError(
            f'{name} have shape {tuple(positions.shape)}: give (N, K, C) with N={num_images}, the number of images'
        )
    rows, columns = grid
    if rows * columns != positions.shape[1]:
        raise UserError(
            f'grid={tuple(grid)} has {rows * columns} cells but {name} have {positions.shape[1]} an image: '
            'give the grid that extract_features returned with them'
        )
    positions = positions.detach().to('cpu', torch.float64)
    if not positions.isfinite().all():
        raise UserError(f'{name} have values that are not finite: the checkpoint has diverged, take an earlier one')
    return positions
