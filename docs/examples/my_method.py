"""A template for a method of your own: a negative sampler and a dense loss, in one file beside your config.

Copy it and my_config.py, and change what you like. docs/extending.md explains the parts.
"""

from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.core import (
    DenseViews,
    Draws,
    InfoNCE,
    NegativeGroup,
    NegativeSampler,
    info_nce,
    match_positions,
    siblings,
)
from mmdclpp.core.precision import full_precision
from mmdclpp.errors import UserError
from mmdclpp.models.heads import DenseInfoNCEHead
from mmdclpp.registry import MODELS


@MODELS.register_module()
class SeveralRandomNegatives(NegativeSampler):
    """Several random positions of each view of another image, where DenseCL++ has one.

    Args:
        num_positions (int): Positions of a view, at most as many as it has. Defaults to 4.
    """

    def __init__(self, num_positions: int = 4) -> None:
        if num_positions < 1:
            raise UserError(f'SeveralRandomNegatives: num_positions={num_positions} must be 1 or more')
        self.num_positions = num_positions

    def __call__(self, views: DenseViews, stream: str) -> NegativeGroup:
        # Drawn for the views of all processes, and alike on each of them.
        drawn = views.draws.subsets(stream, self.num_positions, views.layout.num_views, views.num_positions)
        features = views.gathered_with_gradient(drawn.to(views.features.device))  # (V, num_positions, D)
        # The candidates of a view follow one another, so that one index excludes all of them.
        return NegativeGroup(features.flatten(0, 1), views.own_image, block_size=self.num_positions)


@MODELS.register_module()
class SoftMatchHead(DenseInfoNCEHead):
    """The dense loss with a soft positive: not the most similar position of the sibling view, but a mean of all.

    Position ``m`` counts by the softmax of ``cos(p[v, k], p[s(v), m]) / match_temperature``; near 0 this is the match.

    Args:
        match_temperature (float): How soft the match is. Defaults to 0.05.
        kwargs: Arguments of :class:`DenseInfoNCEHead`.
    """

    def __init__(self, match_temperature: float = 0.05, **kwargs) -> None:
        super().__init__(**kwargs)
        self.match_temperature = match_temperature

    def loss(self, projections: Tensor, positions: Tensor, draws: Draws) -> InfoNCE:
        """Loss of dense projections ``(2·B, K, D)`` of positions ``(2·B, K, C)``, first views then second."""
        pairs = positions if self.pair_feature == 'backbone' else projections
        views = DenseViews(projections, match_positions(pairs), draws, self.memory_budget)
        with full_precision(pairs.detach(), views.features) as (pairs, features):  # under autocast too
            pairs = normalize(pairs, dim=-1)
            weights = (pairs @ siblings(pairs).transpose(1, 2) / self.match_temperature).softmax(dim=-1)  # (2·B, K, K)
            positives = normalize(weights @ siblings(features), dim=-1)
        negatives = [sampler(views, f'{index}') for index, sampler in enumerate(self.negatives)]
        return info_nce(views.features, positives, negatives, self.temperature, self.memory_budget)
