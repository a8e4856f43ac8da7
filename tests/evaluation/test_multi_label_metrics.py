"""The metric in a runner: its keys, where targets come from, and that its figures are those of the pure functions."""

import math

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmdclpp.errors import UserError
from mmdclpp.evaluation.multi_label import multi_label_figures
from mmdclpp.registry import METRICS

SCORES = [[0.9, 0.8, 0.1, 0.7], [0.2, 0.6, 0.3, 0.4], [0.6, 0.1, 0.2, 0.3]]
TARGETS = [[1, 0, 0, 0], [0, 1, 0, -1], [1, 0, 0, 1]]


def evaluate(scores, targets, size=None, **kwargs):
    metric = METRICS.build(dict(type='MultiLabelMetrics', **kwargs))
    metric.dataset_meta = dict(classes=('ant', 'bee', 'cat', 'dog'))
    for score, target in zip(scores, targets):  # one image a batch
        sample = DataSample().set_pred_score(torch.tensor(score)).set_gt_score(torch.tensor(target))
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(size=len(scores) if size is None else size)


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


@pytest.mark.parametrize('protocol', ['coco', 'voc'])
def test_the_figures_are_those_of_the_fast_path(protocol):
    """And the scores' precision is the network's, whatever it is."""
    arguments = dict(threshold=0.3, topk=2, protocol=protocol)
    figures = multi_label_figures(
        np.float32(SCORES), np.int8(TARGETS), classes=('ant', 'bee', 'cat', 'dog'), **arguments
    )
    result = evaluate(SCORES, TARGETS, classwise=True, **arguments)
    assert result == pytest.approx({f'multi-label/{name}': value for name, value in figures.items()}, nan_ok=True)
    assert ('multi-label/mAP_area' in result) == (protocol == 'voc')
    metric = METRICS.build(dict(type='MultiLabelMetrics', **arguments))
    halves = torch.tensor(SCORES, dtype=torch.bfloat16)
    for score, target in zip(halves, TARGETS):
        metric.process({}, [dict(pred_score=score, gt_score=torch.tensor(target))])
    rounded = multi_label_figures(halves.double().numpy(), np.int8(TARGETS), **arguments)
    assert metric.evaluate(size=3)['multi-label/mAP'] == pytest.approx(rounded['mAP'])


def test_classes_without_names_are_numbered():
    metric = METRICS.build(dict(type='MultiLabelMetrics', classwise=True))
    metric.process({}, [dict(pred_score=torch.tensor(SCORES[0]), gt_score=torch.tensor(TARGETS[0]))])
    assert metric.evaluate(size=1)['multi-label/AP_0'] == pytest.approx(100)


def test_images_that_a_sampler_repeats_to_fill_its_batches_do_not_count():
    assert evaluate(SCORES + SCORES[:1], TARGETS + TARGETS[:1], size=3) == evaluate(SCORES, TARGETS)


@pytest.mark.parametrize(
    ('scores', 'options', 'message'),
    [
        ([], {}, 'no image to evaluate'),
        ([[math.nan] * 4], {}, '1 of 1 images have scores that are NaN'),
        (SCORES, dict(protocol='VOC2007'), "protocol='VOC2007' is unknown"),
    ],
)
def test_what_has_no_figures_is_refused(scores, options, message):
    with pytest.raises(UserError, match=message):
        evaluate(scores, TARGETS, **options)
