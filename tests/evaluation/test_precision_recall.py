"""Precision, recall and F1 are scikit-learn's; ignored entries count nowhere."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from mmdclpp.evaluation.precision_recall import precision_recall_f1, predict_above, predict_top
from tests.evaluation.cases import random_case


def top_3(scores, targets):
    """Image by image."""
    predicted = np.zeros(scores.shape, bool)
    for image, (values, labels) in enumerate(zip(scores, targets)):
        candidates = [c for c in range(len(values)) if labels[c] >= 0]
        predicted[image, sorted(candidates, key=lambda c: (-values[c], c))[:3]] = True
    return predicted


def scikit_learns(targets, predicted, rows):
    return precision_recall_fscore_support(targets[rows], predicted[rows], average='binary', zero_division=0)[:3]


PREDICTIONS = {
    'above 0.5': (lambda scores, targets: predict_above(scores), lambda scores, targets: scores >= 0.5),
    'top 3': (predict_top, top_3),
}


@pytest.mark.parametrize('levels', [None, 4], ids=['distinct scores', 'ties'])
@pytest.mark.parametrize('ignored', [0, 0.3])
@pytest.mark.parametrize(('predict', 'reference'), PREDICTIONS.values(), ids=PREDICTIONS)
def test_precision_recall_f1_are_scikit_learns(predict, reference, ignored, levels):
    for seed in range(3):
        scores, targets = random_case(seed, levels=levels, ignored=ignored)
        labelled, expected = targets >= 0, reference(scores, targets)
        result = precision_recall_f1(predict(scores, targets), targets)
        each_class = [
            scikit_learns(targets, expected, (labelled[:, c], c)) for c in range(8)
        ]  # the ninth has no positive image
        macro, micro = np.mean(each_class, axis=0), scikit_learns(targets, expected, labelled)
        assert [result[key] for key in ('CP', 'CR', 'macro_F1')] == pytest.approx(macro, abs=1e-9)
        assert [result[key] for key in ('OP', 'OR', 'OF1')] == pytest.approx(micro, abs=1e-9)
        assert result['CF1'] == pytest.approx(2 / (1 / result['CP'] + 1 / result['CR']), abs=1e-9)
        if not ignored:
            options = dict(average='macro', labels=range(8), zero_division=0)
            assert result['macro_F1'] == pytest.approx(f1_score(targets, expected, **options), abs=1e-9)
            assert result['OF1'] == pytest.approx(f1_score(targets, expected, average='micro'), abs=1e-9)


def test_ignored_entries_count_nowhere():
    """Whatever is predicted for them, the figures are the same."""
    scores, targets = random_case(1, ignored=0.3)
    for predict in (predict_above, lambda values: predict_top(values, targets)):
        first, second = (
            precision_recall_f1(predict(np.where(targets >= 0, scores, filler)), targets) for filler in (0.0, 1.0)
        )
        assert first == second


@pytest.mark.parametrize(
    'predicted, targets, expected',
    [
        ([[0, 0]], [[1, 1]], dict(CP=0, CR=0, CF1=0, macro_F1=0, OP=0, OR=0, OF1=0)),
        ([[1, 1]], [[0, 0]], dict(CP=np.nan, CR=np.nan, CF1=np.nan, macro_F1=np.nan, OP=0, OR=0, OF1=0)),
        ([[0, 0]], [[0, 0]], dict(CP=np.nan, CR=np.nan, CF1=np.nan, macro_F1=np.nan, OP=0, OR=0, OF1=0)),
        ([[1, 1]], [[-1, -1]], dict(CP=np.nan, CR=np.nan, CF1=np.nan, macro_F1=np.nan, OP=0, OR=0, OF1=0)),
        ([[1, 1]], [[1, 0]], dict(CP=1, CR=1, CF1=1, macro_F1=1, OP=0.5, OR=1, OF1=2 / 3)),
    ],
    ids=[
        'nothing predicted',
        'no positives',
        'neither',
        'all ignored',
        'a class without positives counts overall only',
    ],
)
def test_degenerate_counts_are_defined(predicted, targets, expected):
    result = precision_recall_f1(np.array(predicted, bool), np.array(targets))
    assert result == pytest.approx(expected, nan_ok=True)


def test_a_score_at_the_threshold_is_predicted():
    assert predict_above(np.array([0.49, 0.5, 0.51])).tolist() == [False, True, True]
    assert predict_above(np.array([0.49, 0.5, 0.51]), threshold=0.51).tolist() == [False, False, True]


@pytest.mark.parametrize(
    'scores, targets, expected',
    [
        ([0.1, 0.4, 0.3, 0.2, 0.5], [0, 0, 0, 0, 0], [1, 2, 4]),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1, 1], [0, 1, 2]),
        ([0.1, 0.4, 0.3, 0.2, 0.5], [0, 0, 1, 0, -1], [1, 2, 3]),
        ([-0.1, -0.4, -0.3, -0.2, -0.5], [0, 0, 1, 0, -1], [0, 2, 3]),
    ],
    ids=['highest scores', 'ties go to the lower index', 'ignored classes take no place', 'logits'],
)
def test_top_k_predicts_k_classes_an_image(scores, targets, expected):
    predicted = predict_top(np.array([scores]), np.array([targets]), k=3)
    assert np.flatnonzero(predicted[0]).tolist() == expected


def test_top_k_of_fewer_classes_predicts_all():
    assert predict_top(np.array([[0.1, 0.2]]), np.array([[0, 1]]), k=3).all()
