"""A linear classifier of tokens, as pure functions: labels from masks, the fit, and its figures.

A token is a patch of a vision transformer or a cell of a feature map. Labels are class indices, or
:data:`IGNORED`, mmseg's value for what is not labelled.
"""

from typing import Dict, NamedTuple, Tuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mmdclpp.errors import UserError

IGNORED = 255


def token_labels(masks: Tensor, grid: Tuple[int, int], num_classes: int) -> Tensor:
    """The label of each token: the one that most of its pixels have.

    Pixel ``(y, x)`` belongs to token ``(y * rows // H, x * columns // W)``; where the grid divides the
    mask, these are its patches. Ignored pixels have no vote, a token of such pixels alone is ignored, and of
    equally frequent labels the lowest counts.

    Args:
        masks (Tensor): Integers, shape ``(N, H, W)``, at the geometry of the images.
        grid (Tuple[int, int]): Rows and columns of tokens.
        num_classes (int): Number of classes.

    Returns:
        Tensor: int64 of shape ``(N, rows * columns)``, on the device of ``masks``.

    Raises:
        UserError: If a mask has a label that is neither a class nor :data:`IGNORED`.
    """
    (num_images, height, width), (rows, columns) = masks.shape, grid
    y = torch.arange(height, device=masks.device) * rows // height
    x = torch.arange(width, device=masks.device) * columns // width
    first_token = torch.arange(num_images, device=masks.device) * rows * columns
    tokens = first_token[:, None, None] + y[:, None] * columns + x

    labelled = masks != IGNORED
    tokens, labels = tokens[labelled], masks[labelled].long()
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise UserError(
            f'a mask has labels from {labels.min()} to {labels.max()}, but there are {num_classes} classes, numbered '
            f'from 0: correct the classes of the data set, or set other labels to {IGNORED}'
        )
    shape = torch.Size((num_images, rows * columns, num_classes))
    votes = torch.bincount(tokens * num_classes + labels, minlength=shape.numel()).view(shape)
    return votes.argmax(-1).masked_fill(votes.sum(-1) == 0, IGNORED)  # of equal votes, argmax gives the first


class DenseProbe(NamedTuple):
    """A linear classifier.

    Attributes:
        weight (Tensor): Shape ``(num_classes, C)``.
        bias (Tensor): Shape ``(num_classes,)``.
    """

    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """The most likely class of features ``(T, C)``, int64 of shape ``(T,)``."""
        return torch.addmm(self.bias, features, self.weight.T).argmax(-1)


def fit_dense_probe(
    features: Tensor, labels: Tensor, num_classes: int, weight_decay: float = 1e-4, max_iterations: int = 100
) -> DenseProbe:
    """Fit a softmax classifier to fixed features.

    Minimises ``mean cross-entropy + weight_decay / 2 · ‖W‖²``, where ``W`` acts on features standardised by
    channel, by L-BFGS over all tokens at once: the problem is convex, so that there is neither a learning rate to
    tune nor a random draw. No graph of ``features`` is touched.

    Args:
        features (Tensor): Of labelled tokens, shape ``(T, C)``. They are not copied; the fit needs memory for some
            three tensors of shape ``(T, num_classes)`` besides.
        labels (Tensor): int64 of shape ``(T,)``, without :data:`IGNORED`.
        num_classes (int): Number of classes; those that ``labels`` lack get low scores.
        weight_decay (float): Defaults to 1e-4.
        max_iterations (int): Upper bound of L-BFGS's iterations. Defaults to 100.

    Returns:
        DenseProbe: For features as they are, not standardised.

    Raises:
        UserError: If there is no token.
    """
    if not len(labels):
        raise UserError('the dense probe has no labelled token to learn from: check the masks of its training data')
    features = features.detach()
    std, mean = torch.std_mean(features, dim=0, correction=0)
    # A constant channel, but for rounding, says nothing: it becomes 0.
    scale = torch.where(std > 1e-5 * mean.abs(), std.reciprocal(), 0)

    with torch.enable_grad():
        weight = features.new_zeros(num_classes, features.shape[1], requires_grad=True)
        bias = features.new_zeros(num_classes, requires_grad=True)

        def unstandardised() -> DenseProbe:
            folded = weight * scale
            return DenseProbe(folded, bias - folded @ mean)

        def objective() -> Tensor:
            optimizer.zero_grad()
            probe = unstandardised()
            loss = cross_entropy(torch.addmm(probe.bias, features, probe.weight.T), labels)
            loss = loss + weight_decay / 2 * weight.square().sum()
            loss.backward()
            return loss

        optimizer = torch.optim.LBFGS(
            [weight, bias], max_iter=max_iterations, tolerance_grad=1e-5, line_search_fn='strong_wolfe'
        )
        optimizer.step(objective)
        return DenseProbe(*(tensor.detach() for tensor in unstandardised()))


def token_figures(predictions: Tensor, labels: Tensor, num_classes: int) -> Dict[str, float]:
    """Accuracy and mean IoU, from the confusion matrix of all tokens together.

    Args:
        predictions (Tensor): int64, shape ``(T,)``.
        labels (Tensor): int64, shape ``(T,)``; tokens that are :data:`IGNORED` do not count.
        num_classes (int): Number of classes.

    Returns:
        Dict[str, float]: In percent. ``accuracy``, the share of tokens whose class is right; ``mIoU``, intersection
        over union, averaged over the classes that occur among labels or predictions, as mmseg does. NaN
        where no token is labelled.
    """
    labelled = labels != IGNORED
    pairs = labels[labelled] * num_classes + predictions[labelled]
    confusion = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes).double()
    hits = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hits
    iou = (hits / union)[union > 0]
    return dict(accuracy=100 * float(hits.sum() / confusion.sum()), mIoU=100 * float(iou.mean()))
