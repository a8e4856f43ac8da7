"""What the poster's studies vary."""

import itertools

import pytest

from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.studies.budgets import BUDGETS
from mmdclpp.apis.studies.definitions import STUDIES
from mmdclpp.apis.studies.recipe import Recipe

EVERY = list(itertools.product(STUDIES, BUDGETS))


@pytest.mark.parametrize(('study', 'budget'), EVERY)
def test_every_setting_is_another_training_with_a_name_of_its_own(study, budget):
    settings = STUDIES[study].settings(BUDGETS[budget])
    for kind in ('name', 'factors', 'recipe'):
        values = [str(getattr(setting, kind)) for setting in settings]
        assert len(set(values)) == len(values) >= 4, kind
    assert len({setting.recipe.slug for setting in settings}) == len(settings)


@pytest.mark.parametrize('budget', BUDGETS.values(), ids=BUDGETS)
def test_the_posters_grid_is_three_by_three_by_four_and_holds_its_best_setting(budget):
    settings = STUDIES['negatives'].settings(budget)
    levels = {factor: {setting.factors[factor] for setting in settings} for factor in ('M', 'β', 'N')}
    assert {factor: len(values) for factor, values in levels.items()} == {'M': 3, 'β': 3, 'N': 4}
    assert len(settings) == 36
    star = STUDIES['methods'].settings(budget)[-1]
    assert star.factors['method'] == 'DenseCL++*'
    assert star.recipe in [setting.recipe for setting in settings]
    assert (star.recipe.num_sets, star.recipe.threshold) == (256, 0.5)
    # The poster's 64 of 196 positions, and on other grids the same share.
    assert star.recipe.cross_view == round(64 / 196 * budget.num_positions)


@pytest.mark.parametrize('budget', BUDGETS.values(), ids=BUDGETS)
def test_a_budgets_positions_are_those_of_its_config(budget):
    backbone = shipped_config(budget.config).model.backbone
    assert (backbone.img_size // backbone.patch_size) ** 2 == budget.num_positions
    assert max(budget.cross_view) < budget.num_positions


def test_the_ends_of_lambda_and_gamma_are_the_methods_themselves():
    budget = BUDGETS['tiny']
    by_lambda = {tuple(s.factors.values()): s.recipe.slug for s in STUDIES['lambda'].settings(budget)}
    methods = {tuple(s.factors.values()): s.recipe.slug for s in STUDIES['methods'].settings(budget)}
    assert by_lambda['GAP', 0.0] == methods['SimCLR', 'GAP', None]
    assert by_lambda['CLS', 0.0] == methods['SimCLR', 'CLS', None]
    assert by_lambda['GAP', 0.5] == methods['DenseCL++', 'GAP', 'backbone']
    assert STUDIES['reconstruction'].settings(budget)[0].recipe == Recipe()
    grid = [setting.recipe for setting in STUDIES['negatives'].settings(budget)]
    assert all(setting.recipe in grid for setting in STUDIES['cross-view'].settings(budget))
