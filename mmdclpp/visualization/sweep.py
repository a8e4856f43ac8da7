"""What a sweep over learning rate and weight decay found."""

import math
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mmdclpp.errors import UserError

from .style import COLOURS, FAINT, INK, LABEL, TITLE, PathLike, folded, legend_below, new_figure, plain, save_figure

Sweep = Sequence[Mapping[str, float]]
LINE_STYLES = ('-', '--', ':')


def sweep_chart(runs: Mapping[str, Sequence[Sweep]], out_png: PathLike, title: str = '') -> Path:
    """Draw held-out mAP against the learning rate, one panel a method and one line a weight decay.

    A ring marks what was chosen, the highest mAP. Of several seeds each has its own lines and ring.

    Args:
        runs (Mapping[str, Sequence[Sweep]]): Name of the method -> for each seed what the sweep tried, as
            ``dict(learning_rate=..., weight_decay=..., mAP=...)`` with mAP in percent. Where training diverged, mAP is
            None or NaN.
        out_png (str or PathLike): The picture to write.
        title (str): Its title. Defaults to '', none.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If nothing was tried.
    """
    tried = [entry for sweeps in runs.values() for sweep in sweeps for entry in sweep]
    if not tried:
        raise UserError('runs holds no sweep: give method -> a list of learning_rate, weight_decay and mAP per seed')
    decays = sorted({entry['weight_decay'] for entry in tried})
    styles = {
        decay: {'color': COLOURS[index % len(COLOURS)], 'linestyle': LINE_STYLES[index // len(COLOURS) % 3]}
        for index, decay in enumerate(decays)
    }
    lines = math.ceil(len(runs) / 4)
    columns = math.ceil(len(runs) / lines)
    figure = new_figure(max(0.8 + 2.5 * columns, 4.5), 0.8 + 2.2 * lines)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes, (name, sweeps) in zip(panels.flat, runs.items()):
        for sweep in sweeps:
            _draw_sweep(axes, sweep, styles, alpha=1 if len(sweeps) == 1 else 0.6)
        axes.set_title(folded(name), **LABEL)
        axes.set_xscale('log')
        axes.minorticks_off()
        axes.grid(axis='y', color=FAINT, alpha=0.25, linewidth=0.6)
        plain(axes)
    for axes in panels.flat[len(runs) :]:
        axes.remove()
    for axes in panels.flat[max(len(runs) - columns, 0) : len(runs)]:  # with no panel below
        axes.set_xlabel('learning rate', **LABEL)
    figure.supylabel('mAP on the held-out part [%]', **LABEL)
    if title:
        figure.suptitle(title, **TITLE)
    handles = [Line2D([], [], marker='o', markersize=3, **styles[decay]) for decay in decays]
    names = [f'weight decay {decay:g}' for decay in decays]
    legend_below(figure, [*handles, _ring([], [])], [*names, 'chosen'])
    return save_figure(figure, out_png)


def _draw_sweep(axes: Axes, sweep: Sweep, styles: Dict[float, dict], alpha: float) -> None:
    points: List[tuple] = []
    for decay, style in styles.items():
        entries = sorted((entry for entry in sweep if entry['weight_decay'] == decay), key=lambda e: e['learning_rate'])
        line = [(entry['learning_rate'], math.nan if entry['mAP'] is None else entry['mAP']) for entry in entries]
        if line:
            axes.plot(*zip(*line), marker='o', markersize=3, linewidth=1.3, alpha=alpha, **style)
        points += [point for point in line if not math.isnan(point[1])]
    if points:
        axes.add_line(_ring(*([value] for value in max(points, key=lambda point: point[1]))))


def _ring(x: Sequence[float], y: Sequence[float]) -> Line2D:
    return Line2D(x, y, linestyle='none', marker='o', markersize=9, fillstyle='none', color=INK)
