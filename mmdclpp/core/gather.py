"""Collectives that keep one global batch independent of how it is spread."""

import torch
import torch.distributed as dist
from torch import Tensor

from .layout import ViewLayout

# torch 2.13 gave the function this name and deprecates the old one.
_all_gather = getattr(dist, 'all_gather_single', None) or dist.all_gather_into_tensor


class _GatherRanks(torch.autograd.Function):
    """Concatenate over ranks; the backward pass sums each part's gradient over all ranks.

    Every rank's loss depends on every rank's features. Summing those gradients here and letting
    data-parallel training average the parameters' gradients gives the gradient of the mean of the
    ranks' losses, which is the loss of the whole batch.
    """

    @staticmethod
    def forward(ctx, local: Tensor) -> Tensor:
        ctx.num_local = len(local)
        gathered = local.new_empty((dist.get_world_size() * len(local), *local.shape[1:]))
        _all_gather(gathered, local.contiguous())
        return gathered

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        start = dist.get_rank() * ctx.num_local
        return gradient[start : start + ctx.num_local]


def gather_views(local_views: Tensor, layout: ViewLayout) -> Tensor:
    """Gather every process's views in canonical order, with gradient.

    Args:
        local_views (Tensor): Shape ``(2·B, ...)``, the same on every rank.
        layout (ViewLayout): The order of the views.

    Returns:
        Tensor: Shape ``(V, ...)``.
    """
    if layout.world_size == 1:
        return local_views
    gathered = _GatherRanks.apply(local_views)
    per_rank = gathered.unflatten(0, (layout.world_size, 2, layout.num_images))
    return per_rank.transpose(0, 1).flatten(0, 2)


@torch.no_grad()
def mean_over_processes(values: Tensor) -> Tensor:
    """Average a detached tensor over all processes, for logging."""
    values = values.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values
