"""mmseg's IoUMetric, as our configs build it, against a confusion matrix. It rounds to 0.01 percent."""

import math

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdclpp.registry import METRICS

IGNORED, NUM_CLASSES = 255, 5


@pytest.fixture(params=['_base_/datasets/scenes_segmentation.py', 'benchmarks/quick/linear_segmentation.py'])
def metric(request, repo):
    pytest.importorskip('mmseg.evaluation')
    config = Config.fromfile(repo / 'configs' / request.param)
    metric = METRICS.build({**config.val_evaluator, '_scope_': 'mmseg'})
    metric.dataset_meta = dict(classes=[f'class {c}' for c in range(NUM_CLASSES)])
    return metric


def evaluate(metric, predictions, labels):
    for prediction, label in zip(predictions, labels):
        sample = dict(pred_sem_seg=dict(data=prediction[None]), gt_sem_seg=dict(data=label[None]))
        metric.process({}, [sample])
    return metric.evaluate(size=len(labels))


def from_confusion(predictions, labels):
    """Pixel by pixel, the image counts nowhere by itself."""
    confusion = np.zeros((NUM_CLASSES, NUM_CLASSES))
    for label, prediction in zip(labels.flatten().tolist(), predictions.flatten().tolist()):
        if label != IGNORED:
            confusion[label, prediction] += 1
    hits, label, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    union = label + predicted - hits
    return dict(
        mIoU=100 * np.mean([h / u for h, u in zip(hits, union) if u]),  # classes that occur on one side at least
        mAcc=100 * np.mean([h / n for h, n in zip(hits, label) if n]),
        aAcc=100 * hits.sum() / confusion.sum(),
    )


def random_maps(seed, images=6, occurring=NUM_CLASSES):
    generator = torch.Generator().manual_seed(seed)
    labels, guesses = torch.randint(0, occurring, (2, images, 9, 11), generator=generator)
    predictions = torch.where(torch.rand(labels.shape, generator=generator) < 0.4, labels, guesses)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORED
    return predictions, labels


def absent_from_both():
    return random_maps(3, occurring=3)


def predicted_but_not_labelled():
    predictions, labels = random_maps(4)
    return predictions, labels.masked_fill(labels == 2, IGNORED)


def an_image_of_ignored_pixels():
    predictions, labels = random_maps(5)
    labels[2] = IGNORED
    return predictions, labels


def sizes_of_images_differ_in_what_is_labelled():
    predictions, labels = random_maps(6)
    labels[0, 1:] = IGNORED  # a mean over images would weigh its row like a whole image
    return predictions, labels


@pytest.mark.parametrize(
    'maps',
    [
        *(lambda seed=seed: random_maps(seed) for seed in range(3)),
        absent_from_both,
        predicted_but_not_labelled,
        an_image_of_ignored_pixels,
        sizes_of_images_differ_in_what_is_labelled,
    ],
)
def test_mean_iou_is_that_of_the_confusion_matrix_of_all_images(metric, maps):
    predictions, labels = maps()
    assert evaluate(metric, predictions, labels) == pytest.approx(from_confusion(predictions, labels), abs=0.0051)


def test_without_a_labelled_pixel_mean_iou_is_undefined(metric):
    predictions, labels = random_maps(0)
    result = evaluate(metric, predictions, torch.full_like(labels, IGNORED))
    assert all(math.isnan(result[name]) for name in ('mIoU', 'mAcc', 'aAcc'))
