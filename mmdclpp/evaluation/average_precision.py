"""Average precision of multi-label scores: the usual one, and PASCAL VOC's two.

Scores and targets have the shape ``(images, classes)``. Targets are 1, 0 or -1, where -1 means that the entry is
ignored: it counts neither as a true nor as a false positive.
"""

from typing import Callable

import numpy as np
from numpy import ndarray

# Quotients, for the recall is one too: recall 3/10 must reach 0.3, and does not reach 3 * 0.1 in floating point.
_ELEVEN_POINTS = np.arange(11) / 10


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
    return _each_class(_stepwise, scores, targets)


def voc_average_precision(scores: ndarray, targets: ndarray, eleven_points: bool) -> ndarray:
    """Average precision of each class as PASCAL VOC's development kit defines it for classification.

    Images are ranked one by one: of equal scores, the image that comes first in the data set ranks first, since the
    kit sorts stably. Where scores are equal the result depends on the images' order, unlike
    :func:`average_precision`.

    Recall is compared with the eleven points exactly. In the kit itself it depends on how MATLAB or Octave round
    ``0:0.1:1``, which can miss a recall of exactly 0.3.

    Args:
        scores (ndarray): Shape ``(N, C)``, any monotone scale.
        targets (ndarray): Shape ``(N, C)``, -1 for images that show the class only in objects marked difficult.
        eleven_points (bool): Take the mean over recalls 0, 0.1, ..., 1 of the highest precision at that recall or
            above (VOC2007). Otherwise take the area under the curve, its precision made to fall monotonically
            (VOC2010 and later).

    Returns:
        ndarray: Shape ``(C,)``, in [0, 1], NaN for classes without a positive image.
    """
    return _each_class(_voc_eleven_points if eleven_points else _voc_area, scores, targets)


def _each_class(measure: Callable[[ndarray, ndarray], float], scores: ndarray, targets: ndarray) -> ndarray:
    """``measure`` of each class: of its labelled images by falling score, equal scores in the images' order."""
    result = np.full(scores.shape[1], np.nan)
    for c in np.flatnonzero((targets == 1).any(axis=0)):
        labelled = targets[:, c] >= 0
        column, target = scores[labelled, c], targets[labelled, c]
        order = np.argsort(-column, kind='stable')
        result[c] = measure(column[order], target[order])
    return result


def _stepwise(scores: ndarray, targets: ndarray) -> float:
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true_positives = np.cumsum(targets, dtype=np.float64)[last_of_tie]
    precision = true_positives / (last_of_tie + 1)
    recall_gain = np.diff(true_positives, prepend=0) / true_positives[-1]
    return float(recall_gain @ precision)


def _voc_eleven_points(scores: ndarray, targets: ndarray) -> float:
    recall, highest = _voc_curve(targets)
    return float(highest[np.searchsorted(recall, _ELEVEN_POINTS)].mean())


def _voc_area(scores: ndarray, targets: ndarray) -> float:
    recall, highest = _voc_curve(targets)
    return float(np.diff(recall, prepend=0) @ highest)


def _voc_curve(targets: ndarray):
    """Recall after each image, and the highest precision at that recall or above."""
    true_positives = np.cumsum(targets, dtype=np.float64)
    precision = true_positives / np.arange(1, len(targets) + 1)
    return true_positives / true_positives[-1], np.maximum.accumulate(precision[::-1])[::-1]
