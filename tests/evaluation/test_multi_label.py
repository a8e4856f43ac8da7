import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from mmdclpp.evaluation.multi_label import average_precision, precision_recall_f1, predict_above, predict_top


def random_case(seed, images=200, classes=9, levels=None, ignored=0.1):
    """Scores (with ties if ``levels``) and targets, the last class without a positive image."""
    rng = np.random.default_rng(seed)
    scores = rng.random((images, classes))
    if levels:
        scores = np.floor(scores * levels) / levels
    targets = (rng.random((images, classes)) < rng.uniform(0.02, 0.6, classes)).astype(np.int8)
    targets[:, -1] = 0
    targets[rng.random((images, classes)) < ignored] = -1
    return scores, targets


@pytest.mark.parametrize('levels', [None, 20, 1], ids=['distinct scores', 'ties', 'all scores equal'])
@pytest.mark.parametrize('ignored', [0, 0.2])
def test_average_precision_is_scikit_learns(levels, ignored):
    scores, targets = random_case(0, levels=levels, ignored=ignored)
    result = average_precision(scores, targets)
    for c in range(8):
        kept = targets[:, c] >= 0
        expected = average_precision_score(targets[kept, c], scores[kept, c])
        assert result[c] == pytest.approx(expected, abs=1e-9)


def test_average_precision_is_undefined_without_positives_and_one_with_nothing_else():
    scores = np.array([[0.1, 0.9, 0.5], [0.2, 0.3, 0.5], [0.3, 0.1, 0.5]])
    targets = np.array([[0, 1, -1], [0, 1, -1], [-1, 1, -1]])
    np.testing.assert_array_equal(average_precision(scores, targets), [np.nan, 1, np.nan])


@pytest.mark.parametrize('seed', range(3))
def test_precision_recall_f1_are_scikit_learns(seed):
    scores, targets = random_case(seed, ignored=0)
    predicted = predict_above(scores)
    result = precision_recall_f1(predicted, targets)
    with_positives = list(range(8))
    for average, prefix in (('macro', 'C'), ('micro', 'O')):
        labels = with_positives if average == 'macro' else None
        precision, recall, _, _ = precision_recall_fscore_support(
            targets, predicted, average=average, labels=labels, zero_division=0
        )
        assert result[f'{prefix}P'] == pytest.approx(precision, abs=1e-9)
        assert result[f'{prefix}R'] == pytest.approx(recall, abs=1e-9)
    assert result['CF1'] == pytest.approx(2 / (1 / result['CP'] + 1 / result['CR']), abs=1e-9)
    assert result['macro_F1'] == pytest.approx(
        f1_score(targets, predicted, average='macro', labels=with_positives), abs=1e-9
    )
    assert result['OF1'] == pytest.approx(f1_score(targets, predicted, average='micro'), abs=1e-9)


def test_ignored_entries_count_nowhere():
    """Whatever is predicted for them, the counts are those of the other entries."""
    scores, targets = random_case(1, ignored=0.3)
    kept = targets >= 0
    expected = precision_recall_fscore_support(targets[kept], predict_above(scores)[kept], average='binary')
    for filler in (0.0, 1.0):
        result = precision_recall_f1(predict_above(np.where(kept, scores, filler)), targets)
        assert (result['OP'], result['OR'], result['OF1']) == pytest.approx(expected[:3], abs=1e-9)


@pytest.mark.parametrize(
    'predicted, targets, expected',
    [
        ([[0, 0]], [[1, 1]], dict(CP=0, CR=0, CF1=0, macro_F1=0, OP=0, OR=0, OF1=0)),
        ([[1, 1]], [[0, 0]], dict(CP=np.nan, CR=np.nan, CF1=np.nan, macro_F1=np.nan, OP=0, OR=0, OF1=0)),
        ([[0, 0]], [[0, 0]], dict(CP=np.nan, CR=np.nan, CF1=np.nan, macro_F1=np.nan, OP=0, OR=0, OF1=0)),
        ([[1, 1]], [[1, 0]], dict(CP=1, CR=1, CF1=1, macro_F1=1, OP=0.5, OR=1, OF1=2 / 3)),
    ],
    ids=['nothing predicted', 'no positives', 'neither', 'a class without positives counts overall only'],
)
def test_degenerate_counts_are_defined(predicted, targets, expected):
    result = precision_recall_f1(np.array(predicted, bool), np.array(targets))
    assert result == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    'scores, targets, expected',
    [
        ([0.1, 0.4, 0.3, 0.2, 0.5], [0, 0, 0, 0, 0], [1, 2, 4]),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1, 1], [0, 1, 2]),
        ([0.1, 0.4, 0.3, 0.2, 0.5], [0, 0, 1, 0, -1], [1, 2, 3]),
    ],
    ids=['highest scores', 'ties go to the lower index', 'ignored classes take no place'],
)
def test_top_k_predicts_k_classes_an_image(scores, targets, expected):
    predicted = predict_top(np.array([scores]), np.array([targets]), k=3)
    assert np.flatnonzero(predicted[0]).tolist() == expected


def test_top_k_of_fewer_classes_predicts_all():
    assert predict_top(np.array([[0.1, 0.2]]), np.array([[0, 1]]), k=3).all()
