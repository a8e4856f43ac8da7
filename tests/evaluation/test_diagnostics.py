"""Figures of features against their formulas in NumPy, and their values where these are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdclpp.core.matching import match_positions
from mmdclpp.errors import UserError
from mmdclpp.evaluation.diagnostics import (
    alignment,
    dense_figures,
    effective_rank,
    global_figures,
    relative_std,
    uniformity,
)
from mmdclpp.evaluation.geometric_matches import ViewGeometry, geometric_matches
from mmdclpp.evaluation.similarities import similarity_means


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5


def unit(rows: Tensor) -> list:
    return [row / np.linalg.norm(row) for row in rows.numpy()]


@pytest.mark.parametrize('shape', [(4, 3), (10, 7)])
def test_alignment_and_uniformity_are_those_of_wang_and_isola(shape):
    rows = unit(features(*shape))
    first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    distances = [((a - b) ** 2).sum() for a, b in zip(first, second)]
    assert alignment(features(*shape)) == pytest.approx(np.mean(distances))

    def of(view: list) -> float:
        pairs = [(a, b) for i, a in enumerate(view) for j, b in enumerate(view) if i != j]
        return math.log(np.mean([math.exp(-2 * ((a - b) ** 2).sum()) for a, b in pairs]))

    assert uniformity(features(*shape)) == pytest.approx((of(first) + of(second)) / 2)


@pytest.mark.parametrize('shape', [(4, 9), (9, 4), (5, 5)])
def test_effective_rank_is_rankme(shape):
    singular = np.linalg.svd(features(*shape).numpy(), compute_uv=False)
    share = singular / singular.sum() + 1e-7
    assert effective_rank(features(*shape)) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-5)


@pytest.mark.parametrize('rank', [1, 2, 5])
def test_effective_rank_counts_equally_strong_directions(rank):
    rows = torch.eye(rank, 8).repeat(3, 1)
    assert effective_rank(rows) == pytest.approx(rank, rel=1e-4)


def test_features_of_a_training_that_diverged_have_no_rank_and_raise_nothing():
    assert math.isnan(effective_rank(torch.tensor([[1.0, math.nan], [0, 1]])))


def test_relative_std_is_that_of_simsiam_over_one_by_root_c():
    expected = np.std(unit(features(9, 4)), axis=0).mean() / (1 / math.sqrt(4))
    assert relative_std(features(9, 4)) == pytest.approx(expected)


def test_collapsed_features_have_the_worst_of_every_figure():
    same = torch.rand(1, 8).expand(6, 8)
    collapsed = dict(alignment=0, uniformity=0, global_rank=1, global_std=0)
    assert global_figures(same) == pytest.approx(collapsed, abs=1e-4)
    collapsed = dict(intra=1, cross_view=1, inter=1, dense_rank=1, dense_std=0)
    assert dense_figures(same[:, None].expand(6, 3, 8)) == pytest.approx(collapsed, abs=1e-4)


def test_features_spread_over_the_sphere_have_the_best_of_them():
    spread = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    figures = global_figures(spread)
    assert figures['uniformity'] == pytest.approx(-4, abs=0.15)
    assert figures['global_std'] == pytest.approx(1, abs=0.01)
    assert figures['global_rank'] > 60


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_figures_are_computed_in_float32_under_autocast(dtype):
    dense = features(6, 4, 8).to(dtype).requires_grad_()
    expected = dense_figures(dense.detach().double())
    with torch.autocast('cpu', torch.bfloat16):
        assert dense_figures(dense) == pytest.approx(expected, rel=1e-5)


def test_dense_figures_are_those_of_their_parts():
    dense, grid = features(6, 4, 8), (2, 2)
    views = ViewGeometry(torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(6, 1), torch.tensor([False, True] * 3))
    found = geometric_matches(match_positions(dense), views, grid)
    expected = dict(
        similarity_means(dense)._asdict(),
        dense_rank=effective_rank(dense.flatten(end_dim=1)),
        dense_std=relative_std(dense.flatten(end_dim=1)),
        exact_matches=found.exact,
        exact_matches_chance=1 / 4,
        near_matches=1,
        near_matches_chance=1,
    )
    assert dense_figures(dense, grid, views) == pytest.approx(expected)


def test_the_rank_of_some_rows_is_taken_over_all_views():
    dense = torch.eye(6).repeat_interleave(4, dim=0).view(6, 4, 6)  # each view has a direction of its own
    assert dense_figures(dense, max_rows=6)['dense_rank'] == pytest.approx(6, rel=1e-4)


@pytest.mark.parametrize('function', [alignment, uniformity])
@pytest.mark.parametrize('shape', [(2, 4), (3, 4), (4, 2, 4)])
def test_less_than_two_images_in_two_views_are_refused(function, shape):
    with pytest.raises(UserError, match='view'):
        function(torch.rand(shape))
