"""Curves of a pretraining run, from the scalars that mmengine logs."""

import json
from pathlib import Path
from typing import Dict, List, Mapping, Union

from matplotlib.axes import Axes

from mmdclpp.errors import UserError

from .style import COLOURS, FAINT, INK, LABEL, NOTE, PathLike, literal, new_figure, plain, save_figure

PARTS = ('global', 'dense')
Records = List[Dict[str, float]]


def loss_curve(log_json: Union[PathLike, Mapping[str, PathLike]], out_png: PathLike) -> Path:
    """Draw InfoNCE with its chance level, and the mean similarities, against the iteration.

    One column for each of the global and the dense part that a run logged: above ``<part>_nce`` (unweighted, in nats)
    with ``<part>_chance`` dashed, below ``<part>_pos_sim`` solid and ``<part>_neg_sim`` dotted. If no run
    logged either part, the total ``loss`` is drawn. What is missing in a log is left out.

    Args:
        log_json (str or PathLike or Mapping): A log as :func:`read_scalars` takes it, or several as name -> log, which
            are overlaid.
        out_png (str or PathLike): The picture to write.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If a log is missing, is not a log, or holds none of these scalars.
    """
    logs = log_json if isinstance(log_json, Mapping) else {'': log_json}
    runs = {name: read_scalars(log) for name, log in logs.items()}
    if not runs:
        raise UserError('log_json names no run: give a log file, or a dict of name and log file')
    parts = [part for part in PARTS if any(f'{part}_nce' in line for run in runs.values() for line in run)]
    if parts:
        figure = new_figure(4.2 * len(parts), 5)
        panels = figure.subplots(2, len(parts), squeeze=False, sharex=True, height_ratios=(3, 2))
        for part, (above, below) in zip(parts, panels.T):
            _draw_nce(above, part, runs)
            _draw_similarities(below, part, runs)
        panels[0, 0].set_ylabel('InfoNCE [nats]', **LABEL)
        panels[1, 0].set_ylabel('mean cosine similarity', **LABEL)
    else:
        figure = new_figure(5, 3)
        panels = figure.subplots(squeeze=False)
        for (name, run), colour in zip(runs.items(), _colours(runs)):
            _draw_series(panels[0, 0], run, 'loss', color=colour, label=name or None)
        panels[0, 0].set_ylabel('loss', **LABEL)
    for axes in panels.flat:
        plain(axes)
        axes.grid(axis='y', color=FAINT, alpha=0.25, linewidth=0.6)
    for axes in panels[-1]:
        axes.set_xlabel('iteration', **LABEL)
    named = {}
    for axes in panels.flat:  # a run can be absent from some of them
        handles, labels = axes.get_legend_handles_labels()
        named.update(zip(labels, handles))
    if named:
        style = {'ncols': 4, 'frameon': False, 'fontsize': 8, 'labelcolor': INK}
        literal(figure.legend(named.values(), named.keys(), loc='outside lower center', **style))
    return save_figure(figure, out_png)


def read_scalars(log: PathLike) -> Records:
    """Read the training scalars that mmengine's ``LoggerHook`` wrote.

    Args:
        log (str or PathLike): A file with one JSON object a line, such as ``<work_dir>/<time>/vis_data/scalars.json``;
            or a work directory, whose logs are joined in the order of time: a run that was resumed counts from there
            on. A last line that is cut off, as a killed run leaves it, is skipped.

    Returns:
        List[Dict[str, float]]: The lines with a loss, in the order of the iteration, which is their ``step``.

    Raises:
        UserError: If there is no such file, a line is not JSON, or no line has a loss.
    """
    log = Path(log)
    files = sorted(log.glob('*/vis_data/scalars.json')) if log.is_dir() else [log]
    records: Records = []
    for file in files:
        resumed = _read_file(file)
        if resumed:
            records = [line for line in records if line['step'] < resumed[0]['step']] + resumed
    if not records:
        raise UserError(
            f'{log} holds no training scalars (loss, global_nce, dense_nce): give the vis_data/scalars.json of a '
            'pretraining run, or its work directory'
        )
    return records


def _read_file(file: Path) -> Records:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', 'not text')
        raise UserError(f'{file} cannot be read ({reason}): give the vis_data/scalars.json of a run') from error
    records, lines = [], text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            if number == len(lines) and not text.endswith('\n'):
                break
            raise UserError(
                f'{file}, line {number}, is not JSON: give the vis_data/scalars.json of a run, one object a line'
            ) from error
        if isinstance(record, dict) and any(key in record for key in ('loss', 'global_nce', 'dense_nce')):
            step = record.get('step', record.get('iter'))
            if step is not None:
                records.append({**record, 'step': step})
    return records


def _colours(runs: Mapping[str, Records]) -> List[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(runs))]


def _draw_series(axes: Axes, run: Records, key: str, **style) -> None:
    points = [(line['step'], line[key]) for line in run if key in line]
    if points:
        # One logged iteration is a point, of which a line shows nothing.
        axes.plot(*zip(*points), marker='o' if len(points) == 1 else None, markersize=4, **style)


def _draw_nce(axes: Axes, part: str, runs: Mapping[str, Records]) -> None:
    key = f'{part}_chance'
    levels = [round(run[-1][key], 2) for run in runs.values() if key in run[-1]]
    for (name, run), colour in zip(runs.items(), _colours(runs)):
        _draw_series(axes, run, f'{part}_nce', color=colour, label=name or None, linewidth=1.6)
        # A level that runs share belongs to none of them, and would hide all but the last one's colour.
        shared = levels.count(round(run[-1].get(key, 0), 2)) > 1 or len(runs) == 1
        _draw_series(axes, run, key, color=INK if shared else colour, linewidth=1, linestyle=(0, (5, 3)))
    title = f'{part} part'
    if levels:
        values = ' to '.join(f'{level:.2f}' for level in sorted({min(levels), max(levels)}))
        title += f'\ndashed: chance level ln(1 + negatives) = {values}'
    axes.set_title(title, **LABEL)


def _draw_similarities(axes: Axes, part: str, runs: Mapping[str, Records]) -> None:
    for run, colour in zip(runs.values(), _colours(runs)):
        _draw_series(axes, run, f'{part}_pos_sim', color=colour, linewidth=1.6)
        _draw_series(axes, run, f'{part}_neg_sim', color=colour, linewidth=1.6, linestyle=(0, (1, 1.5)))
    axes.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    axes.set_title('solid: positives, dotted: negatives', **NOTE)
