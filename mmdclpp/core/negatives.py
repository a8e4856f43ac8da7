"""Where the negatives of a dense anchor come from: one sampler for each row of the method's table.

Negatives come from views of *other* images, unless said otherwise. Every sampler is called with the
dense views of a step and the name of its stream of draws, and gives a :class:`NegativeGroup`. Choosing
carries no gradient; the chosen features do.
"""

from typing import Optional

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from mmdclpp.errors import UserError

from .draws import Draws
from .gather import gather_views
from .info_nce import NegativeGroup
from .layout import ViewLayout, siblings
from .precision import full_precision


class DenseViews:
    """What samplers may look at: this process's dense features, and on demand everyone's.

    Args:
        projections (Tensor): ``h``, not normalised, shape ``(2·B, K, D)``, first views then second.
        matches (Tensor): ``k⁺``, shape ``(2·B, K)``.
        draws (Draws): Source of randomness, the same on every process.
    """

    def __init__(self, projections: Tensor, matches: Tensor, draws: Draws) -> None:
        self.layout = ViewLayout.of(projections)
        with full_precision(projections) as (self.projections,):
            self.features = normalize(self.projections, dim=-1)
        self.matches = matches
        self.draws = draws
        self._all_features: Optional[Tensor] = None

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
    def other_images(self) -> Tensor:
        """Which views of the global batch are negatives of which local view, shape ``(2·B, V)``.

        Raises:
            UserError: If the global batch holds one image only.
        """
        return self.layout.other_images(self.features.device)

    def all_features(self) -> Tensor:
        """Every view's normalised features with gradient, shape ``(V, K, D)``; gathered once."""
        if self._all_features is None:
            self._all_features = gather_views(self.features, self.layout)
        return self._all_features


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
        means = normalize(views.projections.mean(dim=1), dim=-1)
        mask = views.other_images
        return NegativeGroup(gather_views(means, views.layout), mask[:, None])


class RandomNegatives(NegativeSampler):
    """One uniformly drawn position of each view: the poster's formulation (a), DenseCL++.

    ``V - 2`` negatives an anchor. All anchors share the draw, so one feature a view is exchanged.
    """

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        mask = views.other_images
        layout, features = views.layout, views.features
        drawn = views.draws.positions(stream, 1, layout.num_views, views.num_positions)[0].to(features.device)
        rows = torch.arange(len(features), device=features.device)
        return NegativeGroup(gather_views(features[rows, drawn[layout.local(features.device)]], layout), mask[:, None])


class AllNegatives(NegativeSampler):
    """Every position of every view of another image: ``(V - 2)·K`` negatives an anchor. Not in the poster.

    All ``2·B·K × V·K`` similarities are kept for the backward pass, in float32 2.3 MiB a copy for 8 images of 49
    positions and 9.4 GiB for 128 images of 196: for small batches or grids (``num_grid``).
    """

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        mask = views.other_images.repeat_interleave(views.num_positions, dim=1)
        return NegativeGroup(views.all_features().flatten(0, 1), mask[:, None])


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
        mask = views.other_images
        features = views.all_features()
        sets = views.draws.positions(stream, self.num_sets, len(features), views.num_positions).to(features.device)
        scores = guided_scores(views.features, features, sets, views.layout, self.threshold)
        chosen = sets[scores.argmax(dim=1)]  # (2·B, V)
        return NegativeGroup(features[torch.arange(len(features), device=features.device), chosen], mask[:, None])


@torch.no_grad()
def guided_scores(
    anchors: Tensor, features: Tensor, sets: Tensor, layout: ViewLayout, threshold: Optional[float] = None
) -> Tensor:
    """Score every set of candidate negatives for every anchor view.

    Args:
        anchors (Tensor): Local dense features, normalised, shape ``(2·B, K, D)``.
        features (Tensor): Everyone's, normalised, shape ``(V, K, D)``.
        sets (Tensor): The drawn positions, shape ``(M, V)``.
        layout (ViewLayout): The order of the views.
        threshold (float, optional): ``β``. Defaults to None.

    Returns:
        Tensor: Mean over anchors and the views of other images, shape ``(2·B, M)``.
    """
    with full_precision(anchors, features) as (anchors, features):
        num_views, num_positions = features.shape[:2]
        flat = features.flatten(0, 1)
        index = sets + torch.arange(num_views, device=sets.device) * num_positions  # (M, V) into flat
        if threshold is None:
            return _factorised_scores(anchors.mean(dim=1), flat, index, layout)
        if len(sets) < num_positions:  # fewer drawn features than there are: compare with the drawn ones only
            flat, index = flat[index.flatten()], torch.arange(index.numel(), device=index.device).view_as(index)
        scores = []
        weights = layout.other_images(anchors.device).to(anchors.dtype) / (num_views - 2)  # (2·B, V)
        for anchor, weight in zip(anchors, weights, strict=True):
            similarity = anchor @ flat.T
            table = similarity.masked_fill_(similarity <= threshold, -1).mean(dim=0)
            scores.append(table[index] @ weight)
        return torch.stack(scores)


def _factorised_scores(mean_anchors: Tensor, flat: Tensor, index: Tensor, layout: ViewLayout) -> Tensor:
    """Without ``β``, means over anchors and views factorise: the anchors' mean times each set's sum.

    The sum runs over all views; what the two excluded ones add to it is taken off again.
    """
    scores = mean_anchors @ embedding_bag(index, flat, mode='sum').T
    own = layout.local(flat.device)
    for excluded in (own, siblings(own)):
        candidates = flat[index[:, excluded]]  # (M, 2·B, D)
        scores = scores - torch.einsum('vd,mvd->vm', mean_anchors, candidates)
    return scores / (layout.num_views - 2)


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
        features = siblings(views.features).gather(1, drawn[..., None].expand(-1, -1, views.features.shape[2]))
        is_match = drawn[:, None] == matches[..., None]  # (2·B, K, N + 1)
        spare_needed = is_match[..., :-1].any(dim=-1, keepdim=True)
        return NegativeGroup(features, torch.cat([~is_match[..., :-1], spare_needed], dim=-1))
