"""The losses against their definition (``reference.py``): value, statistics, gradients, precision, edges."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from mmdclpp.core import (
    AllNegatives,
    CrossViewNegatives,
    Draws,
    GlobalNegatives,
    GuidedNegatives,
    RandomNegatives,
    dense_loss,
    global_loss,
)
from mmdclpp.errors import UserError
from mmdclpp.utils.measure import allocations

from . import reference
from .cases import KINDS, OTHER_IMAGES, loss_of, one_line, random_views, reference_of, samplers

every_kind = pytest.mark.parametrize('kind', KINDS)


def assert_same(actual, expected, **tolerance):
    actual = actual._replace(log_sum_exp=actual.log_sum_exp.flatten())
    torch.testing.assert_close(actual._asdict(), expected._asdict(), check_dtype=False, **tolerance)


@pytest.mark.parametrize(('num_images', 'channels'), [(2, 3), (5, 8)])
@pytest.mark.parametrize('temperature', [0.05, 1.0])
def test_the_global_loss_and_its_gradient_are_those_of_the_definition(num_images, channels, temperature):
    g = random_views(num_images, 1, channels)[0].flatten(1).requires_grad_()
    actual, expected = global_loss(g, temperature), reference.global_loss(g, temperature)
    assert_same(actual, expected, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(result.loss, g)[0] for result in (actual, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_the_global_loss_is_the_cross_entropy_of_finding_the_sibling():
    g = random_views(4, 1, 6)[0].flatten(1)
    logits = (normalize(g, dim=1) @ normalize(g, dim=1).T / 0.1).fill_diagonal_(-math.inf)
    torch.testing.assert_close(global_loss(g, 0.1).loss, cross_entropy(logits, torch.arange(8).roll(4)))


@every_kind
@pytest.mark.parametrize('shape', [(2, 5, 3), (3, 4, 6)], ids='B{0[0]}K{0[1]}D{0[2]}'.format)
@pytest.mark.parametrize('temperature', [0.05, 0.5])
@pytest.mark.parametrize('pair_feature', ['backbone', 'projection'])
def test_the_dense_loss_and_its_gradient_are_those_of_the_definition(kind, shape, temperature, pair_feature):
    h, backbone = (tensor.requires_grad_() for tensor in random_views(*shape))
    pairs = backbone if pair_feature == 'backbone' else h
    draws = Draws(seed=3, iteration=11)
    actual, expected = (f(kind, h, pairs, temperature, draws) for f in (loss_of, reference_of))
    assert_same(actual, expected, rtol=1e-9, atol=1e-12)
    gradient, to_backbone = torch.autograd.grad(actual.loss, (h, backbone), allow_unused=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.loss, h)[0], rtol=1e-9, atol=1e-12)
    assert to_backbone is None, 'matching must carry no gradient'


@every_kind
@pytest.mark.parametrize(('dtype', 'gradient_tolerance'), [('float32', 1e-4), ('bfloat16', 2e-2), ('float16', 3e-3)])
def test_any_precision_of_input_gives_a_float32_loss(kind, dtype, gradient_tolerance):
    h, pairs = random_views(3, 5, 8, dtype=getattr(torch, dtype))
    h.requires_grad_()
    actual, expected = loss_of(kind, h, pairs), reference_of(kind, h, pairs)
    assert actual.loss.dtype == torch.float32
    assert_same(actual, expected, rtol=1e-5, atol=1e-6)
    gradient, exact = (torch.autograd.grad(result.loss, h)[0].double() for result in (actual, expected))
    assert (gradient - exact).norm() <= gradient_tolerance * exact.norm()


@every_kind
def test_autocast_changes_nothing(kind):
    h, pairs = random_views(3, 5, 8, dtype=torch.float32)
    g = h.mean(dim=1)
    plain = loss_of(kind, h, pairs), global_loss(g)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        under_autocast = loss_of(kind, h, pairs), global_loss(g)
    torch.testing.assert_close(under_autocast, plain, rtol=0, atol=0)


@every_kind
def test_features_that_tell_nothing_apart_give_the_chance_level(kind):
    h = torch.ones(6, 5, 8)
    result = loss_of(kind, h, h)
    torch.testing.assert_close(result.loss, result.chance)
    torch.testing.assert_close(result.chance, torch.log1p(result.num_negatives))


@every_kind
@pytest.mark.parametrize('temperature', [0.01, 1.0])
@pytest.mark.parametrize('case', ['identical views', 'equal features', 'zero vectors', 'all zero', 'large'])
def test_extreme_features_give_the_right_loss_and_finite_gradients(kind, temperature, case):
    h, pairs = random_views(3, 5, 4, dtype=torch.float32)
    h = {
        'identical views': h[:3].repeat(2, 1, 1),
        'equal features': torch.ones_like(h),
        'zero vectors': h * (torch.arange(5) > 1)[:, None],
        'all zero': 0 * h,
        'large': 1e15 * h,
    }[case].requires_grad_()
    results = loss_of(kind, h, pairs, temperature), global_loss(h.mean(dim=1), temperature)
    for result in results:
        assert result.loss.isfinite()
        assert torch.autograd.grad(result.loss, h)[0].isfinite().all()
    if 'zero' not in case:  # which have no direction, and so no definition
        expected = (
            reference_of(kind, h, pairs, temperature),
            reference.global_loss(h.double().mean(dim=1), temperature),
        )
        for result, exact in zip(results, expected, strict=True):
            torch.testing.assert_close(result.loss.double(), exact.loss, rtol=1e-5, atol=1e-6)


@every_kind
@pytest.mark.parametrize('memory_budget', [1e-6, 1e-3])
def test_a_memory_budget_changes_nothing_but_rounding(kind, memory_budget):
    h, pairs = random_views(3, 5, 8)
    h.requires_grad_()
    results = [dense_loss(h, pairs, samplers(kind), memory_budget=budget) for budget in (memory_budget, None)]
    torch.testing.assert_close(*(result._asdict() for result in results), rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(result.loss, h)[0] for result in results]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    'sampler',
    [
        GlobalNegatives(),
        RandomNegatives(),
        AllNegatives(),
        GuidedNegatives(4),
        GuidedNegatives(4, 0.5),
        GuidedNegatives(100, 0.5),
        CrossViewNegatives(24),
    ],
    ids=repr,
)
def test_no_kind_of_negatives_allocates_a_table_of_anchors_times_negatives(sampler):
    h, pairs = random_views(16, 32, 4, dtype=torch.float32)
    h.requires_grad_()
    largest = max(allocations(lambda: dense_loss(h, pairs, [sampler], memory_budget=0.01).loss.backward()))
    num_negatives = dense_loss(h, pairs, [sampler]).num_negatives.item()
    assert largest < h[..., 0].numel() * num_negatives, 'not even one of bytes'


def test_the_global_loss_allocates_no_table_of_pairs():
    g = torch.randn(1024, 8, requires_grad=True)
    assert max(allocations(lambda: global_loss(g, memory_budget=0.05).loss.backward())) < 1024**2 / 4


@pytest.mark.parametrize('kind', ['global', 'random', 'all', 'guided', 'guided, β, M > K'])
def test_with_one_position_a_view_the_dense_loss_is_the_global_loss(kind):
    h, pairs = random_views(4, 1, 6)
    torch.testing.assert_close(loss_of(kind, h, pairs, 0.3), global_loss(h[:, 0], 0.3))


@pytest.mark.parametrize('kind', OTHER_IMAGES)
def test_other_images_must_exist(kind):
    h, pairs = random_views(1, 5, 4)
    with pytest.raises(UserError, match=one_line('batch_size')):
        loss_of(kind, h, pairs)
    with pytest.raises(UserError, match=one_line('batch_size')):
        global_loss(h[:, 0])


def test_cross_view_negatives_need_no_other_image():
    h, pairs = random_views(1, 5, 4)
    assert_same(loss_of('cross-view', h, pairs), reference_of('cross-view', h, pairs))


@pytest.mark.parametrize('num_negatives', [5, 6])
def test_cross_view_negatives_must_be_fewer_than_the_positions(num_negatives):
    h, pairs = random_views(2, 5, 4)
    with pytest.raises(UserError, match=one_line(f'num_negatives={num_negatives}', '4 or fewer')):
        dense_loss(h, pairs, [CrossViewNegatives(num_negatives)])


@pytest.mark.parametrize('temperature', [0, -0.1, math.inf, math.nan, None, '0.1'])
def test_a_temperature_is_a_positive_number(temperature):
    h, pairs = random_views(2, 5, 4)
    for loss in (lambda: global_loss(h[:, 0], temperature), lambda: loss_of('random', h, pairs, temperature)):
        with pytest.raises(UserError, match=one_line(f'temperature={temperature!r}')):
            loss()


def test_views_come_in_twos():
    with pytest.raises(ValueError, match='two views'):
        global_loss(torch.randn(5, 4))


def test_the_dense_loss_needs_negatives_and_one_grid():
    views = torch.randn(4, 9, 8)
    with pytest.raises(UserError, match='negatives is empty'):
        dense_loss(views, views, [])
    with pytest.raises(UserError, match='pool both to one grid'):
        dense_loss(views, views[:, :4], [RandomNegatives()])
