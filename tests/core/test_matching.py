import pytest
import torch

from mmdclpp.core import match_positions, mutual_matches
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


@pytest.mark.parametrize('memory_budget', [1e-4, 1])
@pytest.mark.parametrize(('num_first', 'num_second'), [(6, 6), (5, 9), (9, 2)])
def test_matches_of_two_images_are_mutual_where_both_find_each_other(num_first, num_second, memory_budget):
    first, second = random_views(2, num_first, 4)[0][:2], random_views(2, num_second, 4, seed=1)[0][:2]
    found = mutual_matches(first, second, memory_budget)
    for image, (a, b) in enumerate(zip(first, second)):
        similarity = torch.stack([torch.stack([reference.unit(x) @ reference.unit(y) for y in b]) for x in a])
        target = similarity.argmax(1)
        assert torch.equal(found.target[image], target)
        torch.testing.assert_close(found.similarity[image], similarity.amax(1))
        mutual = [similarity[:, m].argmax() == k for k, m in enumerate(target)]
        assert found.mutual[image].tolist() == mutual


def test_only_the_nearest_of_several_that_share_a_target_is_mutual():
    first = torch.tensor([[[1.0, 0.2], [1.0, 0.1], [0.0, 1.0]]])
    second = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]])
    target, similarity, mutual = mutual_matches(first, second)
    assert target.tolist() == [[0, 0, 1]]
    assert mutual.tolist() == [[False, True, True]]
    torch.testing.assert_close(similarity, torch.tensor([[1 / 1.04**0.5, 1 / 1.01**0.5, 1.0]]))
