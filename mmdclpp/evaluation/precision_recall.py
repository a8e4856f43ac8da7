"""Precision, recall and F1 of multi-label predictions.

Scores, predictions and targets have the shape ``(images, classes)``. Targets are 1, 0 or -1, where -1 means that the
entry is ignored.
"""

from typing import Dict, Tuple

import numpy as np
from numpy import ndarray

from mmdclpp.errors import UserError


def predict_above(scores: ndarray, threshold: float = 0.5) -> ndarray:
    """The entries with a score of at least ``threshold``, a boolean array like ``scores``."""
    return scores >= threshold


def predict_top(scores: ndarray, targets: ndarray, k: int = 3) -> ndarray:
    """The ``k`` classes with the highest scores in each image, a boolean array like ``scores``.

    Ignored classes take no place among the ``k``. Of equal scores, the class with
    the lower index comes first. Where fewer than ``k`` classes are not ignored, all
    of them are predicted.

    Raises:
        UserError: If ``k`` is below 1.
    """
    if k < 1:
        raise UserError(f'topk={k} must be at least 1')
    candidates = np.where(targets >= 0, scores, -np.inf)
    top = np.argsort(-candidates, axis=1, kind='stable')[:, :k]
    predicted = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(predicted, top, True, axis=1)
    return predicted


def precision_recall_f1(predicted: ndarray, targets: ndarray) -> Dict[str, float]:
    """Precision, recall and F1 over classes ("C") and overall ("O").

    Args:
        predicted (ndarray): Booleans, shape ``(N, C)``.
        targets (ndarray): Shape ``(N, C)``.

    Returns:
        dict: Values in [0, 1]; 0 where the denominator is 0.

        - ``CP``, ``CR``: precision and recall of each class that has a positive
          image, averaged over those classes (NaN if there is none).
        - ``CF1``: harmonic mean of ``CP`` and ``CR``, as usual in the multi-label
          literature.
        - ``macro_F1``: the mean of those classes' F1, scikit-learn's
          ``average='macro'``.
        - ``OP``, ``OR``, ``OF1``: from the counts of all classes together,
          scikit-learn's ``average='micro'``.
    """
    hits, num_predicted, num_positives = class_counts(predicted, targets)
    evaluated = num_positives > 0
    precision, recall, f1 = (
        values[evaluated] for values in class_precision_recall_f1(hits, num_predicted, num_positives)
    )
    class_precision, class_recall, macro_f1 = (mean_defined(values) for values in (precision, recall, f1))
    return dict(
        CP=class_precision,
        CR=class_recall,
        CF1=float(_ratio(2 * class_precision * class_recall, class_precision + class_recall)),
        macro_F1=macro_f1,
        OP=float(_ratio(hits.sum(), num_predicted.sum())),
        OR=float(_ratio(hits.sum(), num_positives.sum())),
        OF1=float(_ratio(2 * hits.sum(), (num_predicted + num_positives).sum())),
    )


def mean_defined(values: ndarray) -> float:
    """The mean of the values that are defined, NaN if none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def class_counts(predicted: ndarray, targets: ndarray) -> Tuple[ndarray, ndarray, ndarray]:
    """Of each class: positives that are predicted, labelled entries that are predicted, positives."""
    positive = targets == 1
    return (predicted & positive).sum(0), (predicted & (targets >= 0)).sum(0), positive.sum(0)


def class_precision_recall_f1(
    hits: ndarray, num_predicted: ndarray, num_positives: ndarray
) -> Tuple[ndarray, ndarray, ndarray]:
    """Precision, recall and F1 of each class."""
    return _ratio(hits, num_predicted), _ratio(hits, num_positives), _ratio(2 * hits, num_predicted + num_positives)


def _ratio(numerator: ndarray, denominator: ndarray) -> ndarray:
    """``numerator / denominator``, 0 where the denominator is 0."""
    return np.where(denominator == 0, 0.0, numerator / np.where(denominator == 0, 1, denominator))
