"""What a step takes, against formulas written out here and against steps that are taken."""

import pytest
import torch
from mmengine.model import revert_sync_batchnorm

from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.estimating import measuring
from mmdclpp.apis.estimating.rehearsal import rehearse
from mmdclpp.models.backbones.checkpointed import checkpoint_blocks
from mmdclpp.registry import MODELS

SIZE, POSITIONS, CHANNELS, LAYERS = 48, 36, 128, 1  # of the demo's ViT, with one block
VIEWS = [(3, SIZE, SIZE)] * 2
NEGATIVES = {
    'random': [dict(type='RandomNegatives')],
    'all': [dict(type='AllNegatives')],
    'star': [dict(type='GuidedNegatives', num_sets=8, threshold=0.5), dict(type='CrossViewNegatives', num_negatives=8)],
}


def demo(negatives='random'):
    cfg = shipped_config('densecl_pp/vit-demo_scenes.py')
    cfg.model.backbone.arch.num_layers = LAYERS
    cfg.model.dense_head.negatives = NEGATIVES[negatives]
    for head in (cfg.model.head, cfg.model.dense_head):
        head.setdefault('memory_budget', 32)
    return cfg


def build(cfg):
    return revert_sync_batchnorm(MODELS.build(cfg.model))


def products(rows, *channels):
    """Operations of linear layers one after the other, forward, and backward to weights and inputs."""
    return sum(3 * 2 * rows * before * after for before, after in zip(channels, channels[1:]))


def operations(views):
    """Of the demo's DenseCL++ on one process, by hand."""
    tokens, c = POSITIONS + 1, CHANNELS
    linear = products(views * tokens, c, 3 * c) + products(views * tokens, c, c) + products(views * tokens, c, 4 * c, c)
    attention = (2 + 5) * 2 * views * tokens**2 * c  # the backward pass computes the similarities once more
    patches = 2 * 2 * views * POSITIONS * (8 * 8 * 3) * c  # images need no gradient
    projectors = products(views, c, 256, 64) + products(views * POSITIONS, c, 256, 64)
    matching = 2 * (views // 2) * POSITIONS**2 * c
    losses = 3 * 2 * (views + views * POSITIONS) * views * 64
    return LAYERS * (linear + attention) + patches + projectors + matching + losses


@pytest.fixture(scope='module')
def plain():
    """A step of 8 images, by one process in float32."""
    return rehearse(build(demo()), VIEWS, 8)


def test_operations_are_those_of_the_formula(plain):
    assert plain.flops == {torch.float32: operations(2 * 8)}


@pytest.mark.parametrize('checkpointed', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_memory_of_a_step_is_what_it_is_measured_to_be(checkpointed, monkeypatch):
    monkeypatch.setattr(measuring, '_STEPS', 1)
    cfg = demo()
    steps = []
    for batch_size in (8, 16):
        models = [build(cfg), build(cfg)]
        for model in models if checkpointed else ():
            checkpoint_blocks(model.backbone)
        predicted = rehearse(models[0], VIEWS, batch_size).peak_bytes
        measured = measuring.measure_steps(models[1], cfg, VIEWS, batch_size).peak_bytes
        assert predicted == pytest.approx(measured, rel=0.15)
        steps.append((predicted, measured))
    slopes = [after - before for before, after in zip(*steps)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.15)


def test_checkpointing_takes_less_memory_and_another_forward_pass_of_the_blocks(plain):
    model = build(demo())
    checkpoint_blocks(model.backbone)
    again = rehearse(model, VIEWS, 8)
    assert again.peak_bytes < plain.peak_bytes
    assert 1.1 < again.flops[torch.float32] / plain.flops[torch.float32] < 4 / 3


@pytest.mark.parametrize('negatives', ['random', 'all'])
def test_two_processes_share_the_operations_of_one(negatives):
    alone = rehearse(build(demo(negatives)), VIEWS, 16)
    shared = rehearse(build(demo(negatives)), VIEWS, 8, processes=2)
    assert 2 * shared.flops[torch.float32] == alone.flops[torch.float32]


def test_what_is_gathered_is_as_docs_performance_has_it(plain):
    views, channels = 2 * 8 * 4, 64
    there_and_back = 2 * views * channels * 4
    statistics = 10 * 4
    shared = rehearse(build(demo()), VIEWS, 8, processes=4)
    assert shared.gathered_bytes == 2 * there_and_back + statistics  # of the global and of the dense loss
    assert shared.flops[torch.float32] > plain.flops[torch.float32]  # more negatives
    assert plain.gathered_bytes == 0


def test_guided_negatives_of_several_processes_are_counted_though_which_are_chosen_depends_on_values():
    alone, shared = (rehearse(build(demo('star')), VIEWS, 8, processes) for processes in (1, 4))
    assert shared.flops[torch.float32] > alone.flops[torch.float32]


def test_in_mixed_precision_the_losses_alone_stay_in_float32(plain):
    mixed = rehearse(build(demo()), VIEWS, 8, amp=True)
    assert sum(mixed.flops.values()) == plain.flops[torch.float32]
    assert mixed.flops[torch.float32] < 0.02 * mixed.flops[torch.bfloat16]
    assert mixed.peak_bytes < 0.9 * plain.peak_bytes
