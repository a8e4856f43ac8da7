"""InfoNCE with one positive and any mixture of negatives for each anchor."""

import math
from typing import NamedTuple, Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mmdclpp.errors import UserError

from .precision import full_precision


class NegativeGroup(NamedTuple):
    """Candidates that anchors share, and which of them are negatives of which anchor.

    Attributes:
        features (Tensor): Normalised; ``(n, D)`` shared by all anchors, or ``(v, n, D)`` one set a view.
        mask (Tensor): Boolean, True where a candidate is a negative; ``(v, K, n)``, or ``(v, 1, n)`` the same for
            all anchors of a view.
    """

    features: Tensor
    mask: Tensor


class InfoNCE(NamedTuple):
    """The loss and what to log of it. All but the loss are detached.

    Attributes:
        loss (Tensor): Mean over this process's anchors.
        positive_similarity (Tensor): Mean cosine similarity of anchors and positives.
        negative_similarity (Tensor): Mean over all pairs of anchor and negative, 0 if there is none.
        num_negatives (Tensor): Mean number of negatives an anchor.
    """

    loss: Tensor
    positive_similarity: Tensor
    negative_similarity: Tensor
    num_negatives: Tensor

    @property
    def chance(self) -> Tensor:
        """``ln(1 + negatives)``: the loss of features that tell nothing apart."""
        return torch.log1p(self.num_negatives)


def check_temperature(temperature: float) -> float:
    """Return the temperature, or raise a UserError unless it is positive and finite."""
    if not (isinstance(temperature, (int, float)) and 0 < temperature < math.inf):
        raise UserError(f'temperature={temperature!r} must be a positive number: 0.1 or 0.2 is common')
    return float(temperature)


def info_nce(anchors: Tensor, positives: Tensor, negatives: Sequence[NegativeGroup], temperature: float) -> InfoNCE:
    """``-log( exp(a·p/τ) / (exp(a·p/τ) + Σ_n exp(a·n/τ)) )``, mean over anchors.

    Computed in float32 (float64 for float64 input) under autocast too.

    Args:
        anchors (Tensor): L2-normalised, shape ``(v, K, D)``: ``K`` anchors in each of ``v`` views.
        positives (Tensor): L2-normalised, shape ``(v, K, D)``.
        negatives (Sequence[NegativeGroup]): At least one; all together are the negatives of an anchor.
        temperature (float): ``τ``.

    Returns:
        InfoNCE: Loss and statistics.

    References:
        Oord et al., arXiv 1807.03748, eq. 4; the poster's dense contrastive loss.
    """
    check_temperature(temperature)
    with full_precision(anchors, positives, *(group.features for group in negatives)) as (anchors, positives, *sets):
        similarity = (anchors * positives).sum(-1)
        normalisers = []
        negative_sum, negative_count = similarity.new_zeros(()), similarity.new_zeros(())
        for features, (_, mask) in zip(sets, negatives, strict=True):
            candidates = anchors @ features.transpose(-1, -2)  # (v, K, n)
            normalisers.append((candidates / temperature).masked_fill(~mask, -math.inf).logsumexp(dim=-1))
            anchors_per_row = candidates.shape[1] // mask.shape[1]  # that share a row of the mask: all K, or one
            sums = candidates.detach().sum(1, keepdim=True) if anchors_per_row > 1 else candidates.detach()
            negative_sum += (sums * mask).sum()
            negative_count += mask.sum() * anchors_per_row
        # Not the difference of two log-sum-exps, in which a tiny loss would be lost.
        loss = -logsigmoid(similarity / temperature - torch.stack(normalisers).logsumexp(dim=0)).mean()
        return InfoNCE(
            loss,
            similarity.detach().mean(),
            negative_sum / negative_count.clamp(min=1),
            negative_count / similarity.numel(),
        )
