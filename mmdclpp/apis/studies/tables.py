"""What stands in the tables of a study."""

from statistics import fmean, stdev
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from mmdclpp.apis._tables import MISSING, Cell, Table, figures
from mmdclpp.apis.evaluation.methods import Key
from mmdclpp.apis.evaluation.tables import OF1_NOTE, POSTER, poster_columns
from mmdclpp.apis.studies.main_effects import MainEffects, main_effects
from mmdclpp.apis.studies.measured import Measured, Row
from mmdclpp.utils.seeds import OverSeeds

FEATURES = {'backbone': "backbone's features", 'projection': 'projections'}
SIMILARITIES = {'intra': 'within a view', 'cross_view': 'across the views', 'inter': 'between images'}


def study_tables(measured: Measured) -> List[Table]:
    """All tables of a study, in the order of its report."""
    return _TABLES.get(measured.study.name, _only_settings)(measured)


def level(value: Any) -> str:
    """A value of a factor in words."""
    return MISSING if value is None else value if isinstance(value, str) else f'{value:g}'


def effects_of(measured: Measured, key: Key) -> Optional[MainEffects]:
    """What each factor does to the mean over seeds of an evaluation's mAP; None where nothing was measured."""
    rows = [row for row in measured.rows if row.values(key, 'mAP')]
    if not rows:
        return None
    return main_effects([row.setting.factors for row in rows], [fmean(row.values(key, 'mAP')) for row in rows])


def _only_settings(measured: Measured) -> List[Table]:
    return [_settings('Settings', measured, measured.rows, _mean_ap(measured.classified))]


def _settings(
    title: str,
    measured: Measured,
    rows: Sequence[Row],
    metrics: Mapping[Key, Sequence[str]],
    more: Optional[Mapping[str, List[Cell]]] = None,
    above: str = '',
    below: str = '',
) -> Table:
    """A row a setting: what the study varies, each metric, and ``more`` columns."""
    columns = {
        factor if len(factor) == 1 else factor.capitalize(): [Cell(level(row.factor(factor))) for row in rows]
        for factor in measured.factors
    }
    for key, names in metrics.items():
        for name in names:
            columns[key.column(name)] = figures([row.values(key, name) for row in rows], [measured.planned] * len(rows))
    columns.update(more or {})
    return Table(title, list(columns), list(zip(*columns.values())), len(measured.factors), above, below)


def _mean_ap(keys: Sequence[Key]) -> Dict[Key, Sequence[str]]:
    return {key: ['mAP'] for key in keys}


def _methods(measured: Measured) -> List[Table]:
    metrics = {key: key.metrics for key in measured.classified}
    baselines = [row for row in measured.rows if row.factor('method') in ('SimCLR', 'DenseCL')]
    best = _top_settings(measured)
    tables = [
        _settings(
            'SimCLR and DenseCL by global feature and pair feature',
            measured,
            baselines,
            metrics,
            _published(baselines, [('coco', 'linear')]),
            above=_poster_note(measured),
            below='On the poster one more row of DenseCL, with GAP, has 58.1 (mAP) and 37.3 (F1); its pair feature '
            'cannot be read.',
        ),
        _settings(
            'The best setting of each method',
            measured,
            best,
            metrics,
            poster_columns([_top_of_poster(row) for row in best], [('coco', 'linear')]),
            above=_poster_note(measured, 'its best setting of each method, that with CLS of SimCLR and DenseCL'),
            below='Of SimCLR and DenseCL the setting with the highest mean on the first evaluation, chosen on the same '
            f'images that it is reported on, which favours them a little. {OF1_NOTE}',
        ),
    ]
    segmentation = {key: key.metrics for key in measured.segmented}
    if segmentation:
        published = _published(measured.rows, [('voc', 'seg'), ('coco', 'seg')])
        note = _poster_note(measured)
        tables.append(_settings('Semantic segmentation', measured, measured.rows, segmentation, published, note))
    return tables


def _top_settings(measured: Measured) -> List[Row]:
    """Of each method the row with the highest mean of the headline's mAP, the first where none is measured."""
    groups: Dict[str, List[Row]] = {}
    for row in measured.rows:
        groups.setdefault(row.factor('method'), []).append(row)

    def mean(row: Row) -> float:
        values = row.values(measured.classified[0], 'mAP') if measured.classified else []
        return fmean(values) if values else float('-inf')

    return [max(rows, key=mean) for rows in groups.values()]


def _published(rows: Sequence[Row], tasks: Sequence[Tuple[str, str]]) -> Dict[str, List[Cell]]:
    return poster_columns([tuple(row.setting.factors.values()) for row in rows], tasks)


def _top_of_poster(row: Row) -> Tuple[str, str, Optional[str]]:
    """The poster's best setting of the row's method."""
    published = POSTER['coco', 'linear']
    return max((key for key in published if key[0] == row.factor('method')), key=lambda key: published[key]['mAP'])


def _poster_note(measured: Measured, of: str = 'the same method and features') -> str:
    source = f'Poster: the published numbers of {of} (arXiv 2210.05063)'
    if measured.budget.name == 'paper':
        return f'{source}. It does not give its hyper-parameters; ours are in the config.'
    return (
        f'{source}, of ViT-S/16 trained and evaluated on the whole of COCO and VOC. They cannot be compared with the '
        'figures of this budget, only the order of the methods can.'
    )


def _lambda(measured: Measured) -> List[Table]:
    (table,) = _only_settings(measured)
    note = (
        'At λ = 1 there is no global loss, so that CLS and GAP are the same training, done twice: what differs between '
        'them is which global feature the probe sees.'
    )
    return [table._replace(below=note)]


def _negatives(measured: Measured) -> List[Table]:
    effects = {key: effects_of(measured, key) for key in measured.classified}
    effects = {key: found for key, found in effects.items() if found is not None}
    averages = [_averages(measured, effects)] if effects else []
    if any(found.residual is not None for found in effects.values()):
        averages.append(_effects(measured, effects))
    return [*averages, _settings('All settings', measured, measured.rows, _mean_ap(measured.classified))]


def _averages(measured: Measured, effects: Mapping[Key, MainEffects]) -> Table:
    """The mean over the settings at each level of each factor."""
    columns: Dict[str, List[Cell]] = {name: [] for name in ('Factor', 'Level', 'Settings', *map(_mean_ap_of, effects))}
    for factor in measured.factors:
        levels = measured.levels(factor)
        columns['Factor'] += [Cell(factor)] * len(levels)
        columns['Level'] += [Cell(level(value)) for value in levels]
        columns['Settings'] += [Cell(str(number)) for number in levels.values()]
        for key, found in effects.items():
            averaged = found.effects[factor].levels
            columns[_mean_ap_of(key)] += figures([averaged.get(value, []) for value in levels], list(levels.values()))
    note = 'Mean ± sample standard deviation over the settings; those of several seeds count once.'
    if any(not row.values(key, 'mAP') for row in measured.rows for key in effects):
        note += (
            ' Settings without a result are left out (n: how many are averaged), so that not all averages are over the '
            'same levels of the other factors.'
        )
    return Table('Averages by factor', list(columns), list(zip(*columns.values())), num_labels=2, below=note)


def _effects(measured: Measured, effects: Mapping[Key, MainEffects]) -> Table:
    """How far apart the levels of each factor are, beside what chance would do."""
    rows, spreads = [], []
    for key, found in effects.items():
        for factor, effect in found.effects.items():
            best = max(effect.levels, key=lambda value: fmean(effect.levels[value]))
            texts = [_mean_ap_of(key), factor, level(best), f'{effect.span:.2f}']
            chance = MISSING if effect.chance is None else f'{effect.chance:.2f}'
            texts += [chance, MISSING if chance in (MISSING, '0.00') else f'{effect.span / effect.chance:.1f}']
            rows.append([Cell(text) for text in texts])
        if found.residual is not None:
            spreads.append(f'{found.residual:.2f} points of {_mean_ap_of(key)}')
    note = (
        f'What M, β and N do by themselves leaves a standard deviation of {" and ".join(spreads)} between '
        'settings: the luck of a seed, and what the factors do only together. By that alone the averages of a factor '
        'without any effect would be as far apart as “by chance” says, on average. A ratio near 1 is what chance '
        'gives; only well above it does a factor matter here.'
    )
    for key in effects:
        seeds = [row.values(key, 'mAP') for row in measured.rows]
        deviations = [stdev(values) for values in seeds if len(values) > 1]
        if deviations:
            pooled = fmean(deviation**2 for deviation in deviations) ** 0.5
            note += f' Seeds of one setting vary by {pooled:.2f} points of {_mean_ap_of(key)}.'
    columns = ['Figure', 'Factor', 'Best level', 'Highest less lowest average', 'By chance', 'Ratio']
    return Table('How much each factor matters', columns, rows, num_labels=3, below=note)


def _mean_ap_of(key: Key) -> str:
    return key.column('mAP')


def _cross_view(measured: Measured) -> List[Table]:
    note = (
        'Cosine similarity of two positions: of one view, of the two views of one image, or of two images, which were '
        'augmented as in training. Higher is neither better nor worse by itself.'
    )
    backbone, projection = (_similarities(measured, features) for features in FEATURES)
    rows, metrics = measured.rows, _mean_ap(measured.classified)
    return [
        _settings("mAP, and similarity of the backbone's features", measured, rows, metrics, backbone, below=note),
        _settings('Similarity of the projections, which the loss sees', measured, rows, {}, projection),
    ]


def _similarities(measured: Measured, features: str) -> Dict[str, List[Cell]]:
    columns = {}
    for kind, name in SIMILARITIES.items():
        values = [row.similarities(features, kind) for row in measured.rows]
        columns[name.capitalize()] = [Cell(f'{OverSeeds.of(seeds):.3f}' if seeds else MISSING) for seeds in values]
    return columns


_TABLES: Dict[str, Callable[[Measured], List[Table]]] = {
    'methods': _methods,
    'lambda': _lambda,
    'negatives': _negatives,
    'cross-view': _cross_view,
}
