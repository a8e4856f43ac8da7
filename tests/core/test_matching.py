import pytest
import torch

from mmdclpp.core import match_positions
from mmdclpp.utils.measure import allocations

from . import reference
from .cases import random_views


def test_a_match_is_the_most_similar_position_of_the_sibling():
    _, pairs = random_views(3, 6, 4)
    assert match_positions(pairs).tolist() == reference.match(pairs)


def test_similarity_is_the_cosine_not_the_product():
    pairs = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.1], [9.0, 10.0]]])  # one image, K = 2
    assert match_positions(pairs).tolist() == [[0, 1], [0, 1]]


def test_a_permuted_sibling_is_matched_by_the_permutation():
    permutation = torch.tensor([2, 0, 3, 1])
    first = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(0))
    matches = match_positions(torch.cat([first, first[:, permutation]]))
    assert matches.tolist() == [permutation.argsort().tolist(), permutation.tolist()]


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', 'float32', 'float64'])
def test_a_memory_budget_changes_no_match_and_bounds_the_table(dtype):
    _, pairs = random_views(32, 32, 4, dtype=getattr(torch, dtype))
    assert torch.equal(match_positions(pairs, memory_budget=0.02), match_positions(pairs))
    assert max(allocations(lambda: match_positions(pairs, memory_budget=0.02))) < 32 * 32 * 32 * 4 / 4
