"""What the tests of the page of dense matches show on it."""

import numpy as np
import torch

from mmdclpp.visualization import DensePairs, Pair, Place

GRIDS = {'A': (4, 5), 'B<script>': (3, 3)}  # of two models; a name is not markup
# The second view shows the right half of the first one, mirrored.
PLACES = (Place((0, 0, 100, 100), False), Place((50, 0, 100, 100), True))


def dense_pairs(grid, seed=0) -> DensePairs:
    """Features of two pairs."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, 2, grid[0] * grid[1], 6, generator=generator)
    return DensePairs(first, second, grid)


def similarities(dense: DensePairs, pair: int) -> np.ndarray:
    """All cosine similarities of a pair, by numpy."""
    first, second = (view[pair].double().numpy() for view in (dense.first, dense.second))
    first, second = (view / np.linalg.norm(view, axis=1, keepdims=True) for view in (first, second))
    return first @ second.T


def pairs() -> list:
    """Two views of an image, and two images, of different shapes."""
    rng = np.random.default_rng(0)
    views = [rng.integers(0, 256, (80, width, 3), dtype=np.uint8) for width in (100, 80, 80, 100)]
    return [Pair('two views of a.jpg', (views[0], views[1]), PLACES), Pair('a & b', (views[2], views[3]))]


def models() -> dict:
    """Two models with their own grids."""
    return {name: dense_pairs(grid, seed) for seed, (name, grid) in enumerate(GRIDS.items())}
