"""Images laid out in the plane."""

import math
from pathlib import Path
from typing import List, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from mmdclpp.errors import UserError

from .inputs import check_images
from .style import COLOURS, DPI, FAINT, LABEL, NOTE, TITLE, PathLike, bare, folded, new_figure, save_figure

PANEL = 4.6  # in, of several; a single one is larger
SINGLE = 6.5
_FILL = 0.9  # share of a panel that thumbnails would cover if they were spread evenly
_LARGEST = 0.14  # of a panel's side
_APART = 0.85  # of a thumbnail's side, between the middles of two


def thumbnail_chart(
    points: Mapping[str, np.ndarray], images: Sequence[np.ndarray], out_png: PathLike, title: str = ''
) -> Path:
    """Draw images where points lie, one panel a model.

    A thumbnail that would hide much of another is a dot.

    Args:
        points (Mapping[str, np.ndarray]): Name of the model -> where each image lies, ``(N, 2)``, in units of its own.
        images (Sequence[np.ndarray]): Each uint8 RGB of shape ``(H, W, 3)``.
        out_png (str or PathLike): The picture to write.
        title (str): Title of the whole. Defaults to '', none.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no image, or a model does not have a point for each.
    """
    images = check_images(images, 'images')
    for name, places in points.items():
        if np.shape(places) != (len(images), 2) or not np.isfinite(places).all():
            raise UserError(f'points of {name!r} are not {len(images)} finite pairs: give one for each image')
    side = min(math.sqrt(_FILL / len(images)), _LARGEST)
    panel = PANEL if len(points) > 1 else SINGLE
    pixels = round(side * panel * DPI)
    thumbnails = [_square(image, pixels) for image in images]
    columns = min(len(points), 3)
    lines = math.ceil(len(points) / columns)
    figure = new_figure(panel * columns, (panel + 0.3) * lines + (0.3 if title else 0))
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes, (name, places) in zip(panels.flat, points.items()):
        _draw(axes, np.asarray(places, dtype=float), thumbnails, side)
        if len(points) > 1:
            axes.set_title(folded(name), **LABEL)
    for axes in panels.flat[len(points) :]:
        axes.remove()
    if title:
        figure.suptitle(title, **TITLE)
    figure.supxlabel('dots: images without room for a thumbnail', **NOTE)
    return save_figure(figure, out_png)


def _square(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image."""
    height, width = image.shape[:2]
    left, top = (width - min(height, width)) // 2, (height - min(height, width)) // 2
    box = (left, top, left + min(height, width), top + min(height, width))
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX, box=box))


def _draw(axes: Axes, places: np.ndarray, thumbnails: Sequence[np.ndarray], side: float) -> None:
    low, high = places.min(axis=0), places.max(axis=0)
    # Both axes on one scale: distances are what such a map has to show.
    scale = (1 - 1.1 * side) / max((high - low).max(), 1e-12)
    places = (places - (low + high) / 2) * scale * (1, -1) + 0.5
    shown: List[int] = []
    for index, place in enumerate(places):
        if all(np.abs(places[other] - place).max() >= _APART * side for other in shown):
            shown.append(index)
    dots = np.delete(places, shown, axis=0)
    axes.scatter(*dots.T, s=9, color=COLOURS[0], alpha=0.7, linewidth=0, zorder=1)
    for index in shown:
        x, y = places[index]
        axes.imshow(
            thumbnails[index], extent=(x - side / 2, x + side / 2, y + side / 2, y - side / 2), zorder=2, aspect='auto'
        )
    bare(axes)
    axes.set(xlim=(0, 1), ylim=(1, 0), box_aspect=1)
    axes.spines[:].set(visible=True, color=FAINT, linewidth=0.6)
