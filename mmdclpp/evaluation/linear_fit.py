"""A linear multi-label classifier on fixed features, its learning rate and weight decay chosen by a sweep."""

import logging
from itertools import product
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmdclpp.errors import UserError

from .average_precision import average_precision
from .linear_classifiers import train_linear_classifiers
from .precision_recall import mean_defined

RATES_PER_CLASS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
DECAYS_PER_CLASS = (0.0, 1e-4)

Point = Tuple[float, float]


class LinearFit(NamedTuple):
    """What :func:`fit_linear` found.

    Attributes:
        scores (Tensor): Probabilities of the test images, float64 of shape ``(M, C)``, on the features' device. In
            float32, all logits above 17 would give 1, and average precision counts such ties.
        learning_rate (float): The one chosen.
        weight_decay (float): The one chosen.
        sweep (List[dict]): Each point tried, ``learning_rate``, ``weight_decay`` and ``mAP`` on the held-out part in
            percent (None where training diverged or no class has a positive image there). Empty if there was but
            one point.
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
    held_out: float = 0.1,
    seed: int = 0,
    label: str = 'linear fit',
) -> LinearFit:
    """Train a linear multi-label classifier on fixed features and score the test images.

    :func:`~mmdclpp.evaluation.linear_classifiers.train_linear_classifiers` says how it trains. All points of the
    grid train together on all but a held-out part of the training images; the one with the highest mAP on that part
    then trains on all of them. The test images decide nothing.

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
        held_out (float): Part of the training images that chooses. Defaults to 0.1.
        seed (int): Of the held-out part and the order of the images. Defaults to 0.
        label (str): Text before the progress bar. Defaults to 'linear fit'.

    Returns:
        LinearFit: The scores, and how they came about.

    Raises:
        UserError: If an argument is out of range, a feature not finite, or training diverges at every point.
    """
    num_images, num_classes = train_targets.shape
    if learning_rates is None:
        learning_rates = [num_classes * rate for rate in RATES_PER_CLASS]
    if weight_decays is None:
        weight_decays = [decay / num_classes for decay in DECAYS_PER_CLASS]
    points = list(product(sorted(learning_rates), sorted(weight_decays)))
    num_held_out = max(1, round(held_out * num_images)) if len(points) > 1 else 0
    _check(train_features, train_targets, test_features, points, epochs, batch_size, num_held_out)

    generator = torch.Generator().manual_seed(seed)  # of the CPU: devices draw alike
    order = torch.randperm(num_images, generator=generator).to(train_features.device)
    schedule = dict(epochs=epochs, batch_size=batch_size, seed=seed)
    point, sweep = points[0], []
    if len(points) > 1:
        held, rest = order[:num_held_out], order[num_held_out:]
        classifiers = train_linear_classifiers(
            train_features, train_targets, rest, points, **schedule, label=f'{label}, sweep'
        )
        targets = train_targets[held].cpu().numpy()
        for index, (learning_rate, weight_decay) in enumerate(points):
            scores = classifiers.scores(train_features[held], index)
            finite = scores.isfinite().all()
            figure = 100 * mean_defined(average_precision(scores.cpu().numpy(), targets)) if finite else -1
        ...
    return None
