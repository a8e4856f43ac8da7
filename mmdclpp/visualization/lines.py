"""Figures against what a study varies."""

from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from mmdclpp.errors import UserError
from mmdclpp.utils.seeds import OverSeeds

from .style import COLOURS, FAINT, INK, LABEL, TITLE, PathLike, legend_below, new_figure, plain, save_figure

MARKERS = 'os^D'
LINE_STYLES = ('-', '--', ':', '-.')
_APART = 4.0  # points between lines at one x, so that none hides another's whiskers

# x -> the values over the seeds; none where nothing was measured.
Line = Mapping[float, Sequence[float]]


def line_chart(
    panels: Mapping[str, Mapping[str, Line]],
    out_png: PathLike,
    x_label: str,
    y_label: str,
    log: bool = False,
    baselines: Optional[Mapping[str, Sequence[float]]] = None,
    baseline_name: str = 'baseline',
) -> Path:
    """Draw lines of means over seeds against a parameter, one panel a figure.

    Whiskers span one sample standard deviation to either side, small rings are the seeds. Lines differ in colour,
    marker and dashes, and stand a little apart where they share an x.

    Args:
        panels (Mapping[str, Mapping[str, Line]]): Title of the panel -> name of the line -> x -> values over seeds.
        out_png (str or PathLike): The picture to write.
        x_label (str): What is varied.
        y_label (str): What is measured.
        log (bool): Whether x has a logarithmic scale. Defaults to False.
        baselines (Mapping[str, Sequence[float]], optional): Title of the panel -> values over the seeds of what is
            drawn as a horizontal line with a band of one standard deviation to either side. Defaults to None.
        baseline_name (str): Its name in the legend. Defaults to 'baseline'.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If no panel has a value.
    """
    baselines = {title: values for title, values in (baselines or {}).items() if values}
    panels = {title: lines for title, lines in panels.items() if any(any(line.values()) for line in lines.values())}
    if not panels:
        raise UserError('panels holds no value: give title -> name of a line -> x -> values over the seeds')
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    styles = {
        name: {'color': COLOURS[index % 6], 'marker': MARKERS[index % 4], 'linestyle': LINE_STYLES[index % 4]}
        for index, name in enumerate(names)
    }
    figure = new_figure(0.9 + 3.5 * len(panels) + (0.6 if len(panels) == 1 else 0), 3.1)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels.items()):
        if log:
            axes.set_xscale('log')
        if title in baselines:
            _draw_baseline(axes, OverSeeds.of(baselines[title]))
        for index, name in enumerate(lines):
            _draw_line(figure, axes, lines[name], styles[name], (index - (len(lines) - 1) / 2) * _APART)
        ticks = sorted({x for line in lines.values() for x in line})
        axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
        axes.minorticks_off()
        axes.margins(x=0.08)
        axes.autoscale_view()
        axes.set_title(title, **TITLE)
        axes.set_xlabel(x_label, **LABEL)
        axes.set_ylabel(y_label, **LABEL)
        axes.grid(axis='y', color=FAINT, alpha=0.25, linewidth=0.6)
        plain(axes)
    handles = {name: Line2D([], [], markersize=5, linewidth=1.5, **style) for name, style in styles.items()}
    drawn = [values for lines in panels.values() for line in lines.values() for values in line.values()]
    if any(len(values) > 1 for values in drawn):
        handles['one seed'] = _seed([], [])
    if set(baselines) & set(panels):
        handles[baseline_name] = Line2D([], [], color=INK, linewidth=1)
        if any(len(values) > 1 for values in baselines.values()):
            handles['± std of it'] = Patch(color=FAINT, alpha=0.25, linewidth=0)
    if len(handles) > 1:
        legend_below(figure, list(handles.values()), list(handles))
    return save_figure(figure, out_png)


def _draw_baseline(axes: Axes, spread: OverSeeds) -> None:
    if spread.deviation is not None:
        low, high = spread.mean - spread.deviation, spread.mean + spread.deviation
        axes.axhspan(low, high, color=FAINT, alpha=0.25, linewidth=0)
    axes.axhline(spread.mean, color=INK, linewidth=1)


def _draw_line(figure: Figure, axes: Axes, line: Line, style: Dict[str, str], shift: float) -> None:
    spreads = {x: OverSeeds.of(values) for x, values in line.items() if values}
    means = [spread.mean for spread in spreads.values()]
    transform = axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
    # The axes leave lines that are shifted out of their limits.
    for x, spread in spreads.items():
        deviation = spread.deviation or 0
        axes.update_datalim([(x, y) for y in (spread.mean - deviation, spread.mean + deviation, *line[x])])
    if any(spread.deviation is not None for spread in spreads.values()):
        deviations = [spread.deviation or 0 for spread in spreads.values()]
        axes.errorbar(
            list(spreads), means, deviations, fmt='none', ecolor=style['color'], capsize=3, transform=transform
        )
        seeds = [(x, value) for x, values in line.items() if len(values) > 1 for value in values]
        axes.add_line(_seed(*zip(*seeds), transform=transform))
    axes.plot(list(spreads), means, markersize=5, linewidth=1.5, transform=transform, **style)


def _seed(x: Sequence[float], y: Sequence[float], **more: object) -> Line2D:
    return Line2D(
        x, y, linestyle='none', marker='o', markersize=3, color=INK, fillstyle='none', markeredgewidth=0.6, **more
    )
