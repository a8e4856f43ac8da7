"""Collectives that keep one global batch independent of how it is spread."""

from typing import Optional

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from .layout import ViewLayout

# torch 2.13 gave the functions these names and deprecates the old ones.
_all_gather = getattr(dist, 'all_gather_single', None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, 'reduce_scatter_single', None) or dist.reduce_scatter_tensor


class _GatherRanks(torch.autograd.Function):
    """All ranks' views in canonical order; the backward pass sums each view's gradient over all ranks.

    Every rank's loss depends on every rank's features. Summing those gradients here and letting
    data-parallel training average the parameters' gradients gives the gradient of the mean of the
    ranks' losses, which is the loss of the whole batch.
    """

    @staticmethod
    def forward(ctx, local: Tensor, layout: ViewLayout, known: Optional[Tensor]) -> Tensor:
        ctx.layout = layout
        if known is not None:
            return known.view_as(known)
        gathered = local.new_empty((layout.world_size * len(local), *local.shape[1:]))
        _all_gather(gathered, local.contiguous())
        return gathered.unflatten(0, (layout.world_size, 2, -1)).transpose(0, 1).flatten(0, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        of_ranks = gradient.unflatten(0, (2, ctx.layout.world_size, -1)).transpose(0, 1).flatten(0, 2)
        local = gradient.new_empty((len(gradient) // ctx.layout.world_size, *gradient.shape[1:]))
        _reduce_scatter(local, of_ranks.contiguous())
        return local, None, None


def gather_views(local_views: Tensor, layout: ViewLayout, known: Optional[Tensor] = None) -> Tensor:
    """Gather every process's views in canonical order, with gradient: one collective each way.

    Args:
        local_views (Tensor): Shape ``(2·B, ...)``, the same on every rank.
        layout (ViewLayout): The order of the views.
        known (Tensor, optional): The gathered values, where this process has them already; nothing is sent then,
            until the backward pass. Defaults to None.

    Returns:
        Tensor: Shape ``(V, ...)``.
    """
    if layout.world_size == 1:
        return local_views
    return _GatherRanks.apply(local_views, layout, known)


@torch.no_grad()
def sum_over_processes(values: Tensor) -> Tensor:
    """Sum a detached tensor over all processes."""
    values = values.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
    return values


@torch.no_grad()
def mean_over_processes(values: Tensor) -> Tensor:
    """Average a detached tensor over all processes, for logging."""
    world_size = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    return sum_over_processes(values) / world_size
