"""What stands in the tables of studies."""

import math
from typing import Callable

import pytest

from mmdclpp.apis._tables import MISSING, Table
from mmdclpp.apis.studies.budgets import BUDGETS
from mmdclpp.apis.studies.definitions import STUDIES
from mmdclpp.apis.studies.measured import Measured
from mmdclpp.apis.studies.tables import study_tables

from .outcomes import SMALL, TINY, failed, outcome, outcomes, similarities


def texts(name: str, found: list, budget=TINY) -> dict:
    """Title -> the rows of a table, its header first; what is bold is in asterisks."""
    tables = study_tables(Measured.of(STUDIES[name], budget, found))
    return {
        table.title: [
            list(table.columns),
            *([f'*{cell.text}*' if cell.best else cell.text for cell in row] for row in table.rows),
        ]
        for table in tables
    }


def test_seeds_become_mean_and_deviation_the_best_bold_and_what_is_missing_is_told():
    values = {('CLS', 0.0): [10.0, 12.0], ('GAP', 0.5): [20.0, 21.0], ('GAP', 1.0): [20.4, math.nan]}
    found = []
    for setting in STUDIES['lambda'].settings(TINY):
        for seed, value in enumerate(values.get(tuple(setting.factors.values()), [])):
            found.append(outcome(setting, seed, scenes_linear=value))
    (rows,) = texts('lambda', found).values()
    assert rows[0] == ['Aggregate', 'λ', 'Scenes mAP']
    assert rows[1] == ['CLS', '0', '11.0 ± 1.4']
    assert rows[8:] == [
        ['GAP', '0.5', '*20.5 ± 0.7*'],
        ['GAP', '0.75', MISSING],
        ['GAP', '1', '20.4 (n = 1)'],
    ]


def test_the_headline_of_the_budget_comes_first_and_all_evaluations_have_a_column():
    budget = SMALL._replace(headline='voc-linear')
    found = [
        outcome(STUDIES['lambda'].settings(budget)[0], coco_linear=1.0, coco_linear_at_augmented=2.0, voc_linear=3)
    ]
    (rows,) = texts('lambda', found, budget).values()
    assert rows[0][2:] == ['VOC mAP', 'COCO mAP', 'COCO mAP (augmented)']
    assert rows[1][2:] == ['3.0', '1.0', '2.0']


def effects_of_a_grid(setting, seed=0) -> float:
    """mAP that M alone changes, by 2 points between its ends, were it not for one setting."""
    return 50 + {16: 0, 64: 1, 256: 2}[setting.factors['M']]


def test_averages_of_a_grid_are_over_the_settings_that_have_a_result():
    found = outcomes(STUDIES['negatives'], TINY, effects_of_a_grid)
    # Of M = 16, one of 12 is missing and another has 52.75 instead of 50: 11 of mean 50.25.
    found[0] = failed(found[0].setting)
    found[5] = outcome(found[5].setting, scenes_linear=52.75)
    rows = texts('negatives', found)['Averages by factor']
    assert rows[0] == ['Factor', 'Level', 'Settings', 'Scenes mAP']
    assert rows[1:4] == [
        ['M', '16', '12', '50.2 ± 0.8 (n = 11)'],
        ['M', '64', '12', '51.0 ± 0.0'],
        ['M', '256', '12', '*52.0 ± 0.0*'],
    ]
    # None, 0.25 and 0.5; the mean of 11 without the missing 50 is 561 / 11.
    assert [row[:3] for row in rows[4:7]] == [['β', 'none', '12'], ['β', '0.25', '12'], ['β', '0.5', '12']]
    assert rows[4][3].startswith('51.1 ± 0.8 (n = 11)')
    assert [row[1:3] for row in rows[7:]] == [
        ['0', '9'],
        ['3', '9'],
        ['12', '9'],
        ['24', '9'],
    ]  # though 0 is missing first


def test_all_settings_of_the_grid_stand_in_its_order_with_the_best_bold():
    found = outcomes(STUDIES['negatives'], TINY, lambda setting, _: 60.0 if setting.factors['N'] == 12 else 50.0)
    rows = texts('negatives', found)['All settings']
    assert len(rows) == 1 + 36
    assert rows[1:6] == [
        ['16', 'none', '0', '50.0'],
        ['16', 'none', '3', '50.0'],
        ['16', 'none', '12', '*60.0*'],
        ['16', 'none', '24', '50.0'],
        ['16', '0.25', '0', '50.0'],
    ]
    assert sum(row[-1] == '*60.0*' for row in rows) == 9


def test_a_factor_is_judged_beside_what_chance_would_do():
    def noisy(setting, _) -> float:
        # What M and N do only together: within each level of either it averages to nothing.
        sign = {16: -1, 64: 0, 256: 1}[setting.factors['M']] * (-1) ** TINY.cross_view.index(setting.factors['N'])
        return effects_of_a_grid(setting) + 0.5 * sign

    rows = texts('negatives', outcomes(STUDIES['negatives'], TINY, noisy))['How much each factor matters']
    assert rows[0] == ['Figure', 'Factor', 'Best level', 'Highest less lowest average', 'By chance', 'Ratio']
    # The residual is the root of 24 · 0.5² over 36 - 8 degrees of freedom, 0.463. The range of three normal draws is
    # 1.693 standard deviations on average, of four 2.059 (tables of the studentised range), of means of 12 and of 9.
    assert rows[1] == ['Scenes mAP', 'M', '256', '2.00', '0.23', '8.8']
    assert [row[3:] for row in rows[2:]] == [['0.00', '0.23', '0.0'], ['0.00', '0.32', '0.0']]


def judged(figure: Callable) -> Table:
    found = outcomes(STUDIES['negatives'], TINY, figure, seeds=2)
    return study_tables(Measured.of(STUDIES['negatives'], TINY, found))[1]


def test_without_any_chance_there_is_no_ratio():
    assert [[cell.text for cell in row[4:]] for row in judged(effects_of_a_grid).rows] == [['0.00', MISSING]] * 3


def test_the_deviation_of_seeds_is_pooled_over_the_settings():
    def seeded(setting, seed) -> float:  # deviations of 3 / √2 and 1 / √2, as often
        return effects_of_a_grid(setting) + seed * (3 if setting.factors['N'] in TINY.cross_view[:2] else 1)

    assert 'Seeds of one setting vary by 1.58 points of Scenes mAP' in judged(seeded).below  # √((9 + 1) / 4)


def test_methods_have_the_posters_tables_with_its_numbers_beside():
    study, found = STUDIES['methods'], []
    figures = [30, 31, 32, 33, 35, 34, 36, 38]
    for setting, figure in zip(study.settings(SMALL), figures):
        found.append(outcome(setting, coco_linear=(figure, figure / 2), voc_seg=figure / 4))
    tables = texts('methods', found, SMALL)
    first, top, segmented = tables.values()
    assert first == [
        ['Method', 'Aggregate', 'Pair feature', 'COCO mAP', 'COCO OF1', 'Poster: COCO mAP', 'Poster: COCO F1'],
        ['SimCLR', 'CLS', '—', '30.0', '15.0', '59.6', '37.8'],
        ['SimCLR', 'GAP', '—', '31.0', '15.5', '—', '—'],
        ['DenseCL', 'CLS', 'backbone', '32.0', '16.0', '59.9', '38.1'],
        ['DenseCL', 'CLS', 'projection', '33.0', '16.5', '59.8', '38.1'],
        ['DenseCL', 'GAP', 'backbone', '*35.0*', '*17.5*', '—', '—'],
        ['DenseCL', 'GAP', 'projection', '34.0', '17.0', '—', '—'],
    ]
    assert top[1:] == [
        ['SimCLR', 'GAP', '—', '31.0', '15.5', '59.6', '37.8'],
        ['DenseCL', 'GAP', 'backbone', '35.0', '17.5', '59.9', '38.1'],
        ['DenseCL++', 'GAP', 'backbone', '36.0', '18.0', '63.4', '39.0'],
        ['DenseCL++*', 'GAP', 'backbone', '*38.0*', '*19.0*', '64.1', '39.1'],
    ]
    assert segmented[0][3:] == ['VOC mIoU', 'Poster: VOC mIoU', 'Poster: COCO mIoU']
    assert [row[4:] for row in segmented[1:]] == [
        ['69.3', '61.5'] if row[:2] == ['SimCLR', 'GAP'] else ['70.0', '63.3'] if row[0] == 'DenseCL++' else ['—', '—']
        for row in segmented[1:]
    ]


@pytest.mark.parametrize('budget, comparable', [('tiny', False), ('small', False), ('paper', True)])
def test_the_posters_numbers_are_said_to_be_of_another_size(budget, comparable):
    study = STUDIES['methods']
    found = [outcome(study.settings(BUDGETS[budget])[0], coco_linear=30.0, voc_seg=20.0)]
    tables = study_tables(Measured.of(study, BUDGETS[budget], found))
    with_poster = [table for table in tables if any('Poster' in column for column in table.columns)]
    assert len(with_poster) == 3
    for table in with_poster:
        assert 'Poster: ' in table.above and ('cannot be compared' in table.above) is not comparable


def test_the_weight_of_one_is_said_to_be_one_training_of_both_global_features():
    (table,) = study_tables(Measured.of(STUDIES['lambda'], TINY, []))
    assert 'At λ = 1 there is no global loss' in table.below


def test_similarities_stand_beside_map_with_more_digits_and_without_a_best():
    study, found = STUDIES['cross-view'], []
    for seed, intra in enumerate((0.5, 0.6)):
        for setting in study.settings(TINY)[:2]:
            done = outcome(setting, seed, scenes_linear=70.0 + setting.factors['N'])
            found.append(done._replace(similarities=similarities(intra, 0.1, similarities(0.3, 0.0))))
    backbone, projection = texts('cross-view', found).values()
    assert backbone[:3] == [
        ['N', 'Scenes mAP', 'Within a view', 'Across the views', 'Between images'],
        ['0', '70.0 ± 0.0', '0.550 ± 0.071', '0.325 ± 0.035', '0.100 ± 0.000'],
        ['3', '*73.0 ± 0.0*', '0.550 ± 0.071', '0.325 ± 0.035', '0.100 ± 0.000'],
    ]
    assert backbone[3] == ['12', '—', '—', '—', '—']
    assert projection[1] == ['0', '0.300 ± 0.000', '0.150 ± 0.000', '0.000 ± 0.000']
