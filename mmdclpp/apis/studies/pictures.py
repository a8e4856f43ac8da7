"""What is drawn of a study."""

from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from mmdclpp.apis.evaluation.methods import Key
from mmdclpp.apis.studies.document import Picture
from mmdclpp.apis.studies.measured import Measured
from mmdclpp.apis.studies.tables import FEATURES, SIMILARITIES, effects_of, level
from mmdclpp.visualization import comparison_chart, factor_chart, heat_maps, histogram_chart, line_chart

_NAMES = {'M': 'sets, M', 'β': 'threshold, β', 'N': 'cross-view negatives, N'}


def study_pictures(measured: Measured) -> List[Picture]:
    """All pictures of a study that have something to show, in the order of its report."""
    return _PICTURES.get(measured.study.name, lambda _: [])(measured)


def _methods(measured: Measured) -> List[Picture]:
    keys = [key for key in (*measured.classified, *measured.segmented) if _has_values(measured, key)]
    if not keys:
        return []
    panels = {key.text: (key.title, f'{key.metrics[0]} [%]') for key in keys}
    rows = {row.setting.name: {key.text: row.values(key, key.metrics[0]) for key in keys} for row in measured.rows}
    caption = 'Every setting by every evaluation.'
    return [Picture('comparison', caption, partial(comparison_chart, rows, panels=panels, from_zero=False))]


def _lambda(measured: Measured) -> List[Picture]:
    caption = 'mAP against the weight λ of the dense loss, for both global features; λ = 0 is SimCLR.'
    return _against(measured, 'λ', 'weight of the dense loss, λ', 'aggregate', caption)


def _reconstruction(measured: Measured) -> List[Picture]:
    caption = 'mAP against the weight γ of reconstruction, for both decoders; the horizontal line is without (γ = 0).'
    return _against(measured, 'γ', 'weight of reconstruction, γ', 'decoder', caption)


def _against(measured: Measured, factor: str, label: str, group: str, caption: str) -> List[Picture]:
    """mAP against a factor, a line for each value of another; rows without one are the baseline."""
    panels: Dict[str, Dict[str, Dict[float, List[float]]]] = {}
    baselines = {}
    for key in measured.classified:
        for row in measured.rows:
            values = row.values(key, 'mAP')
            if row.factor(group) is None:
                baselines[key.title] = values
            else:
                line = panels.setdefault(key.title, {}).setdefault(row.factor(group), {})
                line[row.factor(factor)] = values
    if not any(_has_values(measured, key) for key in measured.classified):
        return []
    draw = partial(line_chart, panels, x_label=label, y_label='mAP [%]', log=bool(baselines), baselines=baselines)
    return [Picture('map', caption, partial(draw, baseline_name=f'{factor} = 0'))]


def _negatives(measured: Measured) -> List[Picture]:
    pictures = []
    for key in measured.classified:
        found = effects_of(measured, key)
        if found is None:
            continue
        name = key.text.replace('@', '_')
        factors = {
            _NAMES[factor]: {
                level(value): effect.levels[value] for value in measured.levels(factor) if value in effect.levels
            }
            for factor, effect in found.effects.items()
        }
        caption = f'{key.title}: mAP averaged over the settings at each level of M, β and N.'
        draw = partial(factor_chart, factors, y_label='mAP [%]', title=key.title)
        pictures.append(Picture(f'factors_{name}', caption, draw))
        caption = f'{key.title}: mAP of every setting, all on one colour scale.'
        pictures.append(Picture(f'grid_{name}', caption, partial(_draw_grid, measured, key)))
    return pictures


def _draw_grid(measured: Measured, key: Key, out_png: Path) -> Path:
    levels = {name: list(measured.levels(name)) for name in 'MβN'}
    grids = {f'N = {level(value)}': np.full((len(levels['M']), len(levels['β'])), np.nan) for value in levels['N']}
    for row in measured.rows:
        values = row.values(key, 'mAP')
        place = levels['M'].index(row.factor('M')), levels['β'].index(row.factor('β'))
        grids[f'N = {level(row.factor("N"))}'][place] = np.mean(values) if values else np.nan
    rows, columns = ([level(value) for value in levels[name]] for name in 'Mβ')
    return heat_maps(grids, out_png, rows, columns, _NAMES['M'], _NAMES['β'], 'mAP [%]', key.title)


def _cross_view(measured: Measured) -> List[Picture]:
    panels, histograms = {}, []
    for features, title in FEATURES.items():
        rows = [row for row in measured.rows if row.diagnosed(features)]
        if not rows:
            continue
        panels[title] = {
            name: {row.factor('N'): row.similarities(features, kind) for row in rows}
            for kind, name in SIMILARITIES.items()
        }
        densities = {f'N = {level(row.factor("N"))}': _densities(row.diagnosed(features)) for row in rows}
        draw = partial(histogram_chart, densities, label='cosine similarity')
        caption = f'Similarity of the {title} for each N, averaged over the seeds.'
        histograms.append(Picture(f'similarities_{features}', caption, draw))
    if not panels:
        return []
    draw = partial(line_chart, panels, x_label='cross-view negatives, N', y_label='mean cosine similarity')
    return [Picture('similarity', 'Mean similarity of two positions against N.', draw), *histograms]


def _densities(found: Sequence[Mapping[str, Any]]) -> Dict[str, Tuple[Sequence[float], np.ndarray]]:
    """Edges and densities within and between images, averaged over the seeds."""
    return {
        SIMILARITIES[kind]: (
            found[0]['densities']['bins'],
            np.mean([entry['densities'][kind] for entry in found], axis=0),
        )
        for kind in ('intra', 'inter')
    }


def _has_values(measured: Measured, key: Key) -> bool:
    return any(row.values(key, key.metrics[0]) for row in measured.rows)


_PICTURES: Dict[str, Callable[[Measured], List[Picture]]] = {
    'methods': _methods,
    'lambda': _lambda,
    'negatives': _negatives,
    'cross-view': _cross_view,
    'reconstruction': _reconstruction,
}
