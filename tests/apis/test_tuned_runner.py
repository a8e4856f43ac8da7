"""Compiled training: the same losses, without breaks in the graphs."""

import json
from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch._dynamo.utils import counters

from mmdclpp.apis import train
from mmdclpp.apis._tuned_runner import Tuned, compile_forward
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.errors import UserError

from ..engine import online


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return str(generate_scenes(tmp_path_factory.mktemp('data') / 'scenes', 12, 2, size=40, workers=0, progress=False))


def losses(scenes, work_dir, **options):
    """The losses of four iterations of DenseCL++, with figures of the neck's features taken in every second."""
    backbone = options.pop('backbone', dict(online.VIT, drop_rate=0.0, drop_path_rate=0.0))  # which draw otherwise
    hook = dict(type='DiagnosticsHook', interval=2)
    cfg = Config(online.config(scenes, [hook], backbone=backbone))
    cfg.compile = options.pop('backend', None)
    train(cfg, work_dir, **options)
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    lines = map(json.loads, log.read_text().splitlines())
    return [(line['loss_global'], line['loss_dense']) for line in lines if 'loss' in line]


@pytest.mark.parametrize(
    'options', [{}, pytest.param(dict(grad_checkpointing=True), marks=pytest.mark.slow)], ids=['plain', 'checkpointed']
)
def test_the_model_is_traced_without_breaks_and_learns_as_without(scenes, tmp_path, options):
    torch._dynamo.reset()
    counters.clear()
    traced = losses(scenes, tmp_path / 'traced', compile=True, backend=dict(backend='aot_eager'), **options)
    assert counters['stats']['unique_graphs'] == 2  # backbone and neck, and no graph anew for a hook on the neck
    assert not counters['graph_break']
    assert len(traced) == 4
    assert traced == [pytest.approx(pair, rel=1e-4) for pair in losses(scenes, tmp_path / 'eager')]


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [{}, dict(grad_checkpointing=True), dict(grad_checkpointing=True, backbone=online.RESNET)],
    ids=['plain', 'checkpointed', 'checkpointed ResNet'],
)
def test_compiled_code_learns_as_eager_code_does(scenes, tmp_path, options):
    torch._dynamo.reset()
    compiled = losses(scenes, tmp_path / 'compiled', compile=True, **options)
    assert compiled == [pytest.approx(pair, rel=1e-3) for pair in losses(scenes, tmp_path / 'eager', **options)]


class Loads:
    """A runner without averages, before a checkpoint with some."""

    hooks: list = []

    def load_checkpoint(self, filename, strict=False):
        return dict(meta={}, message_hub={}, state_dict={}, ema_state_dict={})


@pytest.mark.parametrize('resumes', [False, True])
def test_averaged_weights_may_be_begun_with_and_not_be_gone_on_from_without_averaging(resumes):
    runner = type('TunedLoads', (Tuned, Loads), dict(_resume=resumes))()
    with pytest.raises(UserError, match='resume with ema') if resumes else nullcontext():
        assert 'state_dict' in runner.load_checkpoint('epoch_1.pth')


def test_evaluation_stays_uncompiled():
    torch._dynamo.reset()
    counters.clear()
    module = nn.Linear(2, 2)
    compile_forward(module, backend='eager')
    module.eval()(torch.ones(1, 2))
    assert not counters['frames']
    module.train()(torch.ones(1, 2))
    assert counters['frames']['ok'] == 1
