"""The tables of a report on evaluations."""

import json
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from mmdclpp.apis._tables import MISSING, Cell, Table, figures
from mmdclpp.apis.evaluation.methods import DATA, Key, Method

# By method, aggregate and pair feature, in percent. Source: "Main Results" of the poster of Iskender et al., "Improving
# Dense Contrastive Learning with Dense Negative Pairs" (arXiv 2210.05063): ViT-S/16, the data sets in full. It does not
# say which F1 it means. Left out: rows of its first table whose labels cannot be read.
POSTER = {
    ('coco', 'linear'): {
        ('SimCLR', 'CLS', None): {'mAP': 59.6, 'F1': 37.8},
        ('DenseCL', 'CLS', 'backbone'): {'mAP': 59.9, 'F1': 38.1},
        ('DenseCL', 'CLS', 'projection'): {'mAP': 59.8, 'F1': 38.1},
        ('DenseCL++', 'GAP', 'backbone'): {'mAP': 63.4, 'F1': 39.0},
        ('DenseCL++*', 'GAP', 'backbone'): {'mAP': 64.1, 'F1': 39.1},
    },
    ('voc', 'seg'): {('SimCLR', 'GAP', None): {'mIoU': 69.3}, ('DenseCL++', 'GAP', 'backbone'): {'mIoU': 70.0}},
    ('coco', 'seg'): {('SimCLR', 'GAP', None): {'mIoU': 61.5}, ('DenseCL++', 'GAP', 'backbone'): {'mIoU': 63.3}},
}
OF1_NOTE = (
    'OF1: overall F1, from the decisions on all images and classes together, where a class is predicted from a score '
    'of 0.5 on. The poster does not say which F1 it reports; the others are among the figures of each evaluation.'
)
_POSTER_NOTE = 'Poster: the published number of the method with the same aggregate and pair feature, arXiv 2210.05063.'


def poster_tables(methods: Sequence[Method], keys: Sequence[Key], poster: bool) -> List[Table]:
    """The poster's two tables, as far as they were measured, k-NN beside the linear probes.

    Args:
        methods (Sequence[Method]): The rows.
        keys (Sequence[Key]): The evaluations.
        poster (bool): Whether the poster's numbers stand beside ours.

    Returns:
        List[Table]: Multi-label classification and semantic segmentation.
    """
    classified = [key for key in keys if key.kind in ('linear', 'knn')]
    segmented = [key for key in keys if key.kind == 'seg']
    tables = [
        _poster_table('Multi-label classification', methods, classified, poster, always=('Agg.',)),
        _poster_table('Semantic segmentation', methods, segmented, poster),
    ]
    return [table for table in tables if len(table.columns) > table.num_labels]


def _poster_table(
    title: str, methods: Sequence[Method], keys: Sequence[Key], poster: bool, always: Sequence[str] = ()
) -> Table:
    """A row a method, a column a metric. Of the labels that the poster lacks, those that differ are shown."""
    labels = {
        'Method': [method.name for method in methods],
        'Backbone': [method.arch for method in methods],
        'Agg.': [method.aggregate for method in methods],
        'Pair feature': [method.pair_feature or MISSING for method in methods],
        'n': [str(len(method.models)) for method in methods],
    }
    always = ('Method', 'Pair feature', *always)
    labels = {name: column for name, column in labels.items() if name in always or len(set(column)) > 1}
    columns = {name: [Cell(text) for text in column] for name, column in labels.items()}
    for key in keys:
        for metric in key.metrics:
            values = [method.values(key, metric) for method in methods]
            if any(values):
                columns[key.column(metric)] = _figures(methods, values)
    notes = [OF1_NOTE] if any(' OF1' in name for name in columns) else []
    if poster:
        identities = [(method.models[0]['name'], method.aggregate, method.pair_feature) for method in methods]
        columns.update(poster_columns(identities, ((key.data, key.kind) for key in keys)))
        notes.append(_POSTER_NOTE)
    return Table(title, list(columns), list(zip(*columns.values())), len(labels), below=' '.join(notes))


def poster_columns(
    methods: Sequence[Tuple[str, str, Optional[str]]], tasks: Iterable[Tuple[str, str]]
) -> Dict[str, List[Cell]]:
    """The poster's numbers of methods.

    Args:
        methods (Sequence[Tuple[str, str, str]]): Name, aggregate and pair feature of each.
        tasks (Iterable[Tuple[str, str]]): Data and kind of the evaluations.

    Returns:
        Dict[str, List[Cell]]: Header of a column -> a cell a method; no column without a number.
    """
    columns = {}
    for data, kind in dict.fromkeys(tasks):
        published = POSTER.get((data, kind), {})
        rows = [published.get(method, {}) for method in methods]
        for metric in dict.fromkeys(metric for row in rows for metric in row):
            cells = [Cell(str(row[metric]) if metric in row else MISSING) for row in rows]
            columns[f'Poster: {DATA[data]} {metric}'] = cells
    return columns


def _figures(methods: Sequence[Method], values: Sequence[List[float]]) -> List[Cell]:
    return figures(values, [len(method.models) for method in methods])


def all_figures(methods: Sequence[Method], key: Key) -> Table:
    """All metrics of an evaluation, a column a method; below them what was set differently, above what was set alike.

    Args:
        methods (Sequence[Method]): The columns; those without the evaluation are left out.
        key (Key): The evaluation.

    Returns:
        Table: One row a metric or a setting.
    """
    methods = [method for method in methods if method.runs(key)]
    metrics = dict.fromkeys(metric for method in methods for run in method.runs(key) for metric in run['metrics'])
    rows = [
        [Cell(metric), *_figures(methods, [method.values(key, metric) for method in methods])] for metric in metrics
    ]
    settings = [[_settings(run) for run in method.runs(key)] for method in methods]
    alike = []
    for name in dict.fromkeys(name for runs in settings for run in runs for name in run):
        values = [[run.get(name, MISSING) for run in runs] for runs in settings]
        if len({value for runs in values for value in runs}) == 1:
            alike.append(f'{name}: {values[0][0]}')
        else:
            rows.append([Cell(name), *(Cell(' / '.join(runs)) for runs in values)])
    return Table(key.title, ['Figure', *(method.label for method in methods)], rows, above=' · '.join(alike))


def _settings(run: Mapping) -> Dict[str, str]:
    settings = {'protocol': run['protocol'], 'data': run['data'], **run['settings']}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}


def class_figures(methods: Sequence[Method], key: Key) -> List[str]:
    """The names of the figures that an evaluation has of each class, the most telling first."""
    entries = (entry for method in methods for entry in method.class_entries(key))
    return list(dict.fromkeys(name for entry in entries for name in entry if name not in ('class', 'positives')))


def class_tables(methods: Sequence[Method], key: Key) -> List[Table]:
    """A table for each of an evaluation's figures of classes: a row a class, a column a method."""
    methods = [method for method in methods if method.class_entries(key)]
    entries = [entry for method in methods for entry in method.class_entries(key)]
    positives = {entry['class']: entry.get('positives') for entry in entries}
    counted = any(count is not None for count in positives.values())
    columns = ['Class', *(['Positives'] if counted else []), *(method.label for method in methods)]
    tables = []
    for figure in class_figures(methods, key):
        rows = []
        for name, count in positives.items():
            labels = [Cell(name), Cell(str(count))] if counted else [Cell(name)]
            rows.append([*labels, *_figures(methods, [method.class_values(key, name, figure) for method in methods])])
        tables.append(Table(f'{key.title}: {figure}', columns, rows))
    return tables


def checkpoint_table(methods: Sequence[Method]) -> Table:
    """One row a checkpoint, in the order of the other tables: which weights they speak of."""
    rows = []
    for method in methods:
        for model in method.models:
            seconds = sum(run['seconds'] for run in model['evaluations'].values())
            known = (model['seed'], model['checkpoint'], model['fingerprint'][:12], f'{seconds:.0f}')
            rows.append([Cell(method.label), *(Cell(MISSING if value is None else str(value)) for value in known)])
    columns = ['Method', 'Seed', 'Checkpoint', 'Fingerprint', 'Evaluated in [s]']
    return Table('Checkpoints', columns, rows, num_labels=4)
