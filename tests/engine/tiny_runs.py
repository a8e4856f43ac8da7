"""Runs of a second that may be stopped, and what is left of them."""

import os
import random
import signal
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdclpp.apis import train
from mmdclpp.apis._runner import shipped_config
from mmdclpp.registry import HOOKS

EPOCHS = 3  # of four batches
FINAL = f'epoch_{EPOCHS}.pth'


@HOOKS.register_module(force=True)
class StopsAfter(Hook):
    """Ends the run after some iterations, in the way a cluster or the power does."""

    priority = 'LOWEST'

    def __init__(self, iterations, by_signal):
        self.iterations, self.by_signal = iterations, by_signal

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.by_signal and runner.iter + 1 == self.iterations:
            os.kill(os.getpid(), signal.SIGTERM)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not self.by_signal and runner.iter + 1 == self.iterations:
            raise KeyboardInterrupt


@HOOKS.register_module(force=True)
class StopsInValidation(Hook):
    """Ends the run in the validation after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == self.epoch and batch_idx == 1:
            raise KeyboardInterrupt


@HOOKS.register_module(force=True)
class DrawsRandomly(Hook):
    """Draws in every iteration, also of validation, as a user's augmentation or dropout does."""

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        random.random(), np.random.rand(), torch.rand(())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        draws = [random.random(), float(np.random.rand()), float(torch.rand(()))]
        for name, draw in zip(('python', 'numpy', 'torch'), draws):
            runner.message_hub.update_scalar(f'train/draw_{name}', draw)


def run(
    folder: Path,
    images: Path,
    options: Optional[Dict[str, Any]] = None,
    stop: Optional[Tuple[int, bool]] = None,
    **arguments: Any,
) -> Runner:
    """Train on eight images with all that draws: three epochs of four batches.

    Args:
        stop (Tuple[int, bool], optional): After which iteration to stop, and whether by SIGTERM or at once.
    """
    hooks = [dict(type='DrawsRandomly')]
    if stop is not None:
        hooks.append(dict(type='StopsAfter', iterations=stop[0], by_signal=stop[1]))
    options = {
        'train_dataloader.dataset.data_root': '',
        'train_dataloader.dataset.data_prefix': str(images),
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'train_cfg.max_epochs': EPOCHS,
        'model.backbone.arch': dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
        'model.backbone.drop_rate': 0.1,
        'model.neck.in_channels': 16,
        'default_hooks.logger.interval': 1,
        'custom_hooks': hooks,
        **(options or {}),
    }
    return train(shipped_config('densecl_pp/vit-demo_scenes.py'), folder, cfg_options=options, **arguments)


@pytest.fixture
def start(tiny_coco: Path, tmp_path: Path) -> Callable[..., Runner]:
    """``run`` on ``tiny_coco``, in a folder of this name."""
    return lambda name, *args, **arguments: run(tmp_path / name, tiny_coco / 'images', *args, **arguments)


def saved(folder: Path, name: str = FINAL) -> Dict[str, Any]:
    """What decides how a run goes on, and what it logged, without when, how fast and where it ran."""
    checkpoint = torch.load(Path(folder) / name, weights_only=False)
    scalars = checkpoint['message_hub']['log_scalars']
    logged = {
        key: value.data
        for key, value in scalars.items()
        if key.startswith(('train/', 'val/')) and not key.endswith(('time', 'memory'))
    }
    meta = {key: checkpoint['meta'][key] for key in ('epoch', 'iter', 'seed', 'run_state')}
    return {**checkpoint, 'meta': meta, 'message_hub': logged}


def assert_same(one: Any, other: Any, place: str = 'checkpoint') -> None:
    """Fail unless two nests of numbers, tensors and texts are equal bit for bit."""
    if isinstance(one, (torch.Tensor, np.ndarray)):
        assert np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_same(one[key], other[key], f'{place}[{key!r}]')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), place
        for index, pair in enumerate(zip(one, other)):
            assert_same(*pair, f'{place}[{index}]')
    else:
        assert one == other, place
