"""What the flags of ``tools/train.py`` change in a config, so that it and every checkpoint tell of them.

Each function takes a config and changes it in place.
"""

import os
import shutil
from pathlib import Path
from typing import Union

import torch
from mmengine.config import Config

from mmdclpp.errors import UserError
from mmdclpp.utils.imports import import_optional

AMP_DTYPES = {'fp16': 'float16', 'bf16': 'bfloat16'}
# prior: mmengine's EMAHook and timm's ModelEma, a decay of 0.9998
EMA_MOMENTUM = 0.0002


def set_tensorboard(cfg: Config) -> None:
    """Log to TensorBoard too: event files in the run's ``vis_data`` folder.

    Raises:
        UserError: If tensorboard is not installed.
    """
    import_optional('tensorboard', 'logging')
    _add_vis_backend(cfg, dict(type='TensorboardVisBackend'))


def set_wandb(cfg: Config, project: Union[bool, str]) -> None:
    """Log to Weights & Biases too, as a run that is called after the last two folders of ``cfg.work_dir``.

    Args:
        cfg (Config): With its ``work_dir``.
        project (bool or str): Name of the project; True is ``'mmdclpp'``.

    Raises:
        UserError: If wandb is not installed, or there are no credentials for what is to be sent.
    """
    wandb = import_optional('wandb', 'logging')
    sends = os.environ.get('WANDB_MODE', 'online') == 'online'
    first = os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0'
    if sends and first and not wandb.login(prompt=False):
        raise UserError('wandb: no credentials: run `wandb login`, or set WANDB_MODE=offline to send the run later')
    _add_vis_backend(
        cfg,
        dict(
            type='WandbVisBackend',
            init_kwargs=dict(
                project='mmdclpp' if project is True else project, name='/'.join(Path(cfg.work_dir).parts[-2:])
            ),
            # wandb counts calls; what is drawn over iterations compares with other runs.
            define_metric_cfg=[dict(name='*', step_metric='iter')],
        ),
    )


def _add_vis_backend(cfg: Config, backend: dict) -> None:
    visualizer = cfg.get('visualizer') or dict(type='Visualizer')
    backends = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    others = [other for other in backends if other['type'] != backend['type']]
    cfg.visualizer = {**visualizer, 'vis_backends': [*others, backend]}


def set_amp(cfg: Config, dtype: Union[bool, str]) -> None:
    """Train in mixed precision.

    Args:
        cfg (Config): The config.
        dtype (bool or str): ``'fp16'``, ``'bf16'``, or True for the device's own, which is fp16 on GPUs. Gradients
            of bf16 need no loss scaling and get none.

    Raises:
        UserError: If the config's optimizer wrapper has no mixed precision, the type is unknown, or the GPU lacks it.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f'amp: optim_wrapper.type={kind!r} has no mixed precision: use OptimWrapper or leave amp out')
    if dtype is not True:
        if dtype not in AMP_DTYPES:
            raise UserError(f'amp={dtype!r} is unknown: use {" or ".join(map(repr, AMP_DTYPES))}')
        cfg.optim_wrapper.dtype = AMP_DTYPES[dtype]
    if dtype == 'bf16' and torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError("amp='bf16': this GPU has no bfloat16: use 'fp16'")
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if dtype == 'bf16':
        cfg.optim_wrapper.loss_scale = dict(enabled=False)
    else:
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def set_accumulation(cfg: Config, counts: int) -> None:
    """Update the weights by the mean gradient of ``counts`` batches in succession.

    Raises:
        UserError: If ``counts`` is below 1.
    """
    if counts < 1:
        raise UserError(f'accumulate={counts} must be a whole number of 1 or more: 1 updates after every batch')
    cfg.optim_wrapper.accumulative_counts = counts


def set_compile(cfg: Config) -> None:
    """Compile the model; what options the config has for ``torch.compile`` stay.

    Raises:
        UserError: If there is no C++ compiler.
    """
    if not any(map(shutil.which, filter(None, (os.environ.get('CXX'), 'g++', 'clang++')))):
        raise UserError('compile: torch.compile needs a C++ compiler: install g++, or leave compile out')
    cfg.compile = cfg.get('compile') or True


def set_grad_checkpointing(cfg: Config) -> None:
    """Compute the activations of the backbone's blocks again in the backward pass, in place of keeping them."""
    _add_hook(cfg, dict(type='GradientCheckpointingHook', _scope_='mmdclpp'))


def set_ema(cfg: Config, momentum: Union[bool, float]) -> None:
    """Keep an exponential moving average of all weights and buffers, which checkpoints hold and evaluations use.

    Args:
        cfg (Config): With its final ``optim_wrapper.accumulative_counts``: an average is taken once an update.
        momentum (bool or float): Share of the new weights in the average; True is 0.0002. The first hundreds of
            updates count for more, so that the random weights of the beginning are soon forgotten.

    Raises:
        UserError: If the share is not above 0, or above 0.5.
    """
    momentum = EMA_MOMENTUM if momentum is True else momentum
    if not 0 < momentum <= 0.5:
        raise UserError(
            f"ema={momentum:g} must lie between 0 and 0.5: it is the new weights' share, 0.001 for a decay of 0.999"
        )
    hook = dict(
        type='EMAHook',
        ema_type='MomentumAnnealingEMA',
        momentum=momentum,
        interval=cfg.optim_wrapper.get('accumulative_counts', 1),
        update_buffers=True,
    )
    _add_hook(cfg, hook)


def _add_hook(cfg: Config, hook: dict) -> None:
    others = [other for other in cfg.get('custom_hooks') or [] if other['type'] != hook['type']]
    cfg.custom_hooks = [*others, hook]
