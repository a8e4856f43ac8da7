"""Bars of the downstream metrics of several methods."""

from pathlib import Path
from typing import Mapping

from matplotlib.axes import Axes

from mmdclpp.errors import UserError

from .style import COLOURS, INK, LABEL, TITLE, PathLike, new_figure, plain, save_figure

PANELS = {
    'mAP': 'multi-label classification (linear probe)',
    'mIoU': 'semantic segmentation',
}


def comparison_chart(rows: Mapping[str, Mapping[str, float]], out_png: PathLike) -> Path:
    """Draw mAP and mIoU of several methods as bars, side by side, the best value of each in bold.

    Args:
        rows (Mapping[str, Mapping[str, float]]): Name of the method -> ``dict(mAP=..., mIoU=...)`` in percent, drawn
            from top to bottom. A metric that was not measured is missing or None.
        out_png (str or PathLike): The picture to write.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no method, no metric, or a value outside 0 to 100.
    """
    metrics = [metric for metric in PANELS if any(row.get(metric) is not None for row in rows.values())]
    if not metrics:
        raise UserError('rows holds neither mAP nor mIoU: give name -> dict(mAP=..., mIoU=...) in percent')
    for name, row in rows.items():
        for metric in metrics:
            if row.get(metric) is not None and not 0 <= row[metric] <= 100:
                raise UserError(f'{metric}={row[metric]!r} of {name!r} is not a percentage: give 0 to 100')
    figure = new_figure(1.6 + 3.1 * len(metrics), 0.9 + 0.42 * len(rows))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric, colour in zip(panels, metrics, COLOURS):
        _draw_bars(axes, {name: row.get(metric) for name, row in rows.items()}, colour)
        axes.set_title(PANELS[metric], **TITLE)
        axes.set_xlabel(f'{metric} [%]', **LABEL)
    return save_figure(figure, out_png)


def _draw_bars(axes: Axes, values: Mapping[str, float], colour: str) -> None:
    measured = [value for value in values.values() if value is not None]
    best = max(measured)
    axes.barh(range(len(values)), [value or 0 for value in values.values()], height=0.62, color=colour)
    for place, value in enumerate(values.values()):
        text = ' not measured' if value is None else f' {value:.1f}'
        weight = 'bold' if value == best and len(measured) > 1 else 'normal'
        axes.text(value or 0, place, text, va='center', fontsize=8, color=INK, fontweight=weight)
    axes.set_yticks(range(len(values)), list(values))
    axes.set(xlim=(0, max(best * 1.18, 1)), ylim=(len(values) - 0.5, -0.5))
    plain(axes)
    axes.tick_params(axis='y', length=0, labelsize=9)
