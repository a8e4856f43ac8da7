import pytest

from mmdclpp.utils.seeds import OverSeeds, which_are_best


@pytest.mark.parametrize(
    'values, mean, deviation, text',
    [
        ([31.24], 31.24, None, '31.2'),
        ([30.0, 31.0, 35.0], 32.0, 7**0.5, '32.0 ± 2.6'),  # squares of -2, -1 and 3 are 14, over n - 1 = 2
        ([5.0, 5.0], 5.0, 0.0, '5.0 ± 0.0'),
    ],
)
def test_the_deviation_is_the_samples_and_one_seed_has_none(values, mean, deviation, text):
    spread = OverSeeds.of(values)
    assert (spread.mean, str(spread)) == (mean, text)
    assert spread.deviation == (None if deviation is None else pytest.approx(deviation))


@pytest.mark.parametrize(
    'means, best',
    [
        ([31.23, 31.18, 31.13], [True, True, False]),  # 31.2, 31.2, 31.1
        ([None, 2.0, 1.0], [False, True, False]),
        ([1.0, 1.0], [False, False]),
        ([1.0, None], [False, False]),
        ([None], [False]),
    ],
)
def test_the_best_are_those_with_the_highest_mean_as_printed_unless_all_are_equal(means, best):
    assert which_are_best([None if mean is None else OverSeeds.of([mean]) for mean in means]) == best
