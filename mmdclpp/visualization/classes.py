"""A metric of every class, for several methods."""

import itertools
import math
from pathlib import Path
from typing import List, Mapping, Sequence

from matplotlib.axes import Axes

from mmdclpp.errors import UserError
from mmdclpp.utils.seeds import OverSeeds

from .style import COLOURS, FAINT, LABEL, LITERAL, TITLE, PathLike, folded, legend_below, new_figure, plain, save_figure

CLASSES_A_COLUMN = 40
# More methods than colours differ in the marker.
MARKERS = ('o', 'D', '^')
STACK = 0.7  # of a class's height, for the methods' bars


def class_chart(
    rows: Mapping[str, Mapping[str, Sequence[float]]], out_png: PathLike, title: str = '', label: str = 'AP [%]'
) -> Path:
    """Draw one line a class with a dot for each method, the class with the highest mean over the methods on top.

    Where a method has several seeds, its dot is their mean, and a bar spans one sample standard deviation to either
    side. Classes that nobody has a value of stand last, without a dot.

    Args:
        rows (Mapping[str, Mapping[str, Sequence[float]]]): Name of the method -> class -> its values over the seeds;
            a value that was not measured is missing.
        out_png (str or PathLike): The picture to write.
        title (str): Its title. Defaults to '', none.
        label (str): What the values are. Defaults to 'AP [%]'.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no method or no class.
    """
    spreads = {
        name: {category: OverSeeds.of(values) for category, values in row.items() if values}
        for name, row in rows.items()
    }
    classes = _sorted_by_mean(list(dict.fromkeys(itertools.chain(*rows.values()))), spreads)
    if not classes:
        raise UserError('rows holds no class: give method -> class -> values over the seeds')
    columns = math.ceil(len(classes) / CLASSES_A_COLUMN)
    length = math.ceil(len(classes) / columns)
    has_bars = any(spread.deviation for row in spreads.values() for spread in row.values())
    label += '\nbars: ± sample standard deviation' if has_bars else ''
    figure = new_figure(1.2 + 4 * columns, 1.2 + 0.19 * length)
    for index, axes in enumerate(figure.subplots(1, columns, sharex=True, squeeze=False)[0]):
        _draw_dots(axes, classes[index * length : (index + 1) * length], spreads, has_bars)
        axes.set_ylim(length - 0.4, -0.6)  # classes stand equally close in each column
        axes.set_xlabel(label, **LABEL)
    if title:
        figure.suptitle(title, **TITLE)
    legend_below(figure, *figure.axes[0].get_legend_handles_labels())
    return save_figure(figure, out_png)


def _sorted_by_mean(classes: List[str], spreads: Mapping[str, Mapping[str, OverSeeds]]) -> List[str]:
    def mean(name: str) -> float:
        means = [row[name].mean for row in spreads.values() if name in row]
        return sum(means) / len(means) if means else -math.inf

    return sorted(classes, key=mean, reverse=True)


def _draw_dots(
    axes: Axes, classes: Sequence[str], spreads: Mapping[str, Mapping[str, OverSeeds]], has_bars: bool
) -> None:
    axes.hlines(range(len(classes)), 0, 1, FAINT, alpha=0.25, linewidth=0.6, transform=axes.get_yaxis_transform())
    for index, (name, row) in enumerate(spreads.items()):
        style = {'color': COLOURS[index % len(COLOURS)], 'marker': MARKERS[index // len(COLOURS) % len(MARKERS)]}
        places = [place for place, category in enumerate(classes) if category in row]
        found = [row[classes[place]] for place in places]
        deviations = [spread.deviation or 0 for spread in found]
        # Bars on one line would hide one another.
        shift = STACK * ((index + 0.5) / len(spreads) - 0.5) if has_bars else 0
        axes.errorbar(
            [spread.mean for spread in found],
            [place + shift for place in places],
            # Zeros would still draw a stub.
            xerr=deviations if any(deviations) else None,
            linestyle='none',
            markersize=4.2,
            markeredgewidth=0,
            elinewidth=0.8,
            alpha=0.85,
            label=name,
            **style,
        )
    axes.set_yticks(range(len(classes)), [folded(category) for category in classes], **LITERAL)
    plain(axes)
    axes.tick_params(axis='y', length=0, labelsize=7.5)
