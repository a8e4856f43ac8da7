"""The figures of an evaluation: which there are, that they are scikit-learn's and VOC's, and what is refused."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from mmdclpp.errors import UserError
from mmdclpp.evaluation.average_precision import voc_average_precision
from mmdclpp.evaluation.multi_label import multi_label_figures, per_class_table
from tests.evaluation.cases import random_case

NAMES = ['CP', 'CR', 'CF1', 'macro_F1', 'OP', 'OR', 'OF1']
CLASSES = [f'class {c}' for c in range(9)]


def test_figures_are_scikit_learns_in_percent():
    """At a threshold and a k that are not the defaults, over the classes that have a positive image."""
    scores, targets = random_case(0, ignored=0)
    figures = multi_label_figures(scores, targets, threshold=0.7, topk=2, classes=CLASSES)
    assert list(figures) == ['mAP', *NAMES, *(f'{name}_top2' for name in NAMES), *(f'AP_{name}' for name in CLASSES)]

    each = [100 * average_precision_score(targets[:, c], scores[:, c]) for c in range(8)]
    assert [figures[f'AP_class {c}'] for c in range(8)] == pytest.approx(each, abs=1e-9)
    assert math.isnan(figures['AP_class 8'])
    assert figures['mAP'] == pytest.approx(np.mean(each), abs=1e-9)
    second = np.sort(scores, axis=1)[:, -2:-1]
    for predicted, suffix in ((scores >= 0.7, ''), (scores >= second, '_top2')):
        options = dict(average='macro', labels=range(8), zero_division=0)
        assert figures[f'CP{suffix}'] == pytest.approx(100 * precision_score(targets, predicted, **options), abs=1e-9)
        assert figures[f'CR{suffix}'] == pytest.approx(100 * recall_score(targets, predicted, **options), abs=1e-9)
        assert figures[f'macro_F1{suffix}'] == pytest.approx(100 * f1_score(targets, predicted, **options), abs=1e-9)
        overall = 100 * f1_score(targets, predicted, average='micro')
        assert figures[f'OF1{suffix}'] == pytest.approx(overall, abs=1e-9)


def test_vocs_protocol_gives_both_of_its_average_precisions():
    scores, targets = random_case(1, levels=10)
    figures = multi_label_figures(scores, targets, classes=CLASSES, protocol='voc')
    points, area = (100 * voc_average_precision(scores, targets, eleven_points) for eleven_points in (True, False))
    assert figures['mAP'] == pytest.approx(points[:8].mean(), abs=1e-9)
    assert figures['mAP_area'] == pytest.approx(area[:8].mean(), abs=1e-9)
    assert figures['AP_class 2'] == pytest.approx(points[2], abs=1e-9)
    others = multi_label_figures(scores, targets)
    assert 'mAP_area' not in others
    assert {name: figures[name] for name in NAMES} == {name: others[name] for name in NAMES}


@pytest.mark.parametrize('protocol', ['coco', 'voc'])
def test_a_row_a_class_agrees_with_the_figures(protocol):
    scores, targets = random_case(2, ignored=0.2)
    table = per_class_table(scores, targets, threshold=0.3, classes=CLASSES, protocol=protocol)
    figures = multi_label_figures(scores, targets, threshold=0.3, classes=CLASSES, protocol=protocol)
    assert [row['class'] for row in table] == CLASSES
    assert [row['AP'] for row in table] == pytest.approx([figures[f'AP_{name}'] for name in CLASSES], nan_ok=True)
    for c, row in enumerate(table):
        kept = targets[:, c] >= 0
        target, predicted = targets[kept, c], scores[kept, c] >= 0.3
        for name, measure in (('precision', precision_score), ('recall', recall_score), ('F1', f1_score)):
            assert row[name] == pytest.approx(100 * measure(target, predicted, zero_division=0), abs=1e-9)
        assert row['positives'] == target.sum()
    assert [row['class'] for row in per_class_table(scores, targets)] == [str(c) for c in range(9)]


@pytest.mark.parametrize('protocol', ['coco', 'voc'])
@pytest.mark.parametrize('filler', [0, -1], ids=['no positive', 'all ignored'])
def test_without_any_positive_image_what_needs_one_is_undefined(filler, protocol):
    figures = multi_label_figures(np.full((3, 4), 0.7), np.full((3, 4), filler), protocol=protocol)
    undefined = {name for name, value in figures.items() if math.isnan(value)}
    overall = {f'{name}{suffix}' for name in ('OP', 'OR', 'OF1') for suffix in ('', '_top3')}
    assert undefined == figures.keys() - overall
    assert all(figures[name] == 0 for name in overall)


def test_images_without_any_class_count_as_negatives():
    scores, targets = np.array([[0.9], [0.8]]), np.array([[0], [1]])
    assert multi_label_figures(scores[1:], targets[1:])['mAP'] == 100
    assert multi_label_figures(scores, targets)['mAP'] == 50


@pytest.mark.parametrize('evaluate', [multi_label_figures, per_class_table])
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(scores=np.zeros((0, 2)), targets=np.zeros((0, 2))), 'no image to evaluate'),
        (dict(scores=np.array([[0.1, np.nan], [0.1, 0.2]])), '1 of 2 images have scores that are NaN or infinite'),
        (dict(scores=np.array([[0.1, np.inf], [-np.inf, 0.2]])), '2 of 2 images have scores that are NaN or infinite'),
        (dict(scores=np.zeros((2, 3))), r'scores have the shape \(2, 3\).* targets \(2, 2\)'),
        (dict(classes=['one']), 'classes has 1 names.* 2 classes'),
        (dict(protocol='VOC'), "protocol='VOC' is unknown"),
    ],
)
def test_what_has_no_figures_is_refused(evaluate, change, message):
    with pytest.raises(UserError, match=message):
        evaluate(**{**dict(scores=np.zeros((2, 2)), targets=np.eye(2)), **change})


def test_no_classes_are_not_the_top():
    with pytest.raises(UserError, match='topk=0'):
        multi_label_figures(np.zeros((2, 2)), np.eye(2), topk=0)
