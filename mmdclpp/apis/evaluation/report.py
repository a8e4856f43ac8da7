"""From the results of evaluations to files and to the terminal."""

import json
import math
import re
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Sequence

import rich.table
from rich.console import Console
from rich.text import Text

from mmdclpp.apis.evaluation.methods import Key, Method, keys_of, methods_of
from mmdclpp.apis.evaluation.tables import (
    Table,
    all_figures,
    checkpoint_table,
    class_figures,
    class_tables,
    conventions,
    poster_tables,
)
from mmdclpp.utils.files import PathLike, write_whole
from mmdclpp.visualization import class_chart, comparison_chart, sweep_chart


def write_report(results: Mapping, folder: PathLike, poster: bool = False) -> List[Path]:
    """Write results as JSON, tables and pictures; each file is there whole or not at all.

    These are ``results.json``, where what is not finite is null; ``results.md`` with the poster's tables, all figures
    of each evaluation, and the checkpoints; ``results_per_class.md``; ``comparison.png``; and of each evaluation that
    has such figures ``classes_<evaluation>.png`` and ``sweep_<evaluation>.png``.

    Args:
        results (Mapping): ``version`` and ``models``, see :mod:`mmdclpp.apis.evaluation.methods`, which also says what
            are seeds of one method.
        folder (str or PathLike): Where to; made where missing.
        poster (bool): Whether the evaluations are the poster's, on its data and with its backbone, so that its numbers
            may stand beside them. Defaults to False.

    Returns:
        List[Path]: The files, in the order above.

    Raises:
        UserError: If a file cannot be written.
    """
    folder = Path(folder)
    methods, keys = methods_of(results['models']), keys_of(results['models'])
    pictures = _pictures(methods, keys)
    per_class = [table for key in keys for table in class_tables(methods, key)]
    explained = _escaped(conventions(methods))

    parts = ['# Evaluation', explained, *map(_markdown, poster_tables(methods, keys, poster))]
    parts += [f'![{name}]({name}.png)' for name in pictures]
    parts += ['## All figures'] if keys else []
    parts += [_markdown(all_figures(methods, key), level=3) for key in keys]
    parts += ['Figures of each class: [results_per_class.md](results_per_class.md)'] if per_class else []
    parts += [_markdown(checkpoint_table(methods))]
    texts = {
        'results.json': json.dumps(_finite(results), indent=2, ensure_ascii=False),
        'results.md': '\n\n'.join(parts),
    }
    if per_class:
        texts['results_per_class.md'] = '\n\n'.join(['# Figures of each class', explained, *map(_markdown, per_class)])
    files = [write_whole(folder / name, f'{text}\n') for name, text in texts.items()]
    return files + [draw(out_png=folder / f'{name}.png') for name, draw in pictures.items()]


def print_report(results: Mapping, console: Console, poster: bool = False) -> None:
    """Print the poster's tables, each as several where it is wider than the console.

    Args:
        results (Mapping): As for :func:`write_report`.
        console (Console): Where to.
        poster (bool): As for :func:`write_report`. Defaults to False.
    """
    methods, keys = methods_of(results['models']), keys_of(results['models'])
    for table in poster_tables(methods, keys, poster):
        console.print(table.title, style='bold')
        for columns in _fitting_columns(table, console.width):
            shown = rich.table.Table()
            for index in columns:
                justify = 'left' if index < table.num_labels else 'right'
                shown.add_column(Text(table.columns[index]), justify=justify, overflow='fold')
            for row in table.rows:
                cells = (row[index] for index in columns)
                shown.add_row(*(Text(cell.text, style='bold' if cell.best else '') for cell in cells))
            console.print(shown)
    console.print(conventions(methods), style='dim', markup=False, highlight=False)


def _fitting_columns(table: Table, width: int) -> Iterator[List[int]]:
    """Indices of the columns that fit side by side with the labels, one figure at the least."""
    widths = [
        max(len(text) for text in (column, *(row[index].text for row in table.rows))) + 3  # padding and rule
        for index, column in enumerate(table.columns)
    ]
    labels = list(range(table.num_labels))
    part: List[int] = []
    for index in range(table.num_labels, len(widths)):
        if part and 1 + sum(widths[each] for each in (*labels, *part, index)) > width:
            yield labels + part
            part = []
        part.append(index)
    yield labels + part


def _finite(value: object) -> object:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _markdown(table: Table, level: int = 2) -> str:
    rules = ['---' if index < table.num_labels else '--:' for index in range(len(table.columns))]
    lines = [[_escaped(column) for column in table.columns], rules]
    for row in table.rows:
        lines.append([f'**{_escaped(cell.text)}**' if cell.best else _escaped(cell.text) for cell in row])
    text = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    parts = (f'{"#" * level} {_escaped(table.title)}', _escaped(table.above), text, _escaped(table.below))
    return '\n\n'.join(part for part in parts if part)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, also within a table."""
    return re.sub(r'([\\|*`<\[\]])', r'\\\1', ' '.join(text.split()))


def _pictures(methods: Sequence[Method], keys: Sequence[Key]) -> Dict[str, Callable[..., Path]]:
    """Name of each picture -> what draws it, given ``out_png``."""
    pictures = {}
    panels = {key.text: (key.title, f'{key.metrics[0]} [%]') for key in keys if key.metrics}
    rows = {
        method.label: {key.text: method.values(key, key.metrics[0]) for key in keys if key.metrics}
        for method in methods
    }
    if any(values for row in rows.values() for values in row.values()):
        pictures['comparison'] = partial(comparison_chart, rows, panels=panels)
    for key in keys:
        name = key.text.replace('@', '_')
        for figure in class_figures(methods, key)[:1]:
            classes = {
                method.label: {
                    entry['class']: method.class_values(key, entry['class'], figure)
                    for entry in method.class_entries(key)
                }
                for method in methods
                if method.class_entries(key)
            }
            pictures[f'classes_{name}'] = partial(class_chart, classes, title=key.title, label=f'{figure} [%]')
        sweeps = {method.label: [run['sweep'] for run in method.runs(key) if run.get('sweep')] for method in methods}
        sweeps = {label: runs for label, runs in sweeps.items() if runs}
        if sweeps:
            pictures[f'sweep_{name}'] = partial(sweep_chart, sweeps, title=key.title)
    return pictures
