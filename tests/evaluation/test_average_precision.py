"""Average precision is scikit-learn's, and VOC's two are those of its development kit."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mmdclpp.evaluation.average_precision import average_precision, voc_average_precision
from tests.evaluation.cases import random_case

TIES = pytest.mark.parametrize('levels', [None, 20, 1], ids=['distinct scores', 'ties', 'all scores equal'])
DEGENERATE = {  # scores and targets of one class
    'one image': ([0.3], [1]),
    'one image without the class': ([0.3], [0]),
    'no positive': ([0.3, 0.2, 0.9], [0, 0, 0]),
    'positives only': ([0.3, 0.2, 0.9], [1, 1, 1]),
    'all ignored': ([0.3, 0.2, 0.9], [-1, -1, -1]),
    'ignored or negative': ([0.3, 0.2, 0.9], [-1, 0, -1]),
    'an ignored image ranks first': ([0.9, 0.8, 0.7, 0.6], [-1, 1, 0, 1]),
    'an ignored image ranks last': ([0.1, 0.8, 0.7, 0.6], [-1, 1, 0, 1]),
    'the only positive ranks last': ([0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]),
    'a tie of all': ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1]),
    'scores below 0': ([-3.0, -1.0, -2.0], [1, 0, 1]),
}
degenerate = pytest.mark.parametrize(('scores', 'targets'), DEGENERATE.values(), ids=DEGENERATE)


def kit_average_precision(scores, targets, eleven_points):
    """VOC's evaluation of a class (VOCevalcls), image by image; recalls are compared as fractions."""
    ranking = sorted(range(len(scores)), key=lambda image: -scores[image])  # stable, as the kit's
    positives = sum(target == 1 for target in targets)
    if not positives:
        return math.nan
    hits = misses = 0
    curve = [(0, 0.0)]  # true positives and precision
    for image in ranking:
        hits += int(targets[image] == 1)
        misses += int(targets[image] == 0)  # difficult images are neither
        if hits + misses:
            curve.append((hits, hits / (hits + misses)))
    if eleven_points:
        highest = [max(p for h, p in curve if 10 * h >= point * positives) for point in range(11)]
        return math.fsum(highest) / 11
    area = 0.0
    for (before, _), (after, _) in zip(curve, curve[1:]):
        if after > before:
            area += (after - before) / positives * max(p for h, p in curve if h >= after)
    return area


@TIES
@pytest.mark.parametrize('ignored', [0, 0.2])
def test_average_precision_is_scikit_learns(levels, ignored):
    scores, targets = random_case(0, levels=levels, ignored=ignored)
    result = average_precision(scores, targets)
    assert np.isnan(result[8])  # no positive image
    for c in range(8):
        kept = targets[:, c] >= 0
        expected = average_precision_score(targets[kept, c], scores[kept, c])
        assert result[c] == pytest.approx(expected, abs=1e-9)


@degenerate
def test_average_precision_is_scikit_learns_where_it_is_defined(scores, targets):
    (result,) = average_precision(np.array(scores)[:, None], np.array(targets)[:, None])
    kept = [(target, score) for target, score in zip(targets, scores) if target >= 0]
    expected = average_precision_score(*zip(*kept)) if 1 in targets else math.nan
    assert result == pytest.approx(expected, abs=1e-9, nan_ok=True)


@TIES
@pytest.mark.parametrize('eleven_points', [True, False])
@pytest.mark.parametrize('images', [10, 137])
def test_voc_average_precision_is_the_development_kits(images, levels, eleven_points):
    for seed in range(5):
        scores, targets = random_case(seed, images, levels=levels, ignored=0.2)
        result = voc_average_precision(scores, targets, eleven_points)
        expected = [kit_average_precision(*column, eleven_points) for column in zip(scores.T, targets.T)]
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)


@degenerate
@pytest.mark.parametrize('eleven_points', [True, False])
def test_voc_average_precision_is_the_development_kits_where_it_is_defined(scores, targets, eleven_points):
    (result,) = voc_average_precision(np.array(scores)[:, None], np.array(targets)[:, None], eleven_points)
    assert result == pytest.approx(kit_average_precision(scores, targets, eleven_points), abs=1e-9, nan_ok=True)


def test_a_recall_that_reaches_a_point_exactly_counts_there():
    """By hand: 3 of 10 positives, 7 other images, 7 positives. In floating point, 3 * 0.1 is more than 3 / 10."""
    targets = np.array([1] * 3 + [0] * 7 + [1] * 7)[:, None]
    scores = np.linspace(1, 0, 17)[:, None]
    assert voc_average_precision(scores, targets, True)[0] == pytest.approx((4 * 1 + 7 * 10 / 17) / 11, abs=1e-9)
    assert voc_average_precision(scores, targets, False)[0] == pytest.approx(0.3 * 1 + 0.7 * 10 / 17, abs=1e-9)


def test_of_equal_scores_the_first_image_ranks_first_for_voc_alone():
    scores = np.full((2, 1), 0.5)
    for targets, voc in (([[1], [0]], 1), ([[0], [1]], 0.5)):
        targets = np.array(targets)
        assert average_precision(scores, targets) == 0.5
        assert voc_average_precision(scores, targets, True) == voc_average_precision(scores, targets, False) == voc


@pytest.mark.parametrize('measure', [average_precision, lambda s, t: voc_average_precision(s, t, True)])
def test_float32_scores_and_a_monotone_scale_of_them_rank_alike(measure):
    scores, targets = random_case(3, levels=50)
    expected = measure(scores, targets)
    np.testing.assert_array_equal(measure(scores.astype(np.float32), targets.astype(np.float32)), expected)
    np.testing.assert_array_equal(measure(np.log(scores + 1e-3), targets), expected)
