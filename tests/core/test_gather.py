"""Two and three processes equal one: the loss, what is logged and every parameter's gradient; and what they send."""

import pytest
import torch
import torch.multiprocessing as mp

from mmdclpp.core import (
    AllNegatives,
    CrossViewNegatives,
    Draws,
    GlobalNegatives,
    GuidedNegatives,
    RandomNegatives,
    ViewLayout,
    dense_loss,
    gather,
    global_loss,
)

from . import ranks
from .cases import random_views

EXACT = dict(rtol=1e-9, atol=1e-12)


@pytest.fixture(scope='module')
def spread(tmp_path_factory):
    """``{world: [result of each rank]}`` of one start of real processes."""
    folder = tmp_path_factory.mktemp('ranks')
    mp.spawn(ranks.run, args=(str(folder),), nprocs=max(ranks.WORLDS)[0])
    return {
        world: [torch.load(folder / f'{world[0]}_{world[1]}_{r}.pt') for r in range(world[0])] for world in ranks.WORLDS
    }


@pytest.fixture(scope='module')
def alone():
    sizes = {num_images for _, num_images in ranks.WORLDS}
    return {size: {loss: ranks.step(loss, size) for loss in ranks.LOSSES} for size in sizes}


@pytest.mark.parametrize('world', ranks.WORLDS, ids='{0[0]} processes, {0[1]} images'.format)
@pytest.mark.parametrize('loss', ranks.LOSSES)
def test_several_processes_equal_one(spread, alone, loss, world):
    results, one = [result[loss] for result in spread[world]], alone[world[1]][loss]
    torch.testing.assert_close(torch.stack([result['loss'] for result in results]).mean(), one['loss'], **EXACT)
    for result in results:
        torch.testing.assert_close(result['statistics'], one['statistics'], **EXACT)
        torch.testing.assert_close(result['gradients'], one['gradients'], **EXACT)
    assert all(gradient.abs().max() > 0 for gradient in one['gradients'].values())


IMAGES, WORLD, K, D = 3, 4, 6, 5
V = 2 * IMAGES * WORLD


@pytest.fixture
def sent(monkeypatch):
    """Collectives of a process whose three peers hold the opposite of its features: ``(name, bytes of all ranks)``."""
    sizes = []

    def all_gather(output, local):
        sizes.append(('gather', output.nbytes))
        peer = -local if local.is_floating_point() else local
        output.copy_(torch.cat([peer, local, peer, peer]))

    def reduce_scatter(output, values):
        sizes.append(('reduce', values.nbytes))
        output.copy_(values.unflatten(0, (WORLD, -1)).sum(0))

    monkeypatch.setattr(gather, '_all_gather', all_gather)
    monkeypatch.setattr(gather, '_reduce_scatter', reduce_scatter)
    monkeypatch.setattr(gather.dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(gather.dist, 'all_reduce', lambda values: sizes.append(('sum', values.mul_(WORLD).nbytes)))
    monkeypatch.setattr(ViewLayout, 'of', classmethod(lambda cls, views: cls(len(views) // 2, WORLD, 1)))
    return sizes


# Features travel in the bfloat16 that they come in, gradients in float32.
ONE_EACH, BACK = ('gather', V * D * 2), ('reduce', V * D * 4)
CHOICES = ('gather', V * 8)  # the number of the set that a view has chosen


@pytest.mark.parametrize(
    ('sampler', 'expected'),
    [
        (GlobalNegatives(), [('gather', V * D * 4), BACK]),  # means, of float32
        (RandomNegatives(), [ONE_EACH, BACK]),
        (CrossViewNegatives(2), []),
        (AllNegatives(), [('gather', V * K * D * 2), ('reduce', V * K * D * 4)]),
        # Without a threshold: the sets' sums, and then only what has been chosen.
        (GuidedNegatives(1), [('sum', D * 4), CHOICES, ONE_EACH, BACK]),
        # With one: all candidates for scoring, of fewer sets than positions the drawn ones only; back what was chosen.
        (GuidedNegatives(1, 0.1), [('gather', V * D * 2), CHOICES, BACK]),
        (GuidedNegatives(4, 1.0), [('gather', V * 4 * D * 2), CHOICES, BACK]),  # all tie: one set is chosen
        (GuidedNegatives(100, 1.0), [('gather', V * K * D * 2), CHOICES, BACK]),
    ],
    ids=repr,
)
def test_no_more_is_sent_than_needed_and_gradients_in_one_collective(sent, sampler, expected):
    h, pairs = random_views(IMAGES, K, D, dtype=torch.bfloat16)
    dense_loss(h.requires_grad_(), pairs, [sampler], draws=Draws()).loss.backward()
    assert sent == expected


def test_guided_negatives_send_back_the_gradients_of_chosen_features_only(sent):
    h, pairs = random_views(IMAGES, K, D, dtype=torch.float32)
    dense_loss(h.requires_grad_(), pairs, [GuidedNegatives(40, 0.1)], draws=Draws()).loss.backward()
    (name, back) = sent[-1]
    chosen = back // (V * D * 4)
    assert name == 'reduce' and 1 < chosen < K


def test_the_global_loss_sends_one_feature_a_view_each_way(sent):
    h, _ = random_views(IMAGES, 1, D, dtype=torch.float32)
    global_loss(h[:, 0].requires_grad_()).loss.backward()
    assert sent == [('gather', V * D * 4), BACK]


def test_a_sum_over_processes_leaves_its_argument_alone(sent):
    values = torch.ones(3)
    assert gather.sum_over_processes(values).tolist() == [4, 4, 4] and values.tolist() == [1, 1, 1]
