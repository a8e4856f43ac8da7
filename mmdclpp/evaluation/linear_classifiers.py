"""Linear multi-label classifiers that learn from the same images at the same time."""

import math
from typing import List, NamedTuple, Sequence, Tuple

import torch
from mmengine.dist import is_main_process
from torch import Tensor

from mmdclpp.utils.progress import ProgressBar

_EPS = 1e-6  # the linear probe head's


class LinearClassifiers(NamedTuple):
    """``S`` classifiers of ``C`` classes on features of width ``D``.

    Attributes:
        mean (Tensor): What is subtracted from features, shape ``(D,)``.
        scale (Tensor): What they are multiplied by then, shape ``(D,)``.
        weight (Tensor): Shape ``(S, D, C)``.
        bias (Tensor): Shape ``(S, 1, C)``.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def standardised(self, features: Tensor) -> Tensor:
        """The features ``(N, D)`` with mean 0 and variance 1 over the training images."""
        return (features.to(self.mean) - self.mean) * self.scale

    @property
    def finite(self) -> Tensor:
        """Which of them training left with finite weights, booleans of shape ``(S,)``."""
        return (self.weight.isfinite() & self.bias.isfinite()).flatten(1).all(dim=1)

    def scores(self, features: Tensor) -> Tensor:
        """The probabilities of features ``(N, D)``, float64 of shape ``(S, N, C)``.

        In float32 all logits above 17 would give 1, and average precision counts such ties.
        """
        return self.logits(self.standardised(features)).double().sigmoid_()

    def logits(self, standardised: Tensor) -> Tensor:
        """The logits of standardised features ``(N, D)``, shape ``(S, N, C)``."""
        return torch.matmul(standardised, self.weight).add_(self.bias)


@torch.no_grad()
def train_linear_classifiers(
    features: Tensor,
    targets: Tensor,
    points: Sequence[Tuple[float, float]],
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
    label: str = '',
) -> LinearClassifiers:
    """Train a classifier for each learning rate and weight decay, all on the same batches.

    As the linear probe's head (:class:`mmdclpp.models.MultiLabelLinearHead`): features are standardised, the loss
    is the mean binary cross-entropy over the batch's labelled entries. SGD with Nesterov momentum 0.9, cosine decay
    to 0; weights start at 0. Weight decay spares the bias, whose size tells only how rare a class is.

    Mean and variance are those of all ``features``; beside the variance, 1e-6 of its mean over channels keeps
    constant channels at 0, so that the result does not depend on the features' scale.

    Args:
        features (Tensor): Shape ``(N, D)``.
        targets (Tensor): Shape ``(N, C)``: 1, 0, or -1 for entries that are ignored.
        points (Sequence[Tuple[float, float]]): Learning rate and weight decay of each classifier.
        epochs (int): Passes over the images.
        batch_size (int): Images a step.
        generator (torch.Generator): Draws the order of the images, on the CPU.
        label (str): Text before the progress bar. Defaults to '', no bar.

    Returns:
        LinearClassifiers: One a point. Where training diverged, weights are not finite.
    """
    variance, mean = torch.var_mean(features.to(torch.promote_types(features.dtype, torch.float32)), 0, correction=0)
    floor = (_EPS * variance.mean()).clamp(min=torch.finfo(variance.dtype).tiny)
    num_classes = targets.shape[1]
    weight = mean.new_zeros(len(points), features.shape[1], num_classes)
    bias = mean.new_zeros(len(points), 1, num_classes)
    classifiers = LinearClassifiers(mean, (variance + floor).rsqrt(), weight, bias)

    weights, biases = weight.unbind(), bias.unbind()
    groups = [dict(params=[w], lr=rate, weight_decay=decay) for w, (rate, decay) in zip(weights, points)]
    groups += [dict(params=[b], lr=rate) for b, (rate, _) in zip(biases, points)]
    optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    steps = epochs * math.ceil(len(features) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with ProgressBar(label, steps, visible=bool(label) and is_main_process()) as bar:
        for _ in range(epochs):
            order = torch.randperm(len(features), generator=generator).to(features.device)
            for rows in order.split(batch_size):
                gradients = _gradients(classifiers, features[rows], targets[rows])
                for parameter, gradient in zip(weights + biases, gradients):
                    parameter.grad = gradient
                optimizer.step()
                schedule.step()
                bar.update(bar.done + 1)
    return classifiers


def _gradients(classifiers: LinearClassifiers, features: Tensor, targets: Tensor) -> List[Tensor]:
    """Of the mean binary cross-entropy, with respect to each classifier's weight, then each one's bias."""
    labelled = targets >= 0
    standardised = classifiers.standardised(features)
    of_logits = (classifiers.logits(standardised).sigmoid_() - targets) * (labelled / labelled.sum().clamp(min=1))
    return [*torch.matmul(standardised.T, of_logits), *of_logits.sum(1, keepdim=True)]
