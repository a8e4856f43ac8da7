"""Averages over a grid of settings, factor by factor."""

from pathlib import Path
from typing import Mapping, Sequence

from matplotlib.axes import Axes

from mmdclpp.errors import UserError
from mmdclpp.utils.seeds import OverSeeds

from .style import COLOURS, FAINT, INK, LABEL, LITERAL, NOTE, TITLE, PathLike, new_figure, plain, save_figure


def factor_chart(
    factors: Mapping[str, Mapping[str, Sequence[float]]], out_png: PathLike, y_label: str, title: str = ''
) -> Path:
    """Draw the mean of a figure over the settings at each level of each factor, one panel a factor on one scale.

    Whiskers span one sample standard deviation over the settings to either side; each setting is a small ring.

    Args:
        factors (Mapping[str, Mapping[str, Sequence[float]]]): Name of the factor -> its level -> the figures of the
            settings there.
        out_png (str or PathLike): The picture to write.
        y_label (str): What is measured.
        title (str): Its title. Defaults to '', none.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no factor, or a level has no setting.
    """
    if not factors or not all(levels and all(levels.values()) for levels in factors.values()):
        raise UserError('factors lacks a value: give factor -> level -> figures of one setting or more')
    widths = [max(len(levels), 2) + 0.6 for levels in factors.values()]
    figure = new_figure(0.9 + 0.72 * sum(widths), 3.1)
    panels = figure.subplots(1, len(factors), sharey=True, squeeze=False, width_ratios=widths)
    for axes, (name, levels) in zip(panels.flat, factors.items()):
        _draw_levels(axes, levels)
        axes.set_xlabel(name, **LABEL)
    panels.flat[0].set_ylabel(y_label, **LABEL)
    if title:
        figure.suptitle(title, **TITLE)
    figure.supxlabel('square: mean · rings: settings · whisker: ± sample standard deviation', **NOTE)
    return save_figure(figure, out_png)


def _draw_levels(axes: Axes, levels: Mapping[str, Sequence[float]]) -> None:
    spreads = [OverSeeds.of(values) for values in levels.values()]
    means = [spread.mean for spread in spreads]
    for place, values in enumerate(levels.values()):
        axes.scatter([place + 0.22] * len(values), values, s=9, facecolor='none', edgecolor=FAINT, linewidth=0.7)
    axes.errorbar(
        range(len(levels)), means, [spread.deviation or 0 for spread in spreads], fmt='none', ecolor=INK, capsize=3
    )
    axes.plot(range(len(levels)), means, marker='s', markersize=6, linewidth=1.5, color=COLOURS[0])
    axes.set_xticks(range(len(levels)), [f'{level}\nn = {len(values)}' for level, values in levels.items()], **LITERAL)
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.grid(axis='y', color=FAINT, alpha=0.25, linewidth=0.6)
    plain(axes)
