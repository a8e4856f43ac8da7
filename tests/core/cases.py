"""What the tests of the mathematics share: the kinds of negatives, random features, the form of an error."""

import re
from typing import Tuple

import torch
from torch import Tensor

from mmdclpp.core import (
    AllNegatives,
    CrossViewNegatives,
    Draws,
    GlobalNegatives,
    GuidedNegatives,
    RandomNegatives,
    dense_loss,
)

from . import reference

# Name -> the samplers under test, each beside its definition.
KINDS = {
    'global': [(GlobalNegatives(), reference.mean_of_view)],
    'random': [(RandomNegatives(), reference.random_position)],
    'all': [(AllNegatives(), reference.every_position)],
    'guided': [(GuidedNegatives(5), reference.guided(5))],
    'guided, β, M < K': [(GuidedNegatives(3, 0.2), reference.guided(3, 0.2))],
    'guided, β, M > K': [(GuidedNegatives(16, -0.1), reference.guided(16, -0.1))],
    'cross-view': [(CrossViewNegatives(2), reference.cross_view(2))],
    'DenseCL++*': [
        (GuidedNegatives(8, 0.3), reference.guided(8, 0.3)),
        (CrossViewNegatives(3), reference.cross_view(3)),
    ],
    'global + random + random': [
        (GlobalNegatives(), reference.mean_of_view),
        (RandomNegatives(), reference.random_position),
        (RandomNegatives(), reference.random_position),
    ],
}
OTHER_IMAGES = [kind for kind in KINDS if kind != 'cross-view']


def samplers(kind: str):
    return [sampler for sampler, _ in KINDS[kind]]


def random_views(
    num_images: int, num_positions: int, channels: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tuple[Tensor, Tensor]:
    """Projections ``(2·B, K, D)``, of which the two views of an image are alike, and pair features ``(2·B, K, 7)``."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(num_images, num_positions, channels, generator=generator, dtype=torch.float64)
    noise = torch.randn(2 * num_images, num_positions, channels, generator=generator, dtype=torch.float64)
    pairs = torch.randn(2 * num_images, num_positions, 7, generator=generator, dtype=torch.float64)
    return (images.repeat(2, 1, 1) + noise).to(dtype), pairs.to(dtype)


def loss_of(kind: str, projections: Tensor, pairs: Tensor, temperature: float = 0.2, draws: Draws = Draws()):  # noqa: B008
    return dense_loss(projections, pairs, samplers(kind), temperature, draws)


def reference_of(kind: str, projections: Tensor, pairs: Tensor, temperature: float = 0.2, draws: Draws = Draws()):  # noqa: B008
    """The same by definition, in float64. Sampler ``i`` draws from the stream ``i/ItsName``."""
    kinds = [(define, f'{i}/{type(sampler).__name__}') for i, (sampler, define) in enumerate(KINDS[kind])]
    return reference.dense_loss(projections.double(), pairs.double(), kinds, temperature, draws)


def one_line(*words: str) -> str:
    """Pattern for ``pytest.raises(match=...)``: a message of one line that holds the words in this order."""
    return r'\A.*' + '.*'.join(map(re.escape, words)) + r'.*\Z'
