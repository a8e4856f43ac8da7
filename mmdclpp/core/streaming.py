"""The computation behind :func:`~mmdclpp.core.info_nce`, in memory linear in the features.

Similarities are computed for a few anchors at a time and forgotten. The loss is a mean, so what an anchor adds to
every gradient is known as soon as its log-sum-exp is: the forward pass computes the gradients too, with the three
matrix products that any implementation needs, and the backward pass only scales them.
"""

import math
from typing import Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .memory import chunks

_LN2 = math.log(2)


class StreamingInfoNCE(torch.autograd.Function):
    """Mean loss, and detached the mean positive and the summed negative similarity and the log-sum-exps."""

    @staticmethod
    def forward(ctx, temperature, available, needs_grad, groups, anchors, positives, *features_and_tokens):
        """Loss, statistics and, where needed, gradients.

        Args:
            temperature (float): ``τ``.
            available (int): Bytes for buffers.
            needs_grad (Sequence[bool]): Whether anchors, positives and each group's features need a gradient.
            groups (Sequence[tuple]): ``excluded``, ``index`` and ``block_size`` of each group.
            anchors (Tensor): Shape ``(v, K, D)``.
            positives (Tensor): Shape ``(v, K, D)``.
            features_and_tokens (Tensor): Of each group, shape ``(R, D)``; then :func:`token` of what needs a gradient.
        """
        features, tokens = features_and_tokens[: len(groups)], features_and_tokens[len(groups) :]
        gradients = [torch.empty_like(x) if needed else None for x, needed in zip((anchors, positives), needs_grad)]
        gradients += [torch.zeros_like(x) if needed else None for x, needed in zip(features, needs_grad[2:])]
        to_anchors, to_positives, *to_features = gradients
        groups = [_Candidates(rows, *group) for rows, group in zip(features, groups)]
        num_anchors = anchors.shape[0] * anchors.shape[1]
        loss, positive_sum, negative_sum = (anchors.new_zeros(()) for _ in range(3))
        log_sum_exp = anchors.new_empty(anchors.shape[:2])
        lowest = torch.finfo(anchors.dtype).min  # instead of -inf, for an anchor without negatives

        pieces = list(_pieces(anchors, groups, available))
        longest = max((v.stop - v.start) * (k.stop - k.start) for v, k in pieces)
        memory = [anchors.new_empty(longest * group.count) for group in groups]  # reused: fresh memory is slow
        for piece in pieces:
            # Logits are in base 2: a CPU takes powers of two three times as fast as of e.
            scaled, positive = anchors[piece] / (temperature * _LN2), positives[piece]
            logit = (scaled * positive).sum(2, keepdim=True)
            shifts, normalisers, buffers = [], [], []
            for group, flat in zip(groups, memory):
                buffer = flat[: scaled.shape[0] * scaled.shape[1] * group.count].view(*scaled.shape[:2], group.count)
                negative_sum += group.logits_into(buffer, scaled, *piece)
                shift = buffer.amax(2, keepdim=True).clamp_(min=lowest)
                buffer.sub_(shift).exp2_()
                shifts.append(shift)
                normalisers.append(shift + buffer.sum(2, keepdim=True).log2_())
                buffers.append(buffer)
            normaliser = _log2_sum_exp2(torch.cat(normalisers, 2)).clamp_(min=lowest)
            # Not the difference of two log-sum-exps, in which a tiny loss would be lost.
            margin = (normaliser - logit) * _LN2
            losses = softplus(margin, threshold=40)  # from where on it is the identity, in float64 too
            loss += losses.sum()
            positive_sum += logit.sum()
            log_sum_exp[piece] = (logit * _LN2 + losses).squeeze(2)
            if not any(needs_grad):
                continue
            # The derivative by the negatives' logits, summed over them. By the positive's logit it is the opposite.
            weight = margin.sigmoid_().div_(num_anchors * temperature)
            if to_anchors is not None:
                torch.mul(positive, -weight, out=to_anchors[piece])
            if to_positives is not None:
                torch.mul(anchors[piece], -weight, out=to_positives[piece])
            for group, buffer, shift, gradient in zip(groups, buffers, shifts, to_features):
                row_weight = weight * (shift - normaliser).exp2_()
                if to_anchors is not None:
                    to_anchors[piece].addcmul_(group.weighted_sum(buffer), row_weight)
                if gradient is not None:
                    group.add_to_gradient(gradient, buffer, row_weight * anchors[piece], piece[0])

        loss /= num_anchors
        unit = temperature * _LN2
        statistics = positive_sum * unit / num_anchors, negative_sum * unit, log_sum_exp
        ctx.num_inputs = len(needs_grad)
        ctx.save_for_backward(*gradients, *tokens)
        ctx.mark_non_differentiable(*statistics)
        return (loss, *statistics)

    @staticmethod
    def backward(ctx, gradient, *_):
        saved, tokens = ctx.saved_tensors[: ctx.num_inputs], ctx.saved_tensors[ctx.num_inputs :]
        gradients = [None if x is None else x * gradient for x in saved]
        if torch.is_grad_enabled():  # by create_graph=True
            gradients = [None if x is None else _NoSecondDerivative.apply(x, gradient, *tokens) for x in gradients]
        return (None, None, None, None, *gradients, *(None for _ in tokens))


def token(features: Tensor) -> Tensor:
    """What ties the gradient to the features, so that a second derivative is refused, without holding them."""
    return features[(0,) * features.ndim].clone()


class _NoSecondDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gradient, *_):
        return gradient.detach().clone()

    @staticmethod
    def backward(ctx, _):
        raise RuntimeError(
            'info_nce has no second derivative: its gradients are computed in the forward pass. For a gradient penalty '
            'or a Hessian write the loss with torch.nn.functional.cross_entropy'
        )


def _log2_sum_exp2(values: Tensor) -> Tensor:
    """Over the last dimension, which is kept; exact where it has one value."""
    largest = values.amax(2, keepdim=True).clamp_(min=torch.finfo(values.dtype).min)
    return largest + (values - largest).exp2_().sum(2, keepdim=True).log2_()


class _Candidates:
    """The candidates of a group, and what chunks of ``c × k`` anchors have to do with them.

    A buffer of shape ``(c, k, n)`` holds a value for every pair of an anchor of the chunk and a candidate.
    """

    def __init__(self, features: Tensor, excluded: Tensor, index: Optional[Tensor], block_size: int) -> None:
        self.features, self.excluded, self.index, self.block_size = features, excluded, index, block_size
        self.count = len(features) if index is None else index.shape[1]
        self._of_chunk = features  # (n, D) shared by all anchors, or (c, n, D) of the chunk's views
        self._sum = features.sum(0) if index is None else None  # (D), or (c, D) once a chunk has been computed

    def logits_into(self, buffer: Tensor, anchors: Tensor, views: slice, positions: slice) -> Tensor:
        """Fill the buffer with logits in base 2, ``-inf`` where excluded. Returns the sum of the others.

        Args:
            anchors (Tensor): Divided by ``τ·ln 2``, shape ``(c, k, D)``.
        """
        if self.index is None:
            torch.mm(anchors.flatten(0, 1), self.features.T, out=buffer.flatten(0, 1))
        else:
            self._of_chunk = self.features[self.index[views]]
            self._sum = self._of_chunk.sum(1)
            torch.bmm(anchors, self._of_chunk.transpose(1, 2), out=buffer)
        excluded = self.excluded[views] if self.excluded.shape[1] == 1 else self.excluded[views, positions]
        excluded = excluded[..., None].expand(*buffer.shape[:2], -1, self.block_size)
        blocks = buffer.unflatten(2, (-1, self.block_size))
        # The sum over all candidates factorises, which spares a pass over the buffer.
        negative_sum = (anchors.sum(1) * self._sum).sum() - blocks.gather(2, excluded).sum()
        blocks.scatter_(2, excluded, -math.inf)
        return negative_sum

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """``Σ_n weights[., ., n]·n``, shape ``(c, k, D)``."""
        if self.index is None:
            return (weights.flatten(0, 1) @ self.features).view(*weights.shape[:2], -1)
        return torch.bmm(weights, self._of_chunk)

    def add_to_gradient(self, gradient: Tensor, weights: Tensor, rows: Tensor, views: slice) -> None:
        """Add ``Σ_a weights[a, n]·rows[a]`` to the gradient of every candidate ``n``.

        Args:
            gradient (Tensor): Shape ``(R, D)``, written.
            weights (Tensor): Shape ``(c, k, n)``.
            rows (Tensor): Shape ``(c, k, D)``.
        """
        if self.index is None:
            gradient.addmm_(weights.flatten(0, 1).T, rows.flatten(0, 1))
        else:
            each = torch.bmm(weights.transpose(1, 2), rows)
            gradient.index_add_(0, self.index[views].flatten(), each.flatten(0, 1))


def _pieces(anchors: Tensor, groups: Sequence[_Candidates], available: int) -> Iterator[Tuple[slice, slice]]:
    """Views and positions of the chunks: several whole views each, or, where memory is short, parts of one."""
    num_views, num_positions, channels = anchors.shape
    bytes_of_anchor = anchors.element_size() * sum(group.count for group in groups)
    # The candidates of a view with their own choice, and their gradients.
    bytes_of_choice = 2 * channels * anchors.element_size() * sum(g.count for g in groups if g.index is not None)
    bytes_of_logits = num_positions * bytes_of_anchor
    bytes_of_view = bytes_of_logits + bytes_of_choice
    # Never all at once, so that small batches too take less than their table of logits.
    if num_views > 1 and bytes_of_view <= available:
        for views in chunks(num_views, bytes_of_view, min(available, num_views * bytes_of_view // 2)):
            yield views, slice(0, num_positions)
    else:
        # Every part of a view takes its choice anew, so that it should hold as much again, however little is left.
        of_part = max(min(available - bytes_of_choice, bytes_of_logits // 2), bytes_of_choice)
        for view in range(num_views):
            for positions in chunks(num_positions, bytes_of_anchor, of_part):
                yield slice(view, view + 1), positions
