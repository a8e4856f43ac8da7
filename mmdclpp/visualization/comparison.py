"""Bars of the downstream metrics of several methods."""

import math
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes

from mmdclpp.errors import UserError
from mmdclpp.utils.seeds import OverSeeds, which_are_best

from .style import COLOURS, INK, LABEL, LITERAL, NOTE, TITLE, PathLike, folded, new_figure, plain, save_figure

# One value, or one for each seed.
Values = Union[float, Sequence[float]]

PANELS = {
    'mAP': ('multi-label classification (linear probe)', 'mAP [%]'),
    'mIoU': ('semantic segmentation', 'mIoU [%]'),
}


def comparison_chart(
    rows: Mapping[str, Mapping[str, Optional[Values]]],
    out_png: PathLike,
    panels: Mapping[str, Tuple[str, str]] = PANELS,
    from_zero: bool = True,
) -> Path:
    """Draw metrics of several methods as bars, one panel a metric, the best value of each in bold.

    A bar is as long as the mean over the seeds. Where there are several, each is a dot, and a whisker spans one sample
    standard deviation to either side.

    Args:
        rows (Mapping[str, Mapping[str, Values]]): Name of the method -> metric -> its value in percent, or its values
            over the seeds; drawn from top to bottom. A metric that was not measured is missing, None or empty.
        out_png (str or PathLike): The picture to write.
        panels (Mapping[str, Tuple[str, str]]): Metric -> title and axis label, in the order of the panels. Those
            nobody measured are left out; those of equal axis label have one colour. Defaults to ``PANELS``, mAP and
            mIoU.
        from_zero (bool): Whether axes begin at 0. If not, they span the values, and means are diamonds: the length of
            a bar would mislead. Defaults to True.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no method, no metric, or a value outside 0 to 100.
    """
    values = {name: {metric: _as_list(row.get(metric)) for metric in panels} for name, row in rows.items()}
    metrics = [metric for metric in panels if any(row[metric] for row in values.values())]
    if not metrics:
        raise UserError(f'rows holds neither {" nor ".join(panels)}: give name -> dict of metrics in percent')
    for name, row in values.items():
        for metric in metrics:
            for value in row[metric]:
                if not 0 <= value <= 100:
                    raise UserError(f'{metric}={value!r} of {name!r} is not a percentage: give 0 to 100')
    lines = math.ceil(len(metrics) / 3)
    columns = math.ceil(len(metrics) / lines)
    figure = new_figure(1.6 + 3.1 * columns, (0.9 + 0.42 * len(rows)) * lines)
    figure.get_layout_engine().set(hspace=0.06)  # a line of panels from the titles of the next
    drawn = figure.subplots(lines, columns, sharey=True, squeeze=False).flat
    labels = list(dict.fromkeys(panels[metric][1] for metric in metrics))
    for axes, metric in zip(drawn, metrics):
        title, label = panels[metric]
        colour = COLOURS[labels.index(label) % len(COLOURS)]
        _draw_bars(axes, {name: row[metric] for name, row in values.items()}, colour, from_zero)
        axes.set_title(title, **TITLE)
        axes.set_xlabel(label, **LABEL)
    for axes in drawn[len(metrics) :]:
        axes.remove()
    if any(len(row[metric]) > 1 for row in values.values() for metric in metrics):
        figure.set_figheight(figure.get_figheight() + 0.25)
        mean = 'bar' if from_zero else 'diamond'
        figure.supxlabel(f'{mean}: mean · dots: seeds · whisker: ± sample standard deviation', **NOTE)
    return save_figure(figure, out_png)


def _as_list(values: Optional[Values]) -> List[float]:
    return [] if values is None else np.atleast_1d(values).tolist()


def _draw_bars(axes: Axes, rows: Dict[str, List[float]], colour: str, from_zero: bool) -> None:
    spreads = [OverSeeds.of(values) if values else None for values in rows.values()]
    measured = [spread for spread in spreads if spread is not None]
    best = which_are_best(spreads)
    means = [spread.mean if spread else math.nan for spread in spreads]
    if from_zero:
        start = 0.0
        axes.barh(range(len(rows)), np.nan_to_num(means), height=0.62, color=colour)
    else:
        lowest = min(min(values, default=math.inf) for values in rows.values())
        lowest = min(lowest, *(spread.mean - (spread.deviation or 0) for spread in measured))
        start = lowest - 0.1 * (np.nanmax(means) - lowest)
        axes.scatter(means, range(len(rows)), marker='D', s=36, color=colour, zorder=3)
    ends = []
    for place, (values, spread) in enumerate(zip(rows.values(), spreads)):
        text, weight, end = 'not measured', 'normal', start
        if spread is not None:
            text, end = str(spread), spread.mean
            weight = 'bold' if best[place] else 'normal'
        if len(values) > 1:
            end = max(spread.mean + spread.deviation, *values)
            axes.errorbar(spread.mean, place, xerr=spread.deviation, color=INK, linewidth=1, capsize=2.5, capthick=1)
            # Below the whisker, which would hide them.
            axes.scatter(
                values, [place + 0.18] * len(values), s=9, color='white', edgecolor=INK, linewidth=0.7, zorder=3
            )
        ends.append(end)
        style = {'fontsize': 8, 'color': INK, 'fontweight': weight}
        axes.annotate(
            text, (end, place), xytext=(3 if from_zero else 6, 0), textcoords='offset points', va='center', **style
        )
    axes.set_yticks(range(len(rows)), [folded(name) for name in rows], **LITERAL)
    room = 1.42 if any(spread.deviation is not None for spread in measured) else 1.18
    length = max((max(ends) - start) * room, 1 if from_zero else 0.1)
    axes.set(xlim=(start, start + length), ylim=(len(rows) - 0.5, -0.5))
    plain(axes)
    axes.tick_params(axis='y', length=0, labelsize=9)
