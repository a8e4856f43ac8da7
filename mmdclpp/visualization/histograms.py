"""Distributions side by side."""

import math
from pathlib import Path
from typing import Dict, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.colors import to_rgba

from mmdclpp.errors import UserError

from .style import COLOURS, FAINT, LABEL, TITLE, PathLike, legend_below, new_figure, plain, save_figure

_STYLES = ({'hatch': '', 'linestyle': '-'}, {'hatch': '////', 'linestyle': '--'})


def histogram_chart(
    panels: Mapping[str, Mapping[str, Tuple[Sequence[float], Sequence[float]]]], out_png: PathLike, label: str
) -> Path:
    """Draw densities as filled steps, one panel each with the distributions to compare, all on the same axes.

    Args:
        panels (Mapping[str, Mapping[str, Tuple]]): Title of the panel -> name of the distribution -> edges of the bins
            and the density in each, one fewer.
        out_png (str or PathLike): The picture to write.
        label (str): What is distributed.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no distribution, or its edges do not fit its densities.
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    if not names:
        raise UserError('panels holds no distribution: give title -> name -> edges of the bins and densities')
    lines = math.ceil(len(panels) / 4)
    columns = math.ceil(len(panels) / lines)
    figure = new_figure(max(0.8 + 2.1 * columns, 4), 0.5 + 2.0 * lines)
    drawn = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    handles: Dict[str, object] = {}
    for axes, (title, panel) in zip(drawn.flat, panels.items()):
        for index, name in enumerate(names):
            if name not in panel:
                continue
            edges, densities = panel[name]
            if len(edges) != len(densities) + 1:
                raise UserError(
                    f'{name!r} of {title!r}: {len(densities)} densities need one more edge, not {len(edges)}'
                )
            colour = COLOURS[index % len(COLOURS)]
            style = _STYLES[index % len(_STYLES)]
            area = {'facecolor': to_rgba(colour, 0.25), 'edgecolor': colour, 'linewidth': 1.3}
            handles.setdefault(name, axes.stairs(densities, edges, fill=True, **area, **style))
        axes.set_title(title, **TITLE)
        axes.grid(axis='x', color=FAINT, alpha=0.25, linewidth=0.6)
        plain(axes)
    left, right = _range(panels)
    for axes in drawn.flat:
        axes.set(xlim=(left, right), ylim=(0, None))
    for axes in drawn.flat[len(panels) :]:
        axes.remove()
    for axes in drawn.flat[max(len(panels) - columns, 0) : len(panels)]:  # with no panel below
        axes.set_xlabel(label, **LABEL)
    figure.supylabel('density', **LABEL)
    legend_below(figure, list(handles.values()), list(handles))
    return save_figure(figure, out_png)


def _range(panels: Mapping[str, Mapping[str, Tuple[Sequence[float], Sequence[float]]]]) -> Tuple[float, float]:
    """Where any density is visible: above a thousandth of its highest."""
    ends = []
    for panel in panels.values():
        for edges, densities in panel.values():
            (seen,) = np.nonzero(np.asarray(densities) > 1e-3 * np.max(densities))
            ends += [edges[index] for index in seen] + [edges[index + 1] for index in seen]
    return (min(ends), max(ends)) if ends else (-1.0, 1.0)
