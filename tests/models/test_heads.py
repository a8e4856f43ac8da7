from types import SimpleNamespace

import pytest
import torch
from mmpretrain.models.selfsup import SimCLR

from mmdclpp.core import CrossViewNegatives, Draws, GuidedNegatives, dense_loss, global_loss
from mmdclpp.errors import UserError
from mmdclpp.models.heads.contrastive_heads import DenseInfoNCEHead, GlobalInfoNCEHead
from mmdclpp.models.negatives import build_negatives
from mmdclpp.registry import MODELS
from tests.core.cases import one_line, random_views

STAR = [
    dict(type='GuidedNegatives', num_sets=9, threshold=0.3),
    dict(type='CrossViewNegatives', num_negatives=2),
]


def test_the_global_head_is_mmpretrains_simclr_in_one_process():
    g = random_views(4, 1, 8, dtype=torch.float32)[0].flatten(1)
    loss = dict(type='CrossEntropyLoss')
    theirs = SimpleNamespace(
        backbone=lambda images: [images.flatten(1)],
        neck=lambda features: features,
        head=MODELS.build(dict(type='ContrastiveHead', loss=loss, temperature=0.2)),
        _create_buffer=SimCLR._create_buffer,
    )
    expected = SimCLR.loss(theirs, list(g[..., None, None].chunk(2)), [])['loss']
    torch.testing.assert_close(GlobalInfoNCEHead(0.2).loss(g).loss, expected)


@pytest.mark.parametrize('pair_feature', ['backbone', 'projection'])
def test_the_dense_head_is_the_dense_loss_of_its_config(pair_feature):
    h, positions = random_views(3, 6, 4)
    head = DenseInfoNCEHead(STAR, pair_feature, temperature=0.3)
    samplers = [GuidedNegatives(9, 0.3), CrossViewNegatives(2)]
    pairs = {'backbone': positions, 'projection': h}[pair_feature]
    expected = dense_loss(h, pairs, samplers, 0.3, Draws(1, 2))
    torch.testing.assert_close(head.loss(h, positions, Draws(1, 2)), expected, rtol=0, atol=0)


def test_the_defaults_are_densecl_plus_plus():
    head = MODELS.build(dict(type='DenseInfoNCEHead'))
    assert [repr(sampler) for sampler in head.negatives] == ['RandomNegatives()']
    assert (head.pair_feature, head.temperature) == ('backbone', 0.2)
    assert GlobalInfoNCEHead().temperature == 0.1
    g = random_views(3, 1, 4)[0][:, 0]
    torch.testing.assert_close(GlobalInfoNCEHead().loss(g), global_loss(g, 0.1), rtol=0, atol=0)


@pytest.mark.parametrize('head', [GlobalInfoNCEHead, DenseInfoNCEHead])
@pytest.mark.parametrize('memory_budget', [0, -5, '64 MB'])
def test_a_memory_budget_is_a_positive_number(head, memory_budget):
    assert head(memory_budget=64).memory_budget == 64
    with pytest.raises(UserError, match=one_line(f'memory_budget={memory_budget!r}', 'MiB')):
        head(memory_budget=memory_budget)


def test_heads_hold_no_parameters():
    assert not [*DenseInfoNCEHead(STAR).parameters(), *GlobalInfoNCEHead().parameters()]


def test_samplers_that_are_built_pass_through():
    sampler = CrossViewNegatives(2)
    assert build_negatives([sampler, dict(type='RandomNegatives')])[0] is sampler


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        (dict(pair_feature='head'), ["pair_feature='head'", 'backbone', 'projection']),
        (dict(temperature=0), ['temperature=0']),
        (dict(temperature=-0.2), ['temperature=-0.2']),
        (dict(negatives=[]), ['negatives=[]']),
        (dict(negatives=None), ['negatives=None']),
        (dict(negatives=dict(type='RandomNegatives')), ['negatives=', 'list']),
        (dict(negatives=['RandomNegatives']), ['negatives', 'RandomNegatives']),
        (dict(negatives=[dict(num_sets=4)]), ['negatives', 'type']),
        (dict(negatives=[dict(type='HardNegatives')]), ["'HardNegatives'"]),
        (dict(negatives=[dict(type='ResNet', depth=18)]), ['negatives', 'ResNet']),
        (dict(negatives=[dict(type='RandomNegatives', threshold=0.5)]), ['RandomNegatives', 'threshold', 'Guided']),
        (dict(negatives=[dict(type='CrossViewNegatives', threshold=0.5)]), ['CrossViewNegatives', 'threshold']),
        (dict(negatives=[dict(type='GuidedNegatives', sets=4)]), ['GuidedNegatives', 'sets', 'num_sets']),
        (dict(negatives=[dict(type='GuidedNegatives', num_sets=0)]), ['GuidedNegatives', 'num_sets=0']),
        (dict(negatives=[dict(type='CrossViewNegatives', num_negatives=0)]), ['num_negatives=0']),
    ],
    ids=str,
)
def test_a_wrong_value_is_named(config, words):
    with pytest.raises(UserError, match=one_line(*words)):
        MODELS.build(dict(type='DenseInfoNCEHead', **config))
