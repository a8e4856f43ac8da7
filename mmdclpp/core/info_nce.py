"""InfoNCE with one positive and any mixture of negatives for each anchor."""

import math
from numbers import Real
from typing import NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from mmdclpp.errors import UserError

from .memory import buffer_bytes
from .precision import full_precision
from .streaming import StreamingInfoNCE, token


class NegativeGroup(NamedTuple):
    """Candidates for negatives, and which of them are no negatives of which anchor.

    All anchors share the candidates, or the anchors of a view share a choice of them. Either way features are
    held once: a candidate of many views is one row.

    Attributes:
        features (Tensor): Normalised, shape ``(R, D)``.
        excluded (Tensor): Which candidates are not negatives, shape ``(v, K, e)``, or ``(v, 1, e)`` the same for all
            anchors of a view. Integers (long) from 0 and below ``n / block_size``, distinct for an anchor; that they
            are is not checked, since it would take a pass over them.
        index (Tensor, optional): The candidates of each view as rows of ``features``, shape ``(v, n)``, long. None
            makes all ``n = R`` rows candidates of all anchors. Defaults to None.
        block_size (int): Consecutive candidates that one entry of ``excluded`` covers. Defaults to 1.
    """

    features: Tensor
    excluded: Tensor
    index: Optional[Tensor] = None
    block_size: int = 1

    @property
    def num_candidates(self) -> int:
        """``n``."""
        return self.features.shape[0] if self.index is None else self.index.shape[1]

    @property
    def num_negatives(self) -> int:
        """Negatives of an anchor, ``n - e·block_size``."""
        return self.num_candidates - self.excluded.shape[2] * self.block_size


class InfoNCE(NamedTuple):
    """The loss and what to log of it. All but the loss are detached.

    Attributes:
        loss (Tensor): Mean over this process's anchors.
        positive_similarity (Tensor): Mean cosine similarity of anchors and positives.
        negative_similarity (Tensor): Mean over all pairs of anchor and negative, 0 if there is none.
        num_negatives (Tensor): Number of negatives an anchor.
        log_sum_exp (Tensor): ``log( exp(a·p/τ) + Σ_n exp(a·n/τ) )`` of every anchor, shape ``(v, K)``.
    """

    loss: Tensor
    positive_similarity: Tensor
    negative_similarity: Tensor
    num_negatives: Tensor
    log_sum_exp: Tensor

    @property
    def chance(self) -> Tensor:
        """``ln(1 + negatives)``: the loss of features that tell nothing apart."""
        return torch.log1p(self.num_negatives)


def check_temperature(temperature: float) -> float:
    """Return the temperature, or raise a UserError unless it is positive and finite."""
    if isinstance(temperature, bool) or not (isinstance(temperature, Real) and 0 < temperature < math.inf):
        raise UserError(f'temperature={temperature!r} must be a positive number: 0.1 or 0.2 is common')
    return float(temperature)


def info_nce(
    anchors: Tensor,
    positives: Tensor,
    negatives: Sequence[NegativeGroup],
    temperature: float,
    memory_budget: Optional[float] = None,
) -> InfoNCE:
    """``-log( exp(a·p/τ) / (exp(a·p/τ) + Σ_n exp(a·n/τ)) )``, mean over anchors.

    Computed in float32 (float64 for float64 input) under autocast too. Nothing of size anchors × negatives is kept.
    Differentiable once.

    Args:
        anchors (Tensor): L2-normalised, shape ``(v, K, D)``: ``K`` anchors in each of ``v`` views.
        positives (Tensor): L2-normalised, shape ``(v, K, D)``.
        negatives (Sequence[NegativeGroup]): At least one; all together are the negatives of an anchor.
        temperature (float): ``τ``.
        memory_budget (float, optional): MiB for the similarities held at a time. The result does not depend on
            it. Defaults to None, which takes a size that is fast on the device.

    Returns:
        InfoNCE: Loss and statistics.

    Raises:
        UserError: If the temperature or the budget is not a positive number, or shapes or types do not fit.

    References:
        Oord et al., arXiv 1807.03748, eq. 4; the poster's dense contrastive loss.
    """
    check_temperature(temperature)
    negatives = list(negatives)
    _check(anchors, positives, negatives)
    with full_precision(anchors, positives, *(group.features for group in negatives)) as tensors:
        available = buffer_bytes(memory_budget, anchors.device)
        needs_grad = [torch.is_grad_enabled() and tensor.requires_grad for tensor in tensors]
        sets = [(group.excluded, group.index, group.block_size) for group in negatives]
        tokens = [token(tensor) for tensor, needed in zip(tensors, needs_grad) if needed]
        loss, *statistics = StreamingInfoNCE.apply(temperature, available, needs_grad, sets, *tensors, *tokens)
        num_negatives = loss.new_full((), sum(group.num_negatives for group in negatives))
    positive_similarity, negative_sum, log_sum_exp = statistics
    negative_similarity = negative_sum / (num_negatives * log_sum_exp.numel()).clamp(min=1)
    return InfoNCE(loss, positive_similarity, negative_similarity, num_negatives, log_sum_exp)


def _check(anchors: Tensor, positives: Tensor, negatives: Sequence[NegativeGroup]) -> None:
    if anchors.dim() != 3 or anchors.shape != positives.shape:
        raise UserError(
            f'anchors {tuple(anchors.shape)} and positives {tuple(positives.shape)} must both be of shape (v, K, D)'
        )
    if not anchors.numel() or not negatives or not all(isinstance(group, NegativeGroup) for group in negatives):
        raise UserError(
            f'anchors {tuple(anchors.shape)} and {len(negatives)} groups of negatives: give one at least, each a '
            'NegativeGroup'
        )
    num_views, num_positions, channels = anchors.shape
    for group in negatives:
        features, excluded, index, block_size = group
        if features.dim() != 2 or features.shape[1] != channels:
            raise UserError(f'features of negatives {tuple(features.shape)} must be of shape (R, {channels})')
        if excluded.dim() != 3 or excluded.shape[0] != num_views or excluded.shape[1] not in (1, num_positions):
            raise UserError(f'excluded {tuple(excluded.shape)} must be of shape ({num_views}, 1 or {num_positions}, e)')
        if index is not None and (index.dim() != 2 or len(index) != num_views):
            raise UserError(f'index {tuple(index.shape)} must be of shape ({num_views}, n)')
        if excluded.dtype != torch.long or (index is not None and index.dtype != torch.long):
            raise UserError('excluded and index must hold integers (torch.long): which candidates, not a mask of them')
        if block_size < 1 or not group.num_candidates or group.num_candidates % block_size:
            raise UserError(f'block_size={block_size} must divide the number of candidates, {group.num_candidates}')
    kinds = {tensor.dtype == torch.float64 for tensor in (anchors, positives, *(group.features for group in negatives))}
    if len(kinds) > 1:
        raise UserError('anchors, positives and features must all be of float64, or none of them')
