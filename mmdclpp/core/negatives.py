"""Where the negatives of a dense anchor come from: one sampler for each row of the method's table.

Negatives come from views of *other* images, unless said otherwise. Every sampler is called with the
dense views of a step and the name of its stream of draws, and gives a :class:`NegativeGroup`. Choosing
carries no gradient; the chosen features do.
"""

from typing import Optional

import torch
from torch.nn.functional import normalize

from mmdclpp.errors import UserError

from .dense_views import DenseViews, take
from .gather import gather_views
from .guided_scores import DrawnFeatures, compacted, guided_scores
from .info_nce import NegativeGroup
from .layout import siblings
from .precision import full_precision


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
        features = views.gathered_with_gradient()
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
            positions, slot_of = compacted(sets[gather_views(best, layout)], views.num_positions)
            known = None if drawn is None else take(drawn.features, drawn.slot_of.gather(1, positions))
            features = views.gathered_with_gradient(positions, known)
            slots = slot_of.gather(1, sets.T).T
        first = torch.arange(layout.num_views, device=best.device) * features.shape[1]
        return NegativeGroup(features.flatten(0, 1), excluded, first + slots[best])


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
