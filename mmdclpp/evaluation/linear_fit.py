"""A linear multi-label classifier on fixed features, its learning rate and weight decay chosen by a sweep."""

import logging
import math
from itertools import product
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmdclpp.errors import UserError

from .average_precision import average_precision
from .feature_checks import check_features
from .linear_classifiers import LinearClassifiers, train_linear_classifiers
from .precision_recall import mean_defined

# Ours: the best rate lay inside on features from 128 to 512 channels of 2,000 to 50,000 images, pretrained, random and
# made up; few images and many channels ask for low rates or decay. The runner's probe has 0.16 and 0.
RATES_PER_CLASS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
DECAYS_PER_CLASS = (0.0, 1e-3, 1e-2)

Point = Tuple[float, float]


class LinearFit(NamedTuple):
    """What :func:`fit_linear` found.

    Attributes:
        scores (Tensor): Probabilities of the test images, float64 of shape ``(M, C)``, on the features' device.
        learning_rate (float): The one chosen.
        weight_decay (float): The one chosen.
        sweep (List[dict]): Each point tried, ``learning_rate``, ``weight_decay`` and ``mAP`` on the held-out part in
            percent, None where training diverged. Empty if nothing was compared.
    """

    scores: Tensor
    learning_rate: float
    weight_decay: float
    sweep: List[Dict[str, Optional[float]]]


def fit_linear(
    train_features: Tensor,
    train_targets: Tensor,
    test_features: Tensor,
    learning_rates: Optional[Sequence[float]] = None,
    weight_decays: Optional[Sequence[float]] = None,
    epochs: int = 50,
    batch_size: int = 256,
    held_out: float = 0.2,
    seed: int = 0,
    label: str = 'linear fit',
) -> LinearFit:
    """Train a linear multi-label classifier on fixed features and score the test images.

    ``train_linear_classifiers`` says how it trains. All points of the
    grid train together on all but a held-out part of the training images; the one with the highest mAP on that part
    then trains on all of them. The test images decide nothing. A grid of a single point needs no held-out part. If no
    class has a positive image there, a warning says so and the middle of the grid is taken; another warning says when
    the best learning rate is the grid's lowest or highest.

    Nothing is communicated: every process that calls it on the same device and data computes the same.

    Args:
        train_features (Tensor): Shape ``(N, D)``, of any scale.
        train_targets (Tensor): Shape ``(N, C)``: 1, 0, or -1 for entries that are ignored.
        test_features (Tensor): Shape ``(M, D)``.
        learning_rates (Sequence[float], optional): For a loss that is a mean over classes. Defaults to None, which
            means ``C`` times ``RATES_PER_CLASS``.
        weight_decays (Sequence[float], optional): Defaults to None, which means ``DECAYS_PER_CLASS`` over ``C``.
        epochs (int): Passes over the training images. Defaults to 50.
        batch_size (int): Images a step. Defaults to 256.
        held_out (float): Part of the training images that chooses. Defaults to 0.2.
        seed (int): Of the held-out part and the order of the images. Defaults to 0.
        label (str): Text before the progress bar. Defaults to 'linear fit'.

    Returns:
        LinearFit: The scores, and how they came about.

    Raises:
        UserError: If an argument is out of range, shapes do not fit, a feature is not finite, or training diverges
            at every point.
    """
    num_images, num_classes = train_targets.shape
    if learning_rates is None:
        learning_rates = [num_classes * rate for rate in RATES_PER_CLASS]
    if weight_decays is None:
        weight_decays = [decay / num_classes for decay in DECAYS_PER_CLASS]
    points = list(product(sorted(learning_rates), sorted(weight_decays)))
    _check_settings(points, epochs, batch_size, held_out)
    check_features(train_features, train_targets, test_features)
    if num_images < min(len(points), 2):
        raise UserError(f'{num_images} training images are too few: check the annotation file of the training data')

    def seeded() -> torch.Generator:
        return torch.Generator().manual_seed(seed)  # on the CPU: devices draw alike

    def train(features: Tensor, targets: Tensor, points: List[Point], label: str) -> LinearClassifiers:
        return train_linear_classifiers(features, targets, points, epochs, batch_size, seeded(), label)

    point, sweep = points[len(points) // 2], []
    if len(points) > 1:
        order = torch.randperm(num_images, generator=seeded()).to(train_features.device)
        held, rest = order.tensor_split([min(max(round(held_out * num_images), 1), num_images - 1)])
        if (train_targets[held] == 1).any():
            classifiers = train(train_features[rest], train_targets[rest], points, f'{label}, {len(points)} settings')
            figures = _held_out_figures(classifiers, train_features[held], train_targets[held])
            sweep = [dict(learning_rate=p[0], weight_decay=p[1], mAP=figure) for p, figure in zip(points, figures)]
            point = _best(points, figures, label)
        else:
            _warn(
                f'{label}: no class has a positive image among the {len(held)} that choose the learning rate, so the '
                f'middle of the sweep is taken: raise held_out={held_out:g}, or give more training images'
            )
    classifier = train(train_features, train_targets, [point], label)
    if not classifier.finite.all():
        raise _diverged([point])
    return LinearFit(classifier.scores(test_features)[0], *point, sweep)


def _check_settings(points: Sequence[Point], epochs: int, batch_size: int, held_out: float) -> None:
    if not points or not all(0 < rate < math.inf and 0 <= decay < math.inf for rate, decay in points):
        raise UserError('learning_rates must be positive, weight_decays not negative, and there must be one of each')
    if epochs < 1 or batch_size < 1 or not 0 < held_out < 1:
        raise UserError(
            f'epochs={epochs}, batch_size={batch_size}, held_out={held_out}: epochs and batch_size must be at least 1, '
            'held_out between 0 and 1'
        )


def _held_out_figures(classifiers: LinearClassifiers, features: Tensor, targets: Tensor) -> List[Optional[float]]:
    """mAP of each classifier in percent, None where training diverged."""
    targets = targets.cpu().numpy()
    return [
        100 * mean_defined(average_precision(scores.cpu().numpy(), targets)) if finite else None
        for scores, finite in zip(classifiers.scores(features), classifiers.finite.tolist())
    ]


def _best(points: Sequence[Point], figures: Sequence[Optional[float]], label: str) -> Point:
    """The point with the highest figure, the first of equal ones."""
    if all(figure is None for figure in figures):
        raise _diverged(points)
    best = max(range(len(points)), key=lambda index: -1 if figures[index] is None else figures[index])
    chosen, rates = points[best][0], [rate for rate, _ in points]
    if min(rates) < max(rates) and chosen in (min(rates), max(rates)):
        side, beyond = ('lowest', 'lower') if chosen == min(rates) else ('highest', 'higher')
        _warn(f'{label}: the best learning rate is the {side} of the sweep, {chosen:g}: a {beyond} one may be better')
    return points[best]


def _diverged(points: Sequence[Point]) -> UserError:
    tried = ', '.join(f'{rate:g}' for rate in sorted({rate for rate, _ in points}))
    return UserError(f'the linear fit diverged with learning_rates={tried}: pass lower ones, or lower weight_decays')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
