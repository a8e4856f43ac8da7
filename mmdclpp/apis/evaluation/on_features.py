"""Multi-label evaluations on features that are extracted once: linear and k-NN."""

from typing import Any, Dict, List, NamedTuple, Tuple

from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor

from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.evaluation.job import Job
from mmdclpp.apis.evaluation.resize import set_image_size
from mmdclpp.errors import UserError
from mmdclpp.evaluation.feature_cache import read_annotations
from mmdclpp.evaluation.features import extract_image_features, multi_label_targets
from mmdclpp.evaluation.knn import knn_scores
from mmdclpp.evaluation.linear_fit import fit_linear
from mmdclpp.evaluation.multi_label import multi_label_figures, per_class_table
from mmdclpp.registry import DATASETS

K = 20  # prior: DINO's k-NN evaluation
TEMPERATURE = 0.07  # prior: DINO
THRESHOLD = 0.5


class _Features(NamedTuple):
    train: Tuple[Tensor, Tensor]
    test: Tuple[Tensor, Tensor]
    classes: List[str]


def linear_on_features(job: Job) -> Dict[str, Any]:
    """A linear classifier on cached features; learning rate and weight decay by a held-out part of train."""
    data = _features(job)
    fit = fit_linear(*data.train, data.test[0], seed=job.options.seed, label='      linear fit')
    settings = dict(learning_rate=fit.learning_rate, weight_decay=fit.weight_decay)
    return _result(job, fit.scores, data, settings, sweep=fit.sweep)


def knn_on_features(job: Job) -> Dict[str, Any]:
    """A weighted vote of the k nearest training images, by cosine similarity."""
    data = _features(job)
    scores = knn_scores(*data.train, data.test[0], k=K, temperature=TEMPERATURE)
    return _result(job, scores, data, dict(k=K, temperature=TEMPERATURE))


def check_splits(train: BaseDataset, test: BaseDataset) -> List[str]:
    """The classes of both splits.

    Raises:
        UserError: If they differ, or an image is in both.
    """
    classes = [list(dataset.metainfo['classes']) for dataset in (train, test)]
    if classes[0] != classes[1]:
        raise UserError(
            f'ann_file: {train.ann_file} and {test.ann_file} have other classes, or another order of them: give both '
            'the same categories'
        )
    shared = sorted(set(read_annotations(train, 'img_path')).intersection(read_annotations(test, 'img_path')))
    if shared:
        raise UserError(
            f'ann_file: {train.ann_file} and {test.ann_file} share {len(shared)} images ({shared[0]}): take them out '
            'of one'
        )
    return classes[0]


def _features(job: Job) -> _Features:
    """Features and targets of both splits, from the cache as far as they are there."""
    config = shipped_config('benchmarks/linear/vit-s16_coco.py')
    pipeline = set_image_size(config.val_dataloader.dataset.pipeline, job.image_size)
    device = get_device()
    backbone = job.backbone.to(device)
    preprocessor = ClsDataPreprocessor(**job.source.normalise).to(device)
    datasets = {
        split: DATASETS.build(dict(type='CocoMultiLabel', **job.data.options(split), pipeline=pipeline))
        for split in ('train', 'test')
    }
    classes = check_splits(**datasets)
    splits = {}
    for split, dataset in datasets.items():
        features = extract_image_features(
            backbone,
            preprocessor,
            dataset,
            batch_size=job.options.batch_size,
            num_workers=job.options.num_workers,
            cache_dir=job.options.cache_dir,
            fingerprint=job.fingerprint,
            label=f'      {split} features',
        )
        splits[split] = (features.aggregate(job.source.aggregate).to(device), multi_label_targets(dataset).to(device))
    return _Features(**splits, classes=classes)


def _result(job: Job, scores: Tensor, data: _Features, settings: Dict[str, Any], **more) -> Dict[str, Any]:
    scores, targets = scores.cpu().numpy(), data.test[1].cpu().numpy()
    size = dict(image_size=job.image_size, train_images=len(data.train[0]), test_images=len(targets))
    return dict(
        metrics=multi_label_figures(scores, targets, THRESHOLD, protocol=job.data.protocol),
        per_class=per_class_table(scores, targets, THRESHOLD, data.classes, job.data.protocol),
        settings={**settings, **size},
        **more,
    )
