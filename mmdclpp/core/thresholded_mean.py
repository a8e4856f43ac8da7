"""The mean similarity of a view's anchors with every candidate, hard pairs counting and easy ones penalised."""

from importlib.util import find_spec
from typing import Optional

import torch
from torch import Tensor

from mmdclpp.errors import UserError

from .memory import buffer_bytes, chunks

_HAS_TRITON = find_spec('triton') is not None


@torch.no_grad()
def thresholded_mean(
    anchors: Tensor,
    candidates: Tensor,
    threshold: float,
    memory_budget: Optional[float] = None,
    backend: Optional[str] = None,
) -> Tensor:
    """``T[v, r] = mean_k q̄(anchors[v, k]·candidates[r])`` with ``q̄ = -1 if q <= threshold else q``.

    The ``(c·K, R)`` similarities are never kept. PyTorch computes as many as the budget allows at a time, in one
    buffer (on a GPU by float32 products as ``torch.backends.cuda.matmul`` rules). The Triton kernel keeps none; its
    similarities are as exact as float32's, and to it the budget bounds the copy that it takes of the candidates.

    Args:
        anchors (Tensor): L2-normalised, float32 or float64, shape ``(c, K, D)``: ``K`` anchors in each of ``c`` views.
        candidates (Tensor): L2-normalised, of the same type and device, shape ``(R, D)``.
        threshold (float): ``β``, a cosine similarity. A similarity of exactly ``β`` counts as -1.
        memory_budget (float, optional): In MiB. Defaults to None, which suits the device.
        backend (str, optional): ``'torch'`` or ``'triton'``. Defaults to None: Triton for float32 on a GPU that it
            knows (Ampere or newer), where the package is installed, else PyTorch.

    Returns:
        Tensor: Shape ``(c, R)``, of the inputs' type, without gradient.

    Raises:
        UserError: If shapes, types or devices do not fit, or the backend is not to be had for these tensors.

    References:
        Iskender et al., arXiv 2210.05063: the score of a set of negatives is a mean of these over views.
    """
    _check(anchors, candidates)
    available = buffer_bytes(memory_budget, anchors.device)
    if backend is None:
        backend = 'triton' if _suits_triton(anchors) else 'torch'
    if backend == 'triton':
        if not _HAS_TRITON:
            raise UserError("backend='triton' needs the package triton: install it, or use backend='torch'")
        from .triton_kernels import thresholded_mean_triton

        return thresholded_mean_triton(anchors, candidates, threshold, available)
    if backend != 'torch':
        raise UserError(f"backend={backend!r} must be 'torch', 'triton' or None")
    return _streamed(anchors, candidates, threshold, available)


def _check(anchors: Tensor, candidates: Tensor) -> None:
    if anchors.ndim != 3 or candidates.ndim != 2 or anchors.shape[2] != candidates.shape[1] or not anchors.shape[1]:
        raise UserError(
            f'anchors {tuple(anchors.shape)} and candidates {tuple(candidates.shape)} must have shapes (c, K, D) and '
            '(R, D), with K of 1 or more'
        )
    kinds = [(values.dtype, values.device) for values in (anchors, candidates)]
    if kinds[0] != kinds[1] or anchors.dtype not in (torch.float32, torch.float64):
        told = ' and '.join(f'{dtype} on {device}' for dtype, device in kinds)
        raise UserError(f'anchors and candidates ({told}) must both be float32, or both float64, on one device')


def _suits_triton(anchors: Tensor) -> bool:
    suits = _HAS_TRITON and torch.version.hip is None and anchors.is_cuda and anchors.dtype == torch.float32
    return suits and torch.cuda.get_device_capability(anchors.device) >= (8, 0)


def _streamed(anchors: Tensor, candidates: Tensor, threshold: float, available: int) -> Tensor:
    """As many whole views at a time as fit in the buffer, or parts of the candidates if not even one view does."""
    num_views, num_anchors, _ = anchors.shape
    means = anchors.new_empty(num_views, len(candidates))
    columns = chunks(len(candidates), num_anchors * anchors.element_size(), available)
    width = max((part.stop - part.start for part in columns), default=0)
    views = chunks(num_views, num_anchors * width * anchors.element_size(), available)
    height = max((part.stop - part.start for part in views), default=0)
    buffer = anchors.new_empty(height * num_anchors * width)
    for column in columns:
        some = candidates[column]
        for view in views:
            rows = anchors[view].flatten(0, 1)
            similarity = buffer[: len(rows) * len(some)].view(len(rows), len(some))
            torch.mm(rows, some.T, out=similarity)
            torch.threshold_(similarity, threshold, -1)
            torch.mean(similarity.unflatten(0, (-1, num_anchors)), dim=1, out=means[view, column])
    return means
