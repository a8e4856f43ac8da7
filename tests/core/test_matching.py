import pytest
import torch

from mmdclpp.core import match_positions
from mmdclpp.utils.measure import peak_memory

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
@pytest.mark.parametrize('memory_budget', [1e-4, 0.02, 1])
def test_neither_memory_nor_precision_changes_a_match(memory_budget, dtype):
    _, pairs = random_views(32, 32, 4, dtype=getattr(torch, dtype))
    expected = match_positions(pairs.double())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(match_positions(pairs, memory_budget), expected)


@pytest.mark.parametrize(('num_images', 'num_positions'), [(128, 32), (1, 512)])
def test_the_budget_bounds_what_is_held(num_images, num_positions):
    pairs = torch.randn(2 * num_images, num_positions, 4)
    budget = 0.1 * 2**20
    of_image = 2 * pairs[0].nbytes * 3  # normalised, and what normalising takes
    result = pairs[..., 0].numel() * 8
    assert peak_memory(lambda: match_positions(pairs, memory_budget=0.1)) < 1.3 * budget + of_image + result
    assert num_images * num_positions**2 * 4 > 4 * budget


def test_the_first_of_equal_positions_is_the_match():
    assert match_positions(torch.ones(2, 64, 3), memory_budget=1e-4).eq(0).all()
