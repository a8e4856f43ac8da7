"""Metrics. :mod:`mmdclpp.evaluation.multi_label` has them as pure functions."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

from .features import (
    ImageFeatures,
    extract_image_features,
    iterate_features,
    multi_label_targets,
    weights_fingerprint,
)
from .multi_label_metrics import MultiLabelMetrics

__all__ = [
    'ImageFeatures',
    'MultiLabelMetrics',
    'extract_image_features',
    'iterate_features',
    'multi_label_targets',
    'weights_fingerprint',
]
