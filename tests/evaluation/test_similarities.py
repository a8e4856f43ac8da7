"""Similarities against loops over all pairs, in float64."""

import math
from typing import Dict, List

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdclpp.errors import UserError
from mmdclpp.evaluation.similarities import similarity_histograms, similarity_means

SHAPES = [(2, 1, 3), (2, 4, 3), (3, 5, 2), (5, 2, 8)]  # B, K, C


def features(images: int, positions: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(images)
    return torch.randn(2 * images, positions, channels, generator=generator, dtype=torch.float64) + 0.3


def all_pairs(dense: Tensor) -> Dict[str, List[float]]:
    """The similarities of every pair of each kind, from the definition."""
    views, positions = dense.shape[:2]
    pairs = {'intra': [], 'cross_view': [], 'inter': []}
    entries = [(view, position) for view in range(views) for position in range(positions)]
    for index, (v, k) in enumerate(entries):
        for w, m in entries[:index]:
            kind = 'intra' if v == w else 'cross_view' if v % (views // 2) == w % (views // 2) else 'inter'
            a, b = dense[v, k].numpy(), dense[w, m].numpy()
            pairs[kind].append(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return pairs


@pytest.mark.parametrize('shape', SHAPES)
def test_means_are_those_of_all_pairs(shape):
    expected = all_pairs(features(*shape))
    for kind, mean in similarity_means(features(*shape))._asdict().items():
        assert mean == pytest.approx(np.mean(expected[kind]) if expected[kind] else math.nan, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize('shape', SHAPES[1:])
@pytest.mark.parametrize('memory_budget', [None, 1e-4])
def test_histograms_count_every_pair_once(shape, memory_budget):
    expected = all_pairs(features(*shape))
    for kind, density in similarity_histograms(features(*shape), 7, memory_budget)._asdict().items():
        reference, _ = np.histogram(expected[kind], bins=7, range=(-1, 1), density=True)
        np.testing.assert_allclose(density, reference, rtol=1e-12)


def test_equal_features_lie_in_the_last_bin_however_they_are_rounded():
    dense = torch.rand(1, 1, 300).expand(6, 4, 300)
    for density in similarity_histograms(dense, 10):
        assert density.tolist() == [0] * 9 + [5]
    assert similarity_means(dense) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize('shape', [(2, 4, 3), (3, 4, 3), (4, 3)])
@pytest.mark.parametrize('function', [similarity_means, similarity_histograms])
def test_less_than_two_images_in_two_views_are_refused(function, shape):
    with pytest.raises(UserError, match='view'):
        function(torch.rand(shape))
