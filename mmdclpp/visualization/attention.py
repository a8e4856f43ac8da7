"""Attention of the class token, as heat over the images."""

from pathlib import Path
from typing import List, Mapping, Sequence, Tuple

import numpy as np
from torch import Tensor

from mmdclpp.errors import UserError

from .inputs import check_images, check_positions
from .rows import Grids, grid_of, heat_over, image_rows
from .style import PathLike

NOTE = 'bright: high attention\neach map from 0 to its highest weight'


def attention_maps(
    images: Sequence[np.ndarray], attention: Mapping[str, Tensor], grid: Grids, out_png: PathLike
) -> Path:
    """Draw, one image a row: the image, and the mean of the heads' attention, one column a model.

    Args:
        images (Sequence[np.ndarray]): Each uint8 RGB of shape ``(H, W, 3)``.
        attention (Mapping[str, Tensor]): Name of the model -> weights of the positions, ``(N, heads, K)``, as from
            :func:`~mmdclpp.models.backbones.attention.class_attention`.
        grid (Tuple[int, int] or Mapping): Rows and columns of the positions; of several models name -> its own.
        out_png (str or PathLike): The picture to write.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If the images, weights and grid do not belong together.
    """
    images = check_images(images, 'images')
    columns = []
    for name, weights in attention.items():
        cells = grid_of(grid, name)
        mean = _checked(weights, cells, len(images), name).mean(axis=1)
        columns.append((name, _heat(images, mean, cells)))
    return image_rows(images, columns, out_png, NOTE)


def attention_heads(images: Sequence[np.ndarray], attention: Tensor, grid: Tuple[int, int], out_png: PathLike) -> Path:
    """Draw, one image a row: the image, the mean of the heads' attention, and each head's.

    Args:
        images, attention, grid, out_png: See :func:`attention_maps`; of one model.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If the images, weights and grid do not belong together.
    """
    images = check_images(images, 'images')
    weights = _checked(attention, grid, len(images), 'attention')
    columns = [('mean of heads', _heat(images, weights.mean(axis=1), grid))]
    columns += [(f'head {head + 1}', _heat(images, weights[:, head], grid)) for head in range(weights.shape[1])]
    return image_rows(images, columns, out_png, NOTE)


def _checked(weights: Tensor, grid: Tuple[int, int], num_images: int, name: str) -> np.ndarray:
    if weights.dim() != 3:
        raise UserError(f'attention ({name}) has shape {tuple(weights.shape)}: give (N, heads, K)')
    check_positions(weights.transpose(1, 2), grid, num_images, f'attention ({name})')
    return weights.detach().double().cpu().numpy()


def _heat(images: Sequence[np.ndarray], weights: np.ndarray, grid: Tuple[int, int]) -> List[np.ndarray]:
    maps = weights.reshape(len(images), *grid)
    return [heat_over(image, values / max(values.max(), 1e-12)) for image, values in zip(images, maps)]
