"""The first three principal components of dense features, seen as colours."""

from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from mmdclpp.errors import UserError

from .inputs import check_images, check_positions
from .rows import Grids, grid_of, image_rows
from .style import PathLike

IGNORED = (224, 224, 224)
NOTE = 'red, green, blue: the first three\nprincipal components of all rows'


def pca_colours(positions: Tensor, percentiles: Tuple[float, float] = (2, 98)) -> Tuple[Tensor, float]:
    """Project features on their first three principal components and scale each to 0..1.

    One projection and one scale serve all positions of all images, so that equal colours mean similar features. The
    colours do not change when the features are translated or multiplied by a positive number.

    Args:
        positions (Tensor): Shape ``(..., C)``.
        percentiles (Tuple[float, float]): Scores at these percentiles become 0 and 1, those beyond are clipped, so
            that a few extreme positions do not flatten the rest. Defaults to (2, 98).

    Returns:
        Tuple[Tensor, float]: float64 colours of shape ``(..., 3)``, where a component without variance is 0.5; and the
            share of the variance that the three explain, 0 to 1.
    """
    flat = positions.detach().to('cpu', torch.float64).flatten(0, -2)
    centred = flat - flat.mean(dim=0)
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(flat))
    total = centred.square().sum(dim=1).mean()
    # Below this a variance is nothing but the rounding of the features or of their covariance.
    noise = 1e-12 * total + 1e-24 * flat.square().sum(dim=1).mean()
    variances, directions = variances.flip(0)[:3], directions.flip(1)[:, :3]
    # An eigenvector's sign is arbitrary: let its largest entry be positive.
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    scores = centred @ (directions * largest.sign())

    quantiles = torch.tensor(percentiles, dtype=torch.float64) / 100
    low, high = torch.quantile(scores, quantiles, dim=0)
    scaled = ((scores - low) / (high - low).clamp(min=torch.finfo(torch.float64).tiny)).clamp(0, 1)
    colours = torch.full((len(flat), 3), 0.5, dtype=torch.float64)
    colours[:, : len(variances)] = torch.where(variances > noise, scaled, 0.5)
    explained = variances[variances > noise].sum() / total if total > noise else 0.0
    return colours.view(*positions.shape[:-1], 3), float(explained)


def feature_pca(
    images: Sequence[np.ndarray],
    positions: Union[Tensor, Mapping[str, Tensor]],
    grid: Grids,
    out_png: PathLike,
    masks: Optional[Sequence[np.ndarray]] = None,
    palette: Optional[Sequence[Sequence[int]]] = None,
    interpolation: str = 'nearest',
) -> Path:
    """Draw, one image a row: the image, its features as colours, and its mask.

    Args:
        images (Sequence[np.ndarray]): Each uint8 RGB of shape ``(H, W, 3)``.
        positions (Tensor or Mapping): Dense features, shape ``(N, K, C)``; or several models' as name -> features, a
            column each with its own components.
        grid (Tuple[int, int] or Mapping): Rows and columns of the positions; of several models name -> its own.
        out_png (str or PathLike): The picture to write.
        masks (Sequence[np.ndarray], optional): Class indices of the pixels, each of shape ``(H, W)``. An index without
            a colour, such as 255 for ignored pixels, is grey. Defaults to None, no column of masks.
        palette (Sequence, optional): RGB (0 to 255) of each class. Defaults to None, the colours of PASCAL VOC.
        interpolation (str): How matplotlib enlarges the features, ``'nearest'`` or ``'bicubic'``. Defaults to
            ``'nearest'``.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If the images, features, grid and masks do not belong together.
    """
    images = check_images(images, 'images')
    masks = None if masks is None else _coloured(masks, len(images), palette)
    models = positions if isinstance(positions, Mapping) else {'features': positions}
    columns: List[Tuple[str, Sequence[np.ndarray]]] = []
    for name, features in models.items():
        cells = grid_of(grid, name)
        colours, explained = pca_colours(check_positions(features, cells, len(images), f'positions ({name})'))
        title = f'{name}\n{explained:.0%} of variance'
        columns.append((title, colours.view(len(images), *cells, 3).numpy()))
    if masks is not None:
        columns.append(('mask', masks))

    return image_rows(images, columns, out_png, NOTE, interpolation)


def _coloured(
    masks: Sequence[np.ndarray], num_images: int, palette: Optional[Sequence[Sequence[int]]]
) -> List[np.ndarray]:
    masks = [np.asarray(mask) for mask in masks]
    if len(masks) != num_images:
        raise UserError(f'masks has {len(masks)} entries for {num_images} images: give one mask an image')
    for index, mask in enumerate(masks):
        if mask.ndim != 2 or mask.dtype.kind not in 'iu' or (mask < 0).any() or (mask > 255).any():
            raise UserError(
                f'masks[{index}] has shape {mask.shape} and type {mask.dtype}: give class indices 0 to 255, (H, W)'
            )
    table = np.full((256, 3), IGNORED, dtype=np.uint8)
    colours = _voc_palette() if palette is None else np.asarray(palette)
    if colours.ndim != 2 or colours.shape[1] != 3 or len(colours) > 256:
        raise UserError(f'palette has shape {colours.shape}: give red, green, blue of each class, (classes, 3)')
    table[: len(colours)] = colours
    return [table[mask] for mask in masks]


def _voc_palette() -> np.ndarray:
    """VOC's colours of classes 0 to 254: the bits of the index, dealt out to red, green, blue from the highest on."""
    index = np.arange(255)
    palette = np.zeros((255, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return palette
