"""Where the negatives of a dense anchor come from: one sampler for each row of the method's table.

Negatives come from views of *other* images, unless said otherwise. Every sampler is called with the
dense views of a step and the name of its stream of draws, and gives a :class:`NegativeGroup`. Choosing
carries no gradient; the chosen features do.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from mmdclpp.errors import UserError

from .draws import Draws
from .gather import gather_views, sum_over_processes
from .info_nce import NegativeGroup
from .layout import ViewLayout, siblings
from .memory import buffer_bytes, chunks
from .precision import full_precision
from .thresholded_mean import thresholded_mean


class DenseViews:
    """What samplers may look at: this process's dense features, and of everyone's as much as they need.

    Args:
        projections (Tensor): ``h``, not normalised, shape ``(2·B, K, D)``, first views then second.
        matches (Tensor): ``k⁺``, shape ``(2·B, K)``.
        draws (Draws): Source of randomness, the same on every process.
        memory_budget (float, optional): MiB for what a computation holds at a time. Defaults to None, by device.
    """

    def __init__(
        self, projections: Tensor, matches: Tensor, draws: Draws, memory_budget: Optional[float] = None
    ) -> None:
        self.layout = ViewLayout.of(projections)
        self.features = _normalized(projections)
        self.projections = projections
        self.matches = matches
        self.draws = draws
        self.memory_budget = memory_budget

    @property
    def num_positions(self) -> int:
        """Positions of a view, ``K``."""
        return self.features.shape[1]

    @property
    def positives(self) -> Tensor:
        """The matched feature of the sibling view for every anchor, shape ``(2·B, K, D)``."""
        index = self.matches[..., None].expand_as(self.features)
        return siblings(self.features).gather(1, index)

    @property
    def own_image(self) -> Tensor:
        """The two views of the global batch that are no negatives of a local view, shape ``(2·B, 1, 2)``.

        Raises:
            UserError: If the global batch holds one image only.
        """
        return self.layout.own_image(self.features.device)[:, None]

    @torch.no_grad()
    def gathered(self, positions: Optional[Tensor] = None) -> Tensor:
        """Every view's normalised features without gradient, sent in the precision of the projections.

        Args:
            positions (Tensor, optional): Of each view, shape ``(V, P)``; None takes all ``K``. Defaults to None.

        Returns:
            Tensor: Shape ``(V, P, D)``.
        """
        if self.layout.world_size == 1:
            return self.features.detach() if positions is None else _take(self.features.detach(), positions)
        local = self.projections.detach()
        local = local if positions is None else _take(local, self._of_local_views(positions))
        return _normalized(gather_views(local, self.layout))

    def gathered_with_gradient(self, positions: Optional[Tensor] = None, known: Optional[Tensor] = None) -> Tensor:
        """Every view's normalised features with gradient; only the gradients of these positions are sent back.

        Args:
            positions (Tensor, optional): Of each view, shape ``(V, P)``; None takes all ``K``. Defaults to None.
            known (Tensor, optional): What :meth:`gathered` gave for them, which then is not sent again.

        Returns:
            Tensor: Shape ``(V, P, D)``.
        """
        local = self.features if positions is None else _take(self.features, self._of_local_views(positions))
        return gather_views(local, self.layout, known)

    def _of_local_views(self, positions: Tensor) -> Tensor:
        return positions[self.layout.local(positions.device)]


def _normalized(features: Tensor) -> Tensor:
    with full_precision(features) as (features,):
        return normalize(features, dim=-1)


def _take(features: Tensor, positions: Tensor) -> Tensor:
    """``features[v, positions[v, p]]``: of ``(v, K, D)`` and ``(v, P)`` to ``(v, P, D)``."""
    return features[torch.arange(len(positions), device=features.device)[:, None], positions]


class NegativeSampler:
    """Base of the samplers: a config and a call."""

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        """Give the negatives of this process's anchors.

        Args:
            views (DenseViews): The dense features of this step.
            stream (str): Name of this sampler's stream of draws.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        arguments = ', '.join(f'{key}={value}' for key, value in vars(self).items())
        return f'{type(self).__name__}({arguments})'


class GlobalNegatives(NegativeSampler):
    """The mean of each view's dense projections, normalised: DenseCL's dense-global negatives.

    ``u[j] = normalise(mean_k h[j, k])``, ``V - 2`` negatives an anchor.
    """

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        excluded = views.own_image
        with full_precision(views.projections) as (projections,):
            means = normalize(projections.mean(dim=1), dim=-1)
        return NegativeGroup(gather_views(means, views.layout), excluded)


class RandomNegatives(NegativeSampler):
    """One uniformly drawn position of each view: the poster's formulation (a), DenseCL++.

    ``V - 2`` negatives an anchor. All anchors share the draw, so one feature a view is exchanged.
    """

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        excluded = views.own_image
        drawn = views.draws.positions(stream, 1, views.layout.num_views, views.num_positions)[0]
        features = views.gathered_with_gradient(drawn[:, None].to(views.features.device))
        return NegativeGroup(features.flatten(0, 1), excluded)


class AllNegatives(NegativeSampler):
    """Every position of every view of another image: ``(V - 2)·K`` negatives an anchor. Not in the poster.

    The loss streams, so memory is linear in ``V·K``; time is that of three matrix products of
    ``(2·B·K) × (V·K) × D`` (docs/performance.md).
    """

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        excluded = views.own_image
        features = views.gathered_with_gradient(known=views.gathered())
        return NegativeGroup(features.flatten(0, 1), excluded, block_size=views.num_positions)


class GuidedNegatives(NegativeSampler):
    """Of ``M`` random sets the one most similar to the anchor view: the poster's formulation (b).

    A set holds one position of each view. Its score for anchor view ``v`` is ``mean_{k,j} q̄(z[v,k]·z[j,m_j])``
    over the views ``j`` of other images, ``q̄ = -1 if q ≤ β else q``. ``V - 2`` negatives an anchor.
    Where no similarity exceeds ``β``, as can be early in training, all sets tie and the first is taken: a random one.

    Args:
        num_sets (int): ``M``. Defaults to 256.
        threshold (float, optional): ``β``, a cosine similarity in [-1, 1]. None scores with the
            similarity itself. Defaults to None.
    """

    def __init__(self, num_sets: int = 256, threshold: Optional[float] = None) -> None:
        if not isinstance(num_sets, int) or num_sets < 1:
            raise UserError(f'GuidedNegatives: num_sets={num_sets!r} must be a whole number of 1 or more')
        if threshold is not None and not (isinstance(threshold, (int, float)) and -1 <= threshold <= 1):
            raise UserError(f'GuidedNegatives: threshold={threshold!r} is a cosine similarity: use -1 to 1, or None')
        self.num_sets = num_sets
        self.threshold = threshold

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        excluded, layout = views.own_image, views.layout
        sets = views.draws.positions(stream, self.num_sets, layout.num_views, views.num_positions)
        drawn = None if self.threshold is None else DrawnFeatures(views, sets)
        best = guided_scores(views, sets, self.threshold, drawn).argmax(dim=1)  # (2·B,)
        sets = sets.to(best.device)
        if layout.world_size == 1:
            features, slots = views.features, sets
        else:  # exchange what any process has chosen, and no more
            positions, slot_of = _compacted(sets[gather_views(best, layout)], views.num_positions)
            known = None if drawn is None else _take(drawn.features, drawn.slot_of.gather(1, positions))
            features = views.gathered_with_gradient(positions, known)
            slots = slot_of.gather(1, sets.T).T
        first = torch.arange(layout.num_views, device=best.device) * features.shape[1]
        return NegativeGroup(features.flatten(0, 1), excluded, first + slots[best])


class DrawnFeatures:
    """The features that any of the sets holds, of every view, without gradient.

    Args:
        views (DenseViews): The dense features of this step.
        sets (Tensor): A position of each view, ``M`` times over, shape ``(M, V)``, on the CPU.
    """

    def __init__(self, views: DenseViews, sets: Tensor) -> None:
        device = views.features.device
        # On the CPU, since it is known there how many they are: a GPU need not be waited for.
        positions, slot_of = _compacted(sets, views.num_positions)
        self.slot_of = slot_of.to(device)  # (V, K): where in `features` a drawn position of a view is
        self.features = views.gathered(None if positions.shape == slot_of.shape else positions.to(device))  # (V, P, D)


def _compacted(sets: Tensor, num_positions: int) -> Tuple[Tensor, Tensor]:
    """The positions of each view that any set holds.

    Args:
        sets (Tensor): A position of each view, any number of times over, shape ``(M, V)``.
        num_positions (int): ``K``.

    Returns:
        Tuple[Tensor, Tensor]: The positions, shape ``(V, P)``, where ``P`` is their largest number in a view and
        others fill the rest; and the slot in ``P`` of every position that is held, shape ``(V, K)``.
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
        Tensor: Mean over anchors and the views of other images, shape ``(2·B, M)``.
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
    features, own = views.features.detach(), views.layout.local(sets.device)
    positions = sets[:, own].T  # (2·B, M)
    rows = positions + torch.arange(len(own), device=sets.device)[:, None] * views.num_positions
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


class CrossViewNegatives(NegativeSampler):
    """``N`` distinct positions of the sibling view, none of them the match: the poster's formulation 4.

    Args:
        num_negatives (int): ``N``, smaller than the number of positions. Defaults to 64.
    """

    def __init__(self, num_negatives: int = 64) -> None:
        if not isinstance(num_negatives, int) or num_negatives < 1:
            raise UserError(
                f'CrossViewNegatives: num_negatives={num_negatives!r} must be a whole number of 1 or more; for none, '
                'leave the sampler out of the list'
            )
        self.num_negatives = num_negatives

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        if self.num_negatives >= views.num_positions:
            raise UserError(
                f'CrossViewNegatives: num_negatives={self.num_negatives} but a view has only {views.num_positions} '
                f'positions, one of them the positive: use {views.num_positions - 1} or fewer, or larger crops'
            )
        # One more than needed for the whole view; each anchor then skips either its match or the spare last one.
        layout, matches = views.layout, views.matches
        drawn = views.draws.subsets(stream, self.num_negatives + 1, layout.num_views, views.num_positions)
        drawn = drawn.to(matches.device)[layout.local(matches.device)]  # (2·B, N + 1)
        slots = torch.full_like(matches, self.num_negatives).scatter_(
            1, drawn, torch.arange(self.num_negatives + 1, device=drawn.device).expand_as(drawn)
        )
        first = siblings(torch.arange(len(drawn), device=drawn.device)) * views.num_positions
        return NegativeGroup(views.features.flatten(0, 1), slots.gather(1, matches)[..., None], first[:, None] + drawn)
