"""A figure over a grid of two parameters."""

from pathlib import Path
from typing import Mapping, Optional, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from mmdclpp.errors import UserError

from .style import FAINT, INK, LABEL, LITERAL, TITLE, PathLike, new_figure, save_figure

_COLOURS = colormaps['YlGnBu']  # its lightness alone orders the values, in print too
_DARK = 0.6  # from here on, text on it is white


def heat_maps(
    grids: Mapping[str, np.ndarray],
    out_png: PathLike,
    rows: Sequence[str],
    columns: Sequence[str],
    row_label: str,
    column_label: str,
    label: str,
    title: str = '',
) -> Path:
    """Draw grids of values on one colour scale, each value written in its cell, the highest in bold.

    Args:
        grids (Mapping[str, np.ndarray]): Name -> values ``(len(rows), len(columns))``; NaN where there is none.
        out_png (str or PathLike): The picture to write.
        rows (Sequence[str]): Names of the rows, from top to bottom.
        columns (Sequence[str]): Names of the columns.
        row_label (str): What the rows vary.
        column_label (str): What the columns vary.
        label (str): What the values are.
        title (str): Title of the whole. Defaults to '', none.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If no grid has a value.
    """
    values = np.array(list(grids.values()), dtype=float)
    if not np.isfinite(values).any():
        raise UserError('grids holds no value: give title -> array with at least one that is finite')
    low, high = np.nanmin(values), np.nanmax(values)
    scale = Normalize(low, high if high > low else low + 1)
    best = f'{high:.1f}' if high > low else None
    figure = new_figure(1.5 + 0.62 * len(columns) * len(grids), 1.1 + 0.42 * len(rows))
    panels = figure.subplots(1, len(grids), sharey=True, squeeze=False)
    for axes, (name, grid) in zip(panels.flat, grids.items()):
        _draw_grid(axes, np.asarray(grid, dtype=float), scale, best)
        axes.set_xticks(range(len(columns)), columns, **LITERAL)
        axes.set_xlabel(column_label, **LABEL)
        axes.set_title(name, **TITLE)
    panels.flat[0].set_yticks(range(len(rows)), rows, **LITERAL)
    panels.flat[0].set_ylabel(row_label, **LABEL)
    if title:
        figure.suptitle(title, **TITLE)
    bar = figure.colorbar(panels.flat[0].images[0], ax=list(panels.flat), pad=0.02, aspect=12)
    bar.set_label(label, **LABEL)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    return save_figure(figure, out_png)


def _draw_grid(axes: Axes, grid: np.ndarray, scale: Normalize, best: Optional[str]) -> None:
    axes.imshow(np.ma.masked_invalid(grid), cmap=_COLOURS, norm=scale, aspect='auto')
    axes.set_facecolor('#EEEEEE')
    for (row, column), value in np.ndenumerate(grid):
        if np.isnan(value):
            text, style = '—', {'color': FAINT}
        else:
            text = f'{value:.1f}'
            style = {
                'color': 'white' if scale(value) > _DARK else INK,
                'fontweight': 'bold' if text == best else 'normal',
            }
        axes.text(column, row, text, ha='center', va='center', fontsize=9, **style)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.spines[:].set_visible(False)
