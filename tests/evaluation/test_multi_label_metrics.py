import math

import pytest
import torch
from mmpretrain.structures import DataSample

from mmdclpp.registry import METRICS

SCORES = [[0.9, 0.8, 0.1, 0.7], [0.2, 0.6, 0.3, 0.4], [0.6, 0.1, 0.2, 0.3]]
TARGETS = [[1, 0, 0, 0], [0, 1, 0, -1], [1, 0, 0, 1]]


def evaluate(scores, targets, **kwargs):
    metric = METRICS.build(dict(type='MultiLabelMetrics', **kwargs))
    metric.dataset_meta = dict(classes=('ant', 'bee', 'cat', 'dog'))
    for score, target in zip(scores, targets):  # one image a batch
        sample = DataSample().set_pred_score(torch.tensor(score)).set_gt_score(torch.tensor(target))
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(size=len(scores))


def test_figures_are_in_percent_and_named_after_the_literature():
    """By hand: AP of ant 1, bee 1/2, dog 1/2 (its -1 left out), cat without positives left out."""
    result = evaluate(SCORES, TARGETS)
    names = ['CP', 'CR', 'CF1', 'macro_F1', 'OP', 'OR', 'OF1']
    keys = ['mAP', *names, *(f'{name}_top3' for name in names)]
    assert list(result) == [f'multi-label/{key}' for key in keys]
    assert result['multi-label/mAP'] == pytest.approx(100 * (1 + 1 / 2 + 1 / 2) / 3)
    # At 0.5: ant 2 of 2, bee 1 of 2, dog 0 of 1; 5 predicted and 4 positive overall.
    assert result['multi-label/CP'] == pytest.approx(100 * (1 + 1 / 2 + 0) / 3)
    assert result['multi-label/CR'] == pytest.approx(100 * (1 + 1 + 0) / 3)
    assert result['multi-label/OF1'] == pytest.approx(100 * 2 * 3 / (5 + 4))
    # At top-3, all 4 positives are among the 9.
    assert result['multi-label/OP_top3'] == pytest.approx(100 * 4 / 9)
    assert result['multi-label/OR_top3'] == pytest.approx(100)


def test_classwise_adds_the_average_precision_of_each_class_by_name():
    result = evaluate(SCORES, TARGETS, classwise=True)
    assert result['multi-label/AP_ant'] == pytest.approx(100)
    assert math.isnan(result['multi-label/AP_cat'])


def test_map_is_nan_without_any_positive():
    assert math.isnan(evaluate(SCORES, [[0, 0, 0, 0]] * 3)['multi-label/mAP'])


def test_label_indices_do_where_no_target_vector_is_given():
    metric = METRICS.build(dict(type='MultiLabelMetrics'))
    for score, label in zip(SCORES, ([0], [1], [0, 3])):
        metric.process({}, [DataSample().set_pred_score(torch.tensor(score)).set_gt_label(label).to_dict()])
    targets = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]]
    assert metric.evaluate(size=3) == evaluate(SCORES, targets)
