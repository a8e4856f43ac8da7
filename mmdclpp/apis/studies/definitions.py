"""The poster's studies: what each varies."""

import itertools
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from mmdclpp.apis.studies.budgets import Budget
from mmdclpp.apis.studies.recipe import Recipe


class Setting(NamedTuple):
    """One row of a study's table.

    Attributes:
        name (str): What tells it from the others.
        factors (Dict[str, Any]): What the study varies, by its symbol, and the value here.
        recipe (Recipe): How it is trained.
    """

    name: str
    factors: Dict[str, Any]
    recipe: Recipe


class Study(NamedTuple):
    """A question, and the settings that answer it.

    Attributes:
        name (str): What the user calls it.
        title (str): A heading.
        question (str): What it asks, and what the poster says of it.
        settings (Callable): From the budget, which says how many positions there are, to the settings.
        seeds (int): Trainings of each setting, unless chosen.
        segmentation (bool): Whether segmentation is measured too.
        diagnosed (bool): Whether similarities of features are measured too.
    """

    name: str
    title: str
    question: str
    settings: Callable[[Budget], List[Setting]]
    seeds: int = 3
    segmentation: bool = False
    diagnosed: bool = False


LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)  # ours: the poster's figure at hand has no readable ticks
GAMMAS = (0.1, 1.0, 10.0)  # ours: at 1 the error of an untrained decoder, about 1, weighs a third of the loss
# Ours, around the poster's best (256 and 0.5); it gives the size of its grid, 3 x 3 x 4, and not the values.
NUM_SETS = (16, 64, 256)
THRESHOLDS = (None, 0.25, 0.5)
NO_THRESHOLD = 'none'


def _methods(budget: Budget) -> List[Setting]:
    rows: List[Tuple[str, Recipe]] = [
        ('SimCLR', Recipe(loss_lambda=0, aggregate=aggregate)) for aggregate in ('cls', 'gap')
    ]
    rows += [
        ('DenseCL', Recipe(dense_global=True, aggregate=aggregate, pair_feature=pair_feature))
        for aggregate, pair_feature in itertools.product(('cls', 'gap'), ('backbone', 'projection'))
    ]
    rows += [('DenseCL++', Recipe()), ('DenseCL++*', _star(budget))]
    settings = []
    for method, recipe in rows:
        factors = {'method': method, 'aggregate': recipe.aggregate.upper()}
        factors['pair feature'] = recipe.pair_feature if recipe.loss_lambda else None
        settings.append(Setting(', '.join(filter(None, factors.values())), factors, recipe))
    return settings


def _star(budget: Budget) -> Recipe:
    """DenseCL++*: M = 256, β = 0.5, and the poster's share of the positions as cross-view negatives."""
    return Recipe(num_sets=256, threshold=0.5, cross_view=budget.cross_view[2])


def _lambda(budget: Budget) -> List[Setting]:
    return [
        _varied({'aggregate': aggregate.upper(), 'λ': value}, Recipe(loss_lambda=value, aggregate=aggregate))
        for aggregate, value in itertools.product(('cls', 'gap'), LAMBDAS)
    ]


def _negatives(budget: Budget) -> List[Setting]:
    return [
        _varied(
            {'M': sets, 'β': NO_THRESHOLD if threshold is None else threshold, 'N': number},
            Recipe(num_sets=sets, threshold=threshold, cross_view=number),
        )
        for sets, threshold, number in itertools.product(NUM_SETS, THRESHOLDS, budget.cross_view)
    ]


def _cross_view(budget: Budget) -> List[Setting]:
    return [
        _varied({'N': number}, Recipe(num_sets=256, threshold=0.5, cross_view=number)) for number in budget.cross_view
    ]


def _reconstruction(budget: Budget) -> List[Setting]:
    rows = [_varied({'decoder': None, 'γ': 0.0}, Recipe())]
    return rows + [
        _varied({'decoder': name, 'γ': gamma}, Recipe(loss_gamma=gamma, decoder=decoder))
        for (name, decoder), gamma in itertools.product(budget.decoders.items(), GAMMAS)
    ]


def _varied(factors: Dict[str, Any], recipe: Recipe) -> Setting:
    symbols = (key if len(key) == 1 else '' for key in factors)
    parts = (f'{symbol} = {value}' if symbol else value for symbol, value in zip(symbols, factors.values()))
    return Setting(', '.join(filter(None, parts)), factors, recipe)


STUDIES = {
    study.name: study
    for study in (
        Study(
            'methods',
            'Methods',
            'Which method learns the best features, with which global feature and which feature to match positions by? '
            'On the poster DenseCL++* comes first, then DenseCL++, then DenseCL and SimCLR.',
            _methods,
            segmentation=True,
        ),
        Study(
            'lambda',
            'Weight of the dense loss',
            'How much should the dense loss weigh (λ), and does that depend on the global feature? The poster draws '
            'mAP against λ for DenseCL++ with CLS and with GAP.',
            _lambda,
        ),
        Study(
            'negatives',
            'Dense negatives',
            'What do the number of sets M, the threshold β and the number of cross-view negatives N each do? The '
            'poster trains a grid of 3 × 3 × 4 settings, averages mAP over each factor, and ends with M = 256, '
            'β = 0.5, N = 64.',
            _negatives,
            seeds=1,  # of a grid, every level of a factor is the mean of nine settings or more
        ),
        Study(
            'cross-view',
            'Cross-view negatives and similarity',
            'Do negatives from the sibling view make the features of one image less alike? The poster compares the '
            'similarities within and between images for several N.',
            _cross_view,
            diagnosed=True,
        ),
        Study(
            'reconstruction',
            'Reconstruction as an auxiliary task',
            'Does reconstruction (weight γ) help? On the poster: marginally or not at all, and it harms when it is '
            'prioritised.',
            _reconstruction,
        ),
    )
}
