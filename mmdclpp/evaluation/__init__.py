"""Metrics: features and their diagnostics, linear fits, k-NN, multi-label figures. Pure functions but for one."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

from .diagnostics import alignment, dense_figures, effective_rank, global_figures, relative_std, uniformity
from .features import (
    ImageFeatures,
    extract_image_features,
    iterate_features,
    multi_label_targets,
    weights_fingerprint,
)
from .geometric_matches import GeometricMatches, ViewGeometry, geometric_matches
from .knn import knn_scores
from .linear_fit import LinearFit, fit_linear
from .multi_label import multi_label_figures, per_class_table
from .multi_label_metrics import MultiLabelMetrics
from .similarities import Similarities, similarity_histograms, similarity_means

__all__ = [
    'GeometricMatches',
    'ImageFeatures',
    'LinearFit',
    'MultiLabelMetrics',
    'Similarities',
    'ViewGeometry',
    'alignment',
    'dense_figures',
    'effective_rank',
    'extract_image_features',
    'fit_linear',
    'geometric_matches',
    'global_figures',
    'iterate_features',
    'knn_scores',
    'multi_label_figures',
    'multi_label_targets',
    'per_class_table',
    'relative_std',
    'similarity_histograms',
    'similarity_means',
    'uniformity',
    'weights_fingerprint',
]
