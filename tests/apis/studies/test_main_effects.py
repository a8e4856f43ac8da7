"""Main effects of the factors of a grid."""

import itertools
import math

import numpy as np
import pytest

from mmdclpp.apis.studies.main_effects import main_effects

GRID = [dict(a=a, b=b) for a, b in itertools.product('xyz', range(4))]


def additive(setting: dict) -> float:
    return {'x': 1.0, 'y': 3.0, 'z': 2.0}[setting['a']] + 0.5 * setting['b']


def test_levels_are_averaged_over_the_other_factors():
    found = main_effects(GRID, [additive(setting) for setting in GRID])
    assert [np.mean(values) for values in found.effects['a'].levels.values()] == [1.75, 3.75, 2.75]
    assert found.effects['a'].span == 2.0
    assert found.effects['b'].span == 1.5
    assert found.residual == pytest.approx(0, abs=1e-12)


# In the last, a = x and b = 0 stand only together, so that they are a single parameter.
@pytest.mark.parametrize(('left_out', 'parameters'), [([], 6), ([0], 6), ([3, 7, 8], 6), ([1, 2, 3, 4, 8], 5)], ids=str)
def test_the_residual_is_what_an_additive_model_leaves_of_any_part_of_the_grid(left_out, parameters):
    settings = [setting for index, setting in enumerate(GRID) if index not in left_out]
    rng = np.random.default_rng(0)
    errors = rng.normal(size=len(settings))
    figures = [additive(setting) + error for setting, error in zip(settings, errors)]
    # What an additive model can take of the errors: a constant, and one value a level.
    columns = [[setting['a'] == level for setting in settings] for level in 'xyz']
    columns += [[setting['b'] == level for setting in settings] for level in range(4)]
    design = np.array(columns, dtype=float).T
    taken = design @ np.linalg.pinv(design) @ errors
    expected = np.sqrt(np.sum((errors - taken) ** 2) / (len(settings) - parameters))
    assert main_effects(settings, figures).residual == pytest.approx(expected)


def test_without_effects_the_span_is_what_chance_gives_on_average():
    rng = np.random.default_rng(0)
    for factor in 'ab':
        ratios = []
        for _ in range(300):
            effect = main_effects(GRID, rng.normal(50, 3, len(GRID)).tolist()).effects[factor]
            ratios.append((effect.span, effect.chance))
        spans, chances = np.array(ratios).T
        assert spans.mean() == pytest.approx(chances.mean(), rel=0.08)


def test_chance_counts_how_many_settings_a_level_has():
    settings = [dict(a='x')] * 9 + [dict(a='y')]
    figures = [50.0, 52.0, 47.0, 51.0, 50.0, 49.0, 53.0, 48.0, 50.0, 55.0]
    found = main_effects(settings, figures)
    # The mean of x deviates by a third of the residual, that of y by all of it; the difference of two normal draws is
    # 2 / √π standard deviations on average.
    deviation = found.residual * math.sqrt((1 / 9 + 1) / 2)
    assert found.effects['a'].chance == pytest.approx(deviation * 2 / math.sqrt(math.pi), rel=1e-4)


def test_too_few_settings_leave_nothing_to_tell_chance_from():
    found = main_effects(GRID[:1], [5.0])
    assert found.residual is None and found.effects['a'].chance is None
    assert found.effects['a'].levels == {'x': [5.0]}
