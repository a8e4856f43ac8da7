"""Images below one another, beside what models make of each."""

from pathlib import Path
from typing import List, Mapping, Sequence, Tuple, Union

import numpy as np
from matplotlib import colormaps

from mmdclpp.errors import UserError

from .style import LABEL, NOTE, PathLike, bare, new_figure, save_figure

# Rows and columns of the positions: the same for all models, or of each by name.
Grids = Union[Tuple[int, int], Mapping[str, Tuple[int, int]]]

WIDTH = 1.75  # in, of a column
HEAT = colormaps['inferno']  # its lightness alone orders the values
_OPACITY = 0.72
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def grid_of(grid: Grids, name: str) -> Tuple[int, int]:
    """The grid of one model."""
    if not isinstance(grid, Mapping):
        return tuple(grid)
    if name not in grid:
        raise UserError(f'grid: none is given for {name!r}, only for {", ".join(grid)}')
    return tuple(grid[name])


def over_grey(image: np.ndarray, colours: np.ndarray, opacity: float = _OPACITY) -> np.ndarray:
    """Colours of the cells of a grid over an image without its own.

    Args:
        image (np.ndarray): uint8 RGB, ``(H, W, 3)``.
        colours (np.ndarray): 0 to 1, ``(rows, columns, 3)``; the grid covers the image.
        opacity (float): Of the colours. Defaults to 0.72.

    Returns:
        np.ndarray: uint8 RGB, at least as large as the image, and as twice the grid.
    """
    (height, width), (rows, columns) = image.shape[:2], colours.shape[:2]
    factor = max(1, -(-2 * rows // height), -(-2 * columns // width))  # a small image is enlarged
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    row = np.arange(factor * height) * rows // (factor * height)
    column = np.arange(factor * width) * columns // (factor * width)
    grey = (image @ _GREY)[..., None]
    blended = (1 - opacity) * grey + opacity * 255 * colours[row[:, None], column]
    return blended.round().clip(0, 255).astype(np.uint8)


def heat_over(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A map of values from 0 to 1 over an image, dark to bright; see :func:`over_grey`."""
    return over_grey(image, HEAT(values)[..., :3])


def image_rows(
    images: Sequence[np.ndarray],
    columns: Sequence[Tuple[str, Sequence[np.ndarray]]],
    out_png: PathLike,
    note: str = '',
    interpolation: str = 'nearest',
) -> Path:
    """Draw one image a row, and beside it a picture of each column.

    Args:
        images (Sequence[np.ndarray]): Each uint8 RGB of shape ``(H, W, 3)``.
        columns (Sequence): Of each its title and as many pictures, which cover the images whatever their own size.
        out_png (str or PathLike): The picture to write.
        note (str): Text below. Defaults to ''.
        interpolation (str): How matplotlib enlarges the pictures. Defaults to ``'nearest'``.

    Returns:
        Path: ``out_png``.
    """
    table: List[Tuple[str, Sequence[np.ndarray]]] = [('image', images), *columns]
    aspects = [image.shape[0] / image.shape[1] for image in images]
    figure = new_figure(WIDTH * len(table), sum(WIDTH * aspect for aspect in aspects) + 0.75)
    panels = figure.subplots(len(images), len(table), squeeze=False, height_ratios=aspects)
    for column, (title, pictures) in zip(panels.T, table):
        column[0].set_title(title, **LABEL)
        for axes, picture, image in zip(column, pictures, images):
            axes.imshow(picture, extent=(0, image.shape[1], image.shape[0], 0), interpolation=interpolation)
            bare(axes)
    figure.supxlabel(note, **NOTE)
    return save_figure(figure, out_png)
