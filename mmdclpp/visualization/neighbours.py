"""Images beside those that models find most similar."""

from pathlib import Path
from typing import Mapping, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mmdclpp.errors import UserError

from .inputs import check_images
from .style import COLOURS, INK, LABEL, NOTE, PathLike, bare, folded, new_figure, save_figure

WIDTH, HEIGHT = 1.2, 0.9  # in, of the frame of a picture
_GAP = 0.05  # in
_NAMES = 1.35  # in, left of the rows


class Neighbours(NamedTuple):
    """What is nearest to each of ``Q`` queries.

    Attributes:
        index (np.ndarray): Index of the image of each of ``k`` neighbours, nearest first, integers of shape ``(Q, k)``.
        similarity (np.ndarray): Their cosine similarities, ``(Q, k)``.
        boxes (np.ndarray, optional): Where in the neighbour it is, ``(x0, y0, x1, y1)`` in shares of width and height,
            ``(Q, k, 4)``. Defaults to None, the whole image.
    """

    index: np.ndarray
    similarity: np.ndarray
    boxes: Optional[np.ndarray] = None


def neighbour_rows(
    queries: Sequence[np.ndarray],
    neighbours: Mapping[str, Neighbours],
    images: Mapping[int, np.ndarray],
    out_png: PathLike,
    boxes: Optional[Mapping[str, np.ndarray]] = None,
) -> Path:
    """Draw each query with a row of neighbours for each model.

    Args:
        queries (Sequence[np.ndarray]): Each uint8 RGB of shape ``(H, W, 3)``.
        neighbours (Mapping[str, Neighbours]): Name of the model -> what it found, as many neighbours each.
        images (Mapping[int, np.ndarray]): Index -> the image, of all that were found.
        out_png (str or PathLike): The picture to write.
        boxes (Mapping[str, np.ndarray], optional): Name of the model -> what part of each query was searched for, in
            shares of width and height, ``(Q, 4)``. Defaults to None, the whole image.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no query or no model, or not one row for each query.
    """
    queries = check_images(queries, 'queries')
    if not neighbours or any(len(found.index) != len(queries) for found in neighbours.values()):
        raise UserError(f'neighbours: give name of the model -> neighbours of all {len(queries)} queries')
    num_neighbours = max(found.index.shape[1] for found in neighbours.values())
    several = len(neighbours) > 1
    height = HEIGHT + _GAP
    figure = new_figure(
        several * _NAMES + (WIDTH + _GAP) * (1 + num_neighbours), (height * len(neighbours) + 2 * _GAP) * len(queries)
    )
    figure.get_layout_engine().set(w_pad=_GAP / 2, h_pad=_GAP / 2, wspace=0, hspace=0)
    for number, part in enumerate(np.atleast_1d(figure.subfigures(len(queries), 1, hspace=0.03))):
        panels = part.subplots(len(neighbours), 1 + num_neighbours, squeeze=False)
        for axes in panels.flat:
            bare(axes)
            axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0), aspect='equal')
        for row, (name, found) in zip(panels, neighbours.items()):
            if several:
                row[0].set_ylabel(folded(name), rotation=0, ha='right', va='center', labelpad=6, **LABEL)
            _draw(row[0], queries[number], None if boxes is None else boxes[name][number], 'query')
            for place, axes in enumerate(row[1 : 1 + found.index.shape[1]]):
                box = None if found.boxes is None else found.boxes[number, place]
                text = f'{found.similarity[number, place]:.2f}'
                _draw(axes, images[int(found.index[number, place])], box, text)
    figure.supxlabel('number: cosine similarity to the query', **NOTE)
    return save_figure(figure, out_png)


def _draw(axes: Axes, image: np.ndarray, box: Optional[np.ndarray], text: str) -> None:
    """An image within the frame, whole, with a box and a text on it."""
    height, width = image.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    left, top = (WIDTH - width * scale) / 2, (HEIGHT - height * scale) / 2
    axes.imshow(image, extent=(left, left + width * scale, top + height * scale, top))
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    if box is not None:
        x0, y0, x1, y1 = box * np.array([width, height, width, height]) * scale
        for ink, thickness in (('white', 2.6), (COLOURS[1], 1.3)):
            axes.add_patch(
                Rectangle((left + x0, top + y0), x1 - x0, y1 - y0, fill=False, edgecolor=ink, linewidth=thickness)
            )
    label = {'facecolor': INK, 'edgecolor': 'none', 'alpha': 0.75, 'pad': 1.2}
    axes.text(left + 0.03, top + 0.03, text, fontsize=6.5, color='white', ha='left', va='top', bbox=label)
