"""Metrics. :mod:`mmdclpp.evaluation.multi_label` has them as pure functions."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

from .multi_label_metrics import MultiLabelMetrics

__all__ = ['MultiLabelMetrics']
