"""Images beside the views that are made of them."""

from pathlib import Path
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.patches import Rectangle

from .style import COLOURS, LABEL, NOTE, PathLike, bare, new_figure, save_figure

SIDE = 1.3  # in, of a view
_GAP = 0.04  # in

Box = Tuple[float, float, float, float]


class ViewRow(NamedTuple):
    """An image and views of it.

    Attributes:
        image (np.ndarray): uint8 RGB of shape ``(H, W, 3)``.
        views (Sequence[np.ndarray]): The same, epoch by epoch.
        boxes (Sequence[Box], optional): Where those of the first epoch lie: ``(x0, y0, x1, y1)`` in shares of width and
            height. None where it is not known.
    """

    image: np.ndarray
    views: Sequence[np.ndarray]
    boxes: Optional[Sequence[Box]]


def view_rows(rows: Sequence[ViewRow], num_views: int, out_png: PathLike) -> Path:
    """Draw each image with the crops of the first epoch, and beside it its views of all epochs.

    Args:
        rows (Sequence[ViewRow]): As many views each.
        num_views (int): Views of an image in an epoch.
        out_png (str or PathLike): The picture to write.

    Returns:
        Path: ``out_png``.
    """
    columns = len(rows[0].views)
    figure = new_figure((SIDE + _GAP) * (columns + 1.5), (SIDE + _GAP) * len(rows) + 0.5)
    figure.get_layout_engine().set(w_pad=_GAP / 2, h_pad=_GAP / 2, wspace=0, hspace=0)
    panels = figure.subplots(len(rows), 1 + columns, squeeze=False, width_ratios=[1.5, *[1] * columns])
    for axes in panels.flat:
        bare(axes)
    for (first, *others), row in zip(panels, rows):
        first.imshow(row.image)
        height, width = row.image.shape[:2]
        for (x0, y0, x1, y1), colour in zip(row.boxes or (), COLOURS):
            place = ((x0 * width, y0 * height), (x1 - x0) * width, (y1 - y0) * height)
            first.add_patch(Rectangle(*place, fill=False, edgecolor='white', linewidth=2.6))
            first.add_patch(Rectangle(*place, fill=False, edgecolor=colour, linewidth=1.4))
        for axes, view in zip(others, row.views):
            axes.imshow(view)
    panels[0, 0].set_title('image', **LABEL)
    for number, axes in enumerate(panels[0, 1:]):
        epoch, view = divmod(number, num_views)
        axes.set_title(f'epoch {epoch + 1}, view {view + 1}', **LABEL | {'color': COLOURS[view % len(COLOURS)]})
    figure.supxlabel('views as the model gets them, normalisation undone; boxes: crops of epoch 1', **NOTE)
    return save_figure(figure, out_png)
