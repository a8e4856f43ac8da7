"""How hard a set of negatives is for a view: the score by which guided negatives are chosen."""

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from .dense_views import DenseViews
from .gather import sum_over_processes
from .layout import siblings
from .memory import buffer_bytes, chunks
from .precision import full_precision
from .thresholded_mean import thresholded_mean


class DrawnFeatures:
    """The features that any of the sets holds, of every view, without gradient.

    Args:
        views (DenseViews): The dense features of this step.
        sets (Tensor): A position of each view, ``M`` times over, shape ``(M, V)``, on the CPU.
    """

    def __init__(self, views: DenseViews, sets: Tensor) -> None:
        device = views.features.device
        # On the CPU, since it is known there how many they are: a GPU need not be waited for.
        positions, slot_of = compacted(sets, views.num_positions)
        self.slot_of = slot_of.to(device)  # (V, K): where in `features` a drawn position of a view is
        self.features = views.gathered(None if positions.shape == slot_of.shape else positions.to(device))  # (V, P, D)


def compacted(sets: Tensor, num_positions: int) -> Tuple[Tensor, Tensor]:
    """The positions of each view that any set holds.

    Args:
        sets (Tensor): A position of each view, any number of times over, shape ``(M, V)``.
        num_positions (int): ``K``.

    Returns:
        Tuple[Tensor, Tensor]: The positions, shape ``(V, P)``, where ``P`` is their largest number in a view and
        others, which no slot refers to, fill the rest; and the slot in ``P`` of every position that is held, shape
        ``(V, K)``. Where ``P = K`` both are simply the positions in order, so that features need not be copied.
    """
    held = torch.zeros(num_positions, sets.shape[1], dtype=torch.bool, device=sets.device).scatter_(0, sets, True).T
    slot_of = held.cumsum(dim=1) - 1
    most = int(slot_of[:, -1].max()) + 1
    if most == num_positions:
        everything = torch.arange(num_positions, device=sets.device).expand_as(slot_of)
        return everything, everything
    return held.byte().argsort(dim=1, descending=True, stable=True)[:, :most], slot_of


@torch.no_grad()
def guided_scores(
    views: DenseViews, sets: Tensor, threshold: Optional[float] = None, drawn: Optional[DrawnFeatures] = None
) -> Tensor:
    """Score every set of candidate negatives for every anchor view of this process.

    Args:
        views (DenseViews): The dense features of this step.
        sets (Tensor): A position of each view, ``M`` times over, shape ``(M, V)``, on the CPU.
        threshold (float, optional): ``β``. Defaults to None.
        drawn (DrawnFeatures, optional): Of these sets, where they have been gathered; not needed without ``β``.
            Defaults to None.

    Returns:
        Tensor: Mean over anchors and the views of other images, shape ``(2·B, M)``. With ``β``, similarities within
        rounding of it may count as on either side of it.
    """
    device, others = views.features.device, views.layout.num_views - 2
    if threshold is None:
        return _similarity_sums(views, sets.to(device)) / others
    drawn = drawn or DrawnFeatures(views, sets)
    return _thresholded_sums(views, drawn, sets.to(device), threshold) / others


def _similarity_sums(views: DenseViews, sets: Tensor) -> Tensor:
    """Without ``β`` the sums factorise: the mean of a view's anchors times the sum of a set's features.

    Processes exchange the sums of the sets, ``(M, D)``. They run over all views, so what the two excluded ones, both
    of this process, add is taken off again.
    """
    own = views.layout.local(sets.device)
    positions = sets[:, own].T  # (2·B, M)
    rows = positions + torch.arange(len(own), device=sets.device)[:, None] * views.num_positions
    with full_precision(views.features.detach()) as (features,):
        anchors = features.mean(dim=1)
        sums = anchors @ sum_over_processes(embedding_bag(rows.T, features.flatten(0, 1), mode='sum')).T
        sums -= (features @ anchors[..., None]).squeeze(2).gather(1, positions)
        return sums - siblings((features @ siblings(anchors)[..., None]).squeeze(2).gather(1, positions))


def _thresholded_sums(views: DenseViews, drawn: DrawnFeatures, sets: Tensor, threshold: float) -> Tensor:
    """With ``β`` every drawn feature's score with a view is computed once, a few views at a time, then looked up."""
    num_views, num_drawn, _ = drawn.features.shape
    first = torch.arange(num_views, device=sets.device) * num_drawn
    rows = first + drawn.slot_of.gather(1, sets.T).T  # (M, V)
    candidates = drawn.features.flatten(0, 1)
    anchors, own_image = views.features.detach(), views.own_image[:, 0]
    sums = anchors.new_empty(len(anchors), len(sets))
    bytes_of_view = 2 * len(candidates) * anchors.element_size()  # a table and its transpose
    for chunk in chunks(len(anchors), bytes_of_view, buffer_bytes(views.memory_budget, anchors.device)):
        table = thresholded_mean(anchors[chunk], candidates, threshold, views.memory_budget)
        excluded = own_image[chunk, :, None].expand(-1, -1, num_drawn)
        table.unflatten(1, (num_views, -1)).scatter_(1, excluded, 0)
        sums[chunk] = embedding_bag(rows, table.T.contiguous(), mode='sum').T
    return sums
