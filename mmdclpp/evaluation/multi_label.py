"""The figures of multi-label classification, as pure functions.

Scores and targets have the shape ``(images, classes)``. Targets are 1, 0 or -1,
where -1 means that the entry is ignored.
"""

from typing import Dict

import numpy as np
from numpy import ndarray


def average_precision(scores: ndarray, targets: ndarray) -> ndarray:
    """Area under the precision-recall curve of each class.

    The step-wise sum over the distinct scores, ``sum_n (R_n - R_{n-1}) P_n``, without
    interpolation: images with equal scores enter together, so their order is
    immaterial. Equals scikit-learn's ``average_precision_score``.

    Args:
        scores (ndarray): Shape ``(N, C)``, any monotone scale.
        targets (ndarray): Shape ``(N, C)``.

    Returns:
        ndarray: Shape ``(C,)``, in [0, 1], NaN for classes without a positive image.
    """
    return np.array([_average_precision(*column) for column in zip(scores.T, targets.T)])


def _average_precision(scores: ndarray, targets: ndarray) -> float:
    scores, targets = scores[targets >= 0], targets[targets >= 0]
    num_positives = np.count_nonzero(targets)
    if num_positives == 0:
        return np.nan
    order = np.argsort(-scores, kind='stable')
    scores, targets = scores[order], targets[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true_positives = np.cumsum(targets, dtype=np.float64)[last_of_tie]
    precision = true_positives / (last_of_tie + 1)
    recall_gain = np.diff(true_positives, prepend=0) / num_positives
    return float(recall_gain @ precision)


def predict_above(scores: ndarray, threshold: float = 0.5) -> ndarray:
    """The entries with a score of at least ``threshold``, a boolean array like ``scores``."""
    return scores >= threshold


def predict_top(scores: ndarray, targets: ndarray, k: int = 3) -> ndarray:
    """The ``k`` classes with the highest scores in each image, a boolean array like ``scores``.

    Ignored classes take no place among the ``k``. Of equal scores, the class with
    the lower index comes first. Where fewer than ``k`` classes are not ignored, all
    of them are predicted.
    """
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
    labelled, positive = targets >= 0, targets == 1
    hits = (predicted & positive).sum(0)
    num_predicted = (predicted & labelled).sum(0)
    num_positives = positive.sum(0)
    evaluated = num_positives > 0

    precision = _ratio(hits, num_predicted)[evaluated]
    recall = _ratio(hits, num_positives)[evaluated]
    f1 = _ratio(2 * hits, num_predicted + num_positives)[evaluated]
    class_precision, class_recall, macro_f1 = (
        float(values.mean()) if len(values) else np.nan for values in (precision, recall, f1)
    )
    return dict(
        CP=class_precision,
        CR=class_recall,
        CF1=float(_ratio(2 * class_precision * class_recall, class_precision + class_recall)),
        macro_F1=macro_f1,
        OP=float(_ratio(hits.sum(), num_predicted.sum())),
        OR=float(_ratio(hits.sum(), num_positives.sum())),
        OF1=float(_ratio(2 * hits.sum(), (num_predicted + num_positives).sum())),
    )


def _ratio(numerator: ndarray, denominator: ndarray) -> ndarray:
    """``numerator / denominator``, 0 where the denominator is 0."""
    return np.where(denominator == 0, 0.0, numerator / np.where(denominator == 0, 1, denominator))
