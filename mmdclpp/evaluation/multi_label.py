"""All figures of a multi-label evaluation, as pure functions.

Scores and targets have the shape ``(images, classes)``. Targets are 1, 0 or -1,
where -1 means that the entry is ignored.
"""

from typing import Dict, List, Optional, Sequence, Union

import numpy as np
from numpy import ndarray

from mmdclpp.errors import UserError

from .average_precision import average_precision, voc_average_precision
from .precision_recall import (
    class_counts,
    class_precision_recall_f1,
    mean_defined,
    precision_recall_f1,
    predict_above,
    predict_top,
)


def multi_label_figures(
    scores: ndarray,
    targets: ndarray,
    threshold: float = 0.5,
    topk: int = 3,
    classes: Optional[Sequence[str]] = None,
    protocol: str = 'coco',
) -> Dict[str, float]:
    """All figures of a multi-label evaluation.

    Args:
        scores (ndarray): Shape ``(N, C)``.
        targets (ndarray): Shape ``(N, C)``.
        threshold (float): A class is predicted from this score on. Defaults to 0.5.
        topk (int): And, for the second set, if it is among so many. Defaults to 3.
        classes (Sequence[str], optional): Names of the classes; with them the result has each class's average
            precision too. Defaults to None.
        protocol (str): Which average precision. Defaults to 'coco'.

            - ``'coco'``: ``average_precision``, as usual for COCO's 80 classes.
            - ``'voc'``: VOC2007's, over eleven points, and beside it the area that VOC takes since 2010.

    Returns:
        dict: In percent.

        - ``mAP``: average precision, mean over the classes that have a positive image; NaN if no class has one.
        - ``mAP_area``: with ``protocol='voc'``, the same of the area.
        - ``CP CR CF1 macro_F1 OP OR OF1``: ``precision_recall_f1`` at the threshold, and of the ``topk`` classes,
          ending in ``_top{topk}``.
        - ``AP_{class}``: with ``classes``; what ``mAP`` is the mean of.

    Raises:
        UserError: If there is no image, a score is not finite, the shapes do not fit, ``topk`` is below 1 or the
            protocol is unknown.
    """
    _check(scores, targets, classes)
    precision = _class_precision(scores, targets, protocol)
    figures = dict(mAP=mean_defined(precision))
    if protocol == 'voc':
        figures['mAP_area'] = mean_defined(voc_average_precision(scores, targets, eleven_points=False))
    figures.update(precision_recall_f1(predict_above(scores, threshold), targets))
    at_top = precision_recall_f1(predict_top(scores, targets, topk), targets)
    figures.update({f'{name}_top{topk}': value for name, value in at_top.items()})
    figures.update({f'AP_{name}': value for name, value in zip(classes or (), precision)})
    return {name: 100 * float(value) for name, value in figures.items()}


def per_class_table(
    scores: ndarray,
    targets: ndarray,
    threshold: float = 0.5,
    classes: Optional[Sequence[str]] = None,
    protocol: str = 'coco',
) -> List[Dict[str, Union[str, float, int]]]:
    """The figures of every class, a row each.

    Args:
        scores (ndarray): Shape ``(N, C)``.
        targets (ndarray): Shape ``(N, C)``.
        threshold (float): A class is predicted from this score on. Defaults to 0.5.
        classes (Sequence[str], optional): Names of the classes. Defaults to None, which numbers them.
        protocol (str): Which average precision, see :func:`multi_label_figures`. Defaults to 'coco'.

    Returns:
        List[dict]: ``class``, its name; ``AP``, ``precision``, ``recall`` and ``F1`` in percent; ``positives``, its
        number of positive images. Without a positive image ``AP`` is NaN, and 0 is what has a denominator of 0.

    Raises:
        UserError: As :func:`multi_label_figures`.
    """
    _check(scores, targets, classes)
    counts = class_counts(predict_above(scores, threshold), targets)
    figures = dict(AP=_class_precision(scores, targets, protocol))
    figures.update(zip(('precision', 'recall', 'F1'), class_precision_recall_f1(*counts)))
    names = [str(c) for c in range(scores.shape[1])] if classes is None else classes
    return [
        {
            'class': name,
            **{key: 100 * float(values[c]) for key, values in figures.items()},
            'positives': int(counts[2][c]),
        }
        for c, name in enumerate(names)
    ]


def check_protocol(protocol: str) -> str:
    """Return the protocol, or raise a UserError if it is unknown."""
    if protocol not in ('coco', 'voc'):
        raise UserError(f"protocol={protocol!r} is unknown: use 'coco' or 'voc'")
    return protocol


def _class_precision(scores: ndarray, targets: ndarray, protocol: str) -> ndarray:
    if check_protocol(protocol) == 'voc':
        return voc_average_precision(scores, targets, eleven_points=True)
    return average_precision(scores, targets)


def _check(scores: ndarray, targets: ndarray, classes: Optional[Sequence[str]]) -> None:
    if scores.shape != targets.shape:
        raise UserError(
            f'scores have the shape {scores.shape} (images, classes), but targets {targets.shape}: evaluate with the '
            'data set that the classifier was made for'
        )
    if classes is not None and len(classes) != scores.shape[1]:
        raise UserError(f'classes has {len(classes)} names, but there are scores of {scores.shape[1]} classes')
    if len(scores) == 0:
        raise UserError('there is no image to evaluate: the data set is empty; check its annotation file and indices')
    broken = ~np.isfinite(scores).all(axis=1)
    if broken.any():
        raise UserError(
            f'{broken.sum()} of {len(scores)} images have scores that are NaN or infinite: the classifier has '
            'probably diverged; train it with a lower learning rate'
        )
