"""Metrics. :mod:`mmdclpp.evaluation.multi_label` has them as pure functions."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

from .features import (
    ImageFeatures,
    extract_image_features,
    iterate_features,
    multi_label_targets,
    weights_fingerprint,
)
from .knn import knn_scores
from .linear_fit import LinearFit, fit_linear
from .multi_label import multi_label_figures, per_class_table
from .multi_label_metrics import MultiLabelMetrics

__all__ = [
    'ImageFeatures',
    'LinearFit',
    'MultiLabelMetrics',
    'extract_image_features',
    'fit_linear',
    'iterate_features',
    'knn_scores',
    'multi_label_figures',
    'multi_label_targets',
    'per_class_table',
    'weights_fingerprint',
]
