"""The flags of tools/train.py: what they change in a config, and what comes of it."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import load_state_dict

from mmdclpp.apis import train
from mmdclpp.apis._train_options import (
    set_accumulation,
    set_amp,
    set_compile,
    set_ema,
    set_grad_checkpointing,
    set_tensorboard,
    set_wandb,
)
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.pretrained import load_part
from mmdclpp.registry import HOOKS, MODELS

from ..engine import online

LOSSES = {'loss', 'loss_global', 'loss_dense', 'global_nce', 'dense_nce'}


def config(**optim_wrapper) -> Config:
    return Config(dict(work_dir='work_dirs/simclr/run', optim_wrapper=optim_wrapper))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return str(generate_scenes(tmp_path_factory.mktemp('data') / 'scenes', 12, 2, size=40, workers=0, progress=False))


@pytest.fixture
def pretraining(scenes) -> Config:
    """Two epochs of two batches with DenseCL++."""
    return Config(online.config(scenes, []))


@HOOKS.register_module(force=True)
class KeepWeightsHook(Hook):
    """Keep the weights and buffers of every iteration, and those of before the first."""

    history: list = []

    def _keep(self, runner) -> None:
        self.history.append({name: value.clone() for name, value in runner.model.state_dict().items()})

    def before_train(self, runner) -> None:
        self.history.clear()
        self._keep(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._keep(runner)


@pytest.mark.parametrize(
    ('dtype', 'expected'),
    [
        (True, dict(loss_scale='dynamic')),
        ('fp16', dict(loss_scale='dynamic', dtype='float16')),
        ('bf16', dict(loss_scale=dict(enabled=False), dtype='bfloat16')),
    ],
)
def test_amp_chooses_the_type_and_scales_the_loss_of_fp16_alone(dtype, expected):
    cfg = config()
    set_amp(cfg, dtype)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', **expected)


def test_amp_keeps_the_loss_scale_of_the_config():
    cfg = config(loss_scale=512.0)
    set_amp(cfg, True)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale=512.0)


@pytest.mark.parametrize(
    ('option', 'value', 'message'),
    [
        (set_amp, 'fp8', "amp='fp8' is unknown: use 'fp16' or 'bf16'"),
        (set_accumulation, 0, 'accumulate=0 must be a whole number of 1 or more'),
        (set_ema, 2.0, 'ema=2 must lie between 0 and 0.5'),
        (set_ema, 0.0, 'ema=0 must lie between 0 and 0.5'),
        (set_ema, 0.999, "ema=0.999 must lie between 0 and 0.5: it is the new weights' share, 0.001 for a decay"),
    ],
)
def test_a_nonsensical_value_is_refused_in_one_line(option, value, message):
    with pytest.raises(UserError, match=message) as error:
        option(config(), value)
    assert '\n' not in str(error.value)


def test_amp_is_refused_for_a_wrapper_without_it():
    with pytest.raises(UserError, match="optim_wrapper.type='ApexOptimWrapper'"):
        set_amp(config(type='ApexOptimWrapper'), True)


@pytest.mark.parametrize(('package', 'option'), [('tensorboard', set_tensorboard), ('wandb', set_wandb)])
def test_a_missing_logger_is_named_with_the_remedy(monkeypatch, package, option):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf'{package} is not installed: pip install "mmdclpp\[logging\]"'):
        option(config(), *([True] if option is set_wandb else []))


def test_wandb_without_credentials_is_refused_before_anything_starts(monkeypatch, tmp_path):
    monkeypatch.setenv('NETRC', str(tmp_path / 'none'))
    monkeypatch.setenv('WANDB_MODE', 'online')
    monkeypatch.setattr('wandb.login', lambda prompt: False)
    with pytest.raises(UserError, match='wandb: no credentials: run `wandb login`, or set WANDB_MODE=offline'):
        set_wandb(config(), True)


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv('PATH', '')
    with pytest.raises(UserError, match='needs a C.. compiler: install g'):
        set_compile(config())


def test_options_are_added_to_what_the_config_has():
    cfg = config()
    cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.custom_hooks = [dict(type='ProgressHook'), dict(type='EMAHook', momentum=0.1)]
    for _ in range(2):
        set_tensorboard(cfg)
        set_grad_checkpointing(cfg)
        set_ema(cfg, True)
    assert [backend.type for backend in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'TensorboardVisBackend']
    assert cfg.visualizer.type == 'SegLocalVisualizer'
    assert [hook.type for hook in cfg.custom_hooks] == ['ProgressHook', 'GradientCheckpointingHook', 'EMAHook']
    assert cfg.custom_hooks[-1].momentum == 0.0002


def test_tensorboard_gets_the_parts_of_the_loss_and_the_checkpoint_tells_of_all_options(pretraining, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(pretraining, tmp_path, tensorboard=True, accumulate=2, grad_checkpointing=True, ema=0.01)
    (events,) = tmp_path.glob('*/vis_data/events*')
    board = EventAccumulator(str(events)).Reload()
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 4
    assert LOSSES <= set(board.Tags()['scalars'])
    for name in LOSSES:
        logged = [(event.step, event.value) for event in board.Scalars(name)]
        assert logged == [(line['step'], pytest.approx(line[name])) for line in lines]

    checkpoint = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    saved = Config.fromstring(checkpoint['meta']['cfg'], '.py')
    assert saved.visualizer.vis_backends[-1].type == 'TensorboardVisBackend'
    assert saved.optim_wrapper.accumulative_counts == 2
    assert [hook.type for hook in saved.custom_hooks] == ['GradientCheckpointingHook', 'EMAHook']
    assert saved.custom_hooks[1].interval == 2


@pytest.mark.slow
def test_wandb_gets_the_parts_of_the_loss_offline(pretraining, tmp_path, monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    import wandb

    train(pretraining, tmp_path / 'run', wandb='my project')
    wandb.teardown()  # which waits until all is written
    (log,) = tmp_path.glob('run/*/vis_data/wandb/offline-run-*/run-*.wandb')
    content = log.read_bytes()
    expected = (*LOSSES, 'my project', f'{tmp_path.name}/run')
    assert [name for name in expected if name.encode() not in content] == []


def test_a_step_on_accumulated_batches_is_one_on_the_mean_of_their_gradients(classifier_config, tmp_path):
    cfg = Config.fromfile(classifier_config)
    cfg.custom_hooks = [dict(type='KeepWeightsHook', _scope_='mmdclpp')]
    runner = train(cfg, tmp_path / 'run', validate=False, accumulate=4, auto_scale_lr=True)
    # Four batches of two images, and base_batch_size is 2.
    lr = 4 * cfg.optim_wrapper.optimizer.lr
    assert runner.optim_wrapper.get_lr() == {'lr': [lr]}
    start, *between, end = KeepWeightsHook.history
    names = dict(runner.model.named_parameters()).keys()
    assert all(torch.equal(weights[name], start[name]) for weights in between for name in names)

    model = MODELS.build(runner.cfg.model).train()
    load_state_dict(model, start)
    for batch in runner.train_dataloader:
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        (losses['loss'] / 4).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(end[name], parameter.detach() - lr * parameter.grad)


def ema_of(history, momentum):
    """The annealed average of weights in float64, the first of which are those after the first iteration."""
    average = {name: value.double() for name, value in history[0].items()}
    for step, weights in enumerate(history[1:], start=1):
        share = max(momentum, 100 / (100 + step))
        average = {name: (1 - share) * value + share * weights[name] for name, value in average.items()}
    return average


def test_checkpoints_hold_the_average_of_the_weights_and_resume_from_the_weights(classifier_config, tmp_path):
    cfg = Config.fromfile(classifier_config)
    cfg.custom_hooks = [dict(type='KeepWeightsHook', _scope_='mmdclpp')]
    cfg.optim_wrapper.optimizer.lr = 0.5
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    runner = train(cfg, tmp_path / 'run', validate=False, ema=0.5, seed=0)
    _, *history = KeepWeightsHook.history

    checkpoint = torch.load(tmp_path / 'run/epoch_2.pth', weights_only=False)
    averaged = {name: value for name, value in ema_of(history, 0.5).items() if value.is_floating_point()}
    for name, value in averaged.items():
        if not name.endswith('num_batches_tracked'):
            torch.testing.assert_close(checkpoint['state_dict'][name].double(), value, rtol=1e-5, atol=1e-6)
    assert not torch.equal(checkpoint['state_dict']['head.fc.weight'], history[-1]['head.fc.weight'])

    # What evaluations load, and what training goes on from.
    backbone = MODELS.build(runner.cfg.model).backbone
    load_part(backbone, str(tmp_path / 'run/epoch_2.pth'))
    assert torch.equal(backbone.conv1.weight, checkpoint['state_dict']['backbone.conv1.weight'])

    first = str(tmp_path / 'run/epoch_1.pth')
    train(cfg, tmp_path / 'resumed', validate=False, ema=0.5, seed=0, resume=first)
    resumed = torch.load(tmp_path / 'resumed/epoch_2.pth', weights_only=False)
    for key in ('state_dict', 'ema_state_dict'):
        torch.testing.assert_close(resumed[key], checkpoint[key], rtol=0, atol=0)
    with pytest.raises(UserError, match='resume: the checkpoint holds averaged weights: resume with ema'):
        train(cfg, tmp_path / 'without', validate=False, resume=first)


@pytest.mark.slow
def test_the_flags_reach_training(run, classifier_config, tmp_path):
    flags = ['--accumulate', '2', '--grad-checkpointing', '--ema', '0.1', '--tensorboard', '--no-validate']
    trained = run('tools/train.py', classifier_config, '--work-dir', 'run', *flags)
    assert trained.returncode == 0, trained.stderr
    assert 'gradient checkpointing: 8 blocks of ResNet' in trained.stdout
    assert list(Path(tmp_path, 'run').glob('*/vis_data/events*'))
    refused = run('tools/train.py', classifier_config, '--amp', 'bf16')
    assert (refused.returncode, 'needs an accelerator' in refused.stderr) == (2, True)
