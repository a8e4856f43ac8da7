"""From the results of evaluations to files and to the terminal."""

from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence

from rich.console import Console

from mmdclpp.apis._tables import conventions, escaped, markdown, print_table
from mmdclpp.apis.evaluation.methods import Key, Method, keys_of, methods_of
from mmdclpp.apis.evaluation.tables import all_figures, checkpoint_table, class_figures, class_tables, poster_tables
from mmdclpp.utils.files import PathLike, write_whole
from mmdclpp.utils.strict_json import strict_json
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
    explained = escaped(_conventions(methods))

    parts = ['# Evaluation', explained, *map(markdown, poster_tables(methods, keys, poster))]
    parts += [f'![{name}]({name}.png)' for name in pictures]
    parts += ['## All figures'] if keys else []
    parts += [markdown(all_figures(methods, key), level=3) for key in keys]
    parts += ['Figures of each class: [results_per_class.md](results_per_class.md)'] if per_class else []
    parts += [markdown(checkpoint_table(methods))]
    texts = {
        'results.json': strict_json(results),
        'results.md': '\n\n'.join(parts),
    }
    if per_class:
        texts['results_per_class.md'] = '\n\n'.join(['# Figures of each class', explained, *map(markdown, per_class)])
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
        print_table(table, console)
    console.print(_conventions(methods), style='dim', markup=False, highlight=False)


def _conventions(methods: Sequence[Method]) -> str:
    return conventions({len(method.models) for method in methods}, {method.arch for method in methods})


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
