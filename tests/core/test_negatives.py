"""Which views and positions each kind of negatives draws, and which never."""

from typing import Tuple

import pytest
import torch
from torch import Tensor

from mmdclpp.core import (
    CrossViewNegatives,
    DenseViews,
    Draws,
    GlobalNegatives,
    GuidedNegatives,
    NegativeGroup,
    RandomNegatives,
    ViewLayout,
    guided_scores,
    match_positions,
)
from mmdclpp.errors import UserError

from . import reference
from .cases import KINDS, one_line, random_views, samplers

IMAGES, POSITIONS = 3, 5
VIEWS = 2 * IMAGES
SIBLINGS = torch.arange(VIEWS).roll(IMAGES)


def drawn_by(sampler, iteration: int = 0) -> Tuple[Tensor, Tensor]:
    """How often each anchor has each (view, position) among its negatives, ``(V, K, V, K)``; and the matches.

    The features are one-hot, so that a negative tells where it comes from. (A mean tells its view.)
    """
    features = torch.eye(VIEWS * POSITIONS).view(VIEWS, POSITIONS, -1)
    matches = torch.randint(POSITIONS, (VIEWS, POSITIONS), generator=torch.Generator().manual_seed(iteration))
    group = sampler(DenseViews(features, matches, Draws(0, iteration)), 'stream')
    return negatives_of(group, VIEWS, POSITIONS).sum(2).unflatten(2, (VIEWS, POSITIONS)), matches


def negatives_of(group: NegativeGroup, num_views: int, num_positions: int) -> Tensor:
    """The candidates of every anchor, ``(v, K, n, D)``, zero where excluded."""
    candidates = group.features.expand(num_views, -1, -1) if group.index is None else group.features[group.index]
    kept = torch.ones(num_views, num_positions, group.num_candidates // group.block_size)
    kept.scatter_(2, group.excluded.expand(-1, num_positions, -1), 0)
    return candidates[:, None] * kept.repeat_interleave(group.block_size, dim=2)[..., None].to(candidates)


def other_images() -> Tensor:
    """``(V, V)``: the views that are neither the anchor's nor its sibling."""
    return torch.tensor([[j in reference.others(v, VIEWS) for j in range(VIEWS)] for v in range(VIEWS)])


ALL_BUT_CROSS = [sampler for kind in KINDS for sampler in samplers(kind) if not isinstance(sampler, CrossViewNegatives)]


@pytest.mark.parametrize('sampler', ALL_BUT_CROSS, ids=repr)
def test_negatives_come_from_every_view_of_another_image_and_no_other(sampler):
    counts, _ = drawn_by(sampler)
    assert torch.equal(counts.sum(-1) > 0, other_images()[:, None].expand(-1, POSITIONS, -1))


@pytest.mark.parametrize('sampler', [RandomNegatives(), GuidedNegatives(4), GuidedNegatives(9, 0.1)], ids=repr)
def test_a_set_holds_one_position_of_each_view(sampler):
    counts, _ = drawn_by(sampler)
    assert torch.equal(counts.sum(-1).long(), other_images()[:, None].expand(-1, POSITIONS, -1).long())
    assert torch.equal(counts, counts[:, :1].expand_as(counts)), 'all anchors of a view share its set'


def test_random_negatives_are_uniform():
    counts = sum(drawn_by(RandomNegatives(), i)[0][0, 0, 1] for i in range(500))
    assert ((counts - 100) ** 2 / 100).sum() < 18.5  # 4 degrees of freedom, p = 0.001


@pytest.mark.parametrize('num_negatives', range(1, POSITIONS))
def test_cross_view_negatives_are_distinct_positions_of_the_sibling_but_the_match(num_negatives):
    for iteration in range(20):
        counts, matches = drawn_by(CrossViewNegatives(num_negatives), iteration)
        in_sibling = counts[torch.arange(VIEWS), :, SIBLINGS]  # (V, K, K)
        assert in_sibling.max() == 1
        assert (in_sibling.sum(-1) == num_negatives).all() and (counts.sum((2, 3)) == num_negatives).all()
        assert (in_sibling.gather(2, matches[..., None]) == 0).all()


def test_cross_view_negatives_are_uniform_over_the_positions_but_the_match():
    offsets = torch.zeros(POSITIONS)
    for iteration in range(300):
        counts, matches = drawn_by(CrossViewNegatives(2), iteration)
        rows = counts[torch.arange(VIEWS), :, SIBLINGS].flatten(0, 1)
        for row, match in zip(rows[::7], matches.flatten()[::7], strict=True):  # few anchors: they share a draw
            offsets += row.roll(-int(match))  # position relative to the match
    assert offsets[0] == 0
    expected = offsets.sum() / (POSITIONS - 1)
    assert ((offsets[1:] - expected) ** 2 / expected).sum() < 16.3  # 3 degrees of freedom, p = 0.001


@pytest.mark.parametrize('threshold', [None, -0.2, 0.0, 0.5, 1.0])
@pytest.mark.parametrize('num_sets', [1, 4, 40])
def test_guided_scores_are_those_of_the_definition(num_sets, threshold):
    views = _random_dense_views()
    sets = Draws().positions('sets', num_sets, VIEWS, POSITIONS)
    scores = guided_scores(views, sets, threshold)
    expected = [[reference.set_score(_looped(views), v, m, threshold) for m in sets.tolist()] for v in range(VIEWS)]
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('threshold', [None, 0.2])
def test_a_score_does_not_depend_on_how_many_sets_there_are(threshold):
    views = _random_dense_views()
    sets = Draws().positions('sets', 4 * POSITIONS, VIEWS, POSITIONS)
    many = guided_scores(views, sets, threshold)
    few = guided_scores(views, sets[: POSITIONS - 1], threshold)
    torch.testing.assert_close(few, many[:, : POSITIONS - 1])


@pytest.mark.parametrize('threshold', [None, 0.2])
@pytest.mark.parametrize('num_sets', [3, 50])
def test_the_chosen_set_has_the_best_score_also_in_float32(num_sets, threshold):
    views = _random_dense_views(torch.float32)
    group = GuidedNegatives(num_sets, threshold)(views, 'stream')
    sets = views.draws.positions('stream', num_sets, VIEWS, POSITIONS).tolist()
    for v in range(VIEWS):
        chosen = (views.features == group.features[group.index[v]][:, None]).all(-1).float().argmax(1).tolist()
        scores = [reference.set_score(_looped(views), v, m, threshold) for m in sets]
        assert chosen in sets
        assert scores[sets.index(chosen)] >= max(scores) - 1e-5


@pytest.mark.parametrize('threshold', [None, 0.2])
def test_scores_are_of_float32_under_autocast(threshold):
    h, pairs = random_views(8, 16, 32, dtype=torch.float32)
    views = DenseViews(h, match_positions(pairs), Draws())
    sets = Draws().positions('sets', 256, 16, 16)
    expected = guided_scores(views, sets, threshold)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        scores = guided_scores(views, sets, threshold)
    torch.testing.assert_close(scores, expected, rtol=0, atol=0)


def test_a_guided_set_is_harder_than_a_random_one():
    h, pairs = random_views(8, 9, 6)
    views = DenseViews(h, match_positions(pairs), Draws())

    def similarity(sampler):
        group = sampler(views, 'stream')
        negatives = negatives_of(group, 16, 9)
        return (views.features[:, :, None] * negatives).sum(-1).sum() / (16 * 9 * group.num_negatives)

    similarities = [similarity(GuidedNegatives(num_sets)) for num_sets in (1, 16, 256)]
    assert similarities == sorted(similarities) and similarities[0] == similarity(RandomNegatives())


@pytest.mark.parametrize('num_sets', [0, -1, 2.5, '8', None])
def test_the_number_of_sets_is_a_positive_whole_number(num_sets):
    with pytest.raises(UserError, match=one_line('GuidedNegatives', f'num_sets={num_sets!r}')):
        GuidedNegatives(num_sets)


@pytest.mark.parametrize('threshold', [-1.1, 2, float('nan'), '0.5'])
def test_a_threshold_is_a_cosine_similarity(threshold):
    with pytest.raises(UserError, match=one_line('GuidedNegatives', f'threshold={threshold!r}')):
        GuidedNegatives(8, threshold)


@pytest.mark.parametrize('num_negatives', [0, -1, 2.5, '8', None])
def test_the_number_of_cross_view_negatives_is_a_positive_whole_number(num_negatives):
    with pytest.raises(UserError, match=one_line('CrossViewNegatives', f'num_negatives={num_negatives!r}')):
        CrossViewNegatives(num_negatives)


def test_a_mean_is_taken_before_normalising():
    h = torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]).repeat(4, 1, 1)  # two images, K = 2
    group = GlobalNegatives()(DenseViews(h, torch.zeros(4, 2, dtype=torch.long), Draws()), 'stream')
    torch.testing.assert_close(group.features[0], torch.tensor([3.0, 1.0]) / 10**0.5)


def _random_dense_views(dtype: torch.dtype = torch.float64) -> DenseViews:
    h, pairs = random_views(IMAGES, POSITIONS, 4, dtype=dtype)
    return DenseViews(h, match_positions(pairs), Draws())


def _looped(views: DenseViews) -> reference.Views:
    z = [[row / row.norm() for row in view] for view in views.projections.double()]
    return reference.Views(views.projections, z, views.matches.tolist(), views.draws)


def test_the_layout_is_view_major_then_image_over_all_ranks():
    local = [ViewLayout(2, 3, rank).local('cpu').tolist() for rank in range(3)]
    assert local == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    excluded = ViewLayout(2, 3, 1).own_image('cpu').tolist()
    assert excluded == [[v, reference.sibling(v, 12)] for v in local[1]]
