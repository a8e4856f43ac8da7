"""Train what a config describes."""

import os
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Union

from mmengine.config import Config
from mmengine.runner import Runner

from mmdclpp.apis._runner import (
    ConfigLike,
    build_runner,
    is_whole,
    load_config,
    require_checkpoint,
    require_keys,
    set_dataloaders,
    set_work_dir,
)
from mmdclpp.errors import UserError


def train(
    config: ConfigLike,
    work_dir: Optional[str] = None,
    resume: Union[bool, str] = False,
    amp: bool = False,
    validate: bool = True,
    auto_scale_lr: bool = False,
    pin_memory: bool = True,
    persistent_workers: bool = True,
    seed: Optional[int] = None,
    deterministic: bool = False,
    cfg_options: Optional[Dict[str, Any]] = None,
    launcher: str = 'none',
) -> Runner:
    """Train the model of a config: pretraining, probing or, with a config of mmseg's scope, segmentation.

    The arguments have precedence over ``cfg_options``, and these over the config.

    Args:
        config (str, Path or Config): A config file or a loaded config.
        work_dir (str, optional): Where checkpoints and logs go. Defaults to None, the config's ``work_dir``
            or else ``work_dirs/<folder>/<name>`` of the config.
        resume (bool or str): True continues from the last checkpoint in ``work_dir``, or starts anew if there
            is none; a path continues from that checkpoint. Defaults to False.
        amp (bool): Whether to train in mixed precision. Defaults to False.
        validate (bool): Whether to evaluate during training. Defaults to True.
        auto_scale_lr (bool): Whether to scale the learning rate by the global batch size over the config's
            ``auto_scale_lr.base_batch_size``. Defaults to False.
        pin_memory (bool): Whether to pin batches in memory, where there is a GPU. Defaults to True.
        persistent_workers (bool): Whether data workers outlive an epoch. Defaults to True.
        seed (int, optional): The seed of every random draw. Defaults to None, the config's.
        deterministic (bool): Whether to use deterministic algorithms only. Defaults to False.
        cfg_options (dict, optional): New values by dotted key. Defaults to None.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``. Defaults to ``'none'``.

    Returns:
        Runner: mmengine's runner after training; ``runner.model`` is trained, ``runner.work_dir`` has the files.

    Raises:
        UserError: If the config, an option or a checkpoint cannot be used.
    """
    cfg = load_config(config, cfg_options)
    require_keys(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'trained')
    set_work_dir(cfg, work_dir)
    set_dataloaders(cfg, pin_memory, persistent_workers)
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if amp:
        _set_amp(cfg)
    if auto_scale_lr:
        require_keys(cfg.get('auto_scale_lr') or Config(), ['base_batch_size'], 'trained with auto_scale_lr')
        cfg.auto_scale_lr.enable = True
    if deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # else CUDA's matrix products refuse
    if seed is not None or deterministic:
        cfg.randomness = {**cfg.get('randomness', {}), **({} if seed is None else {'seed': seed})}
        cfg.randomness.deterministic = deterministic or cfg.randomness.get('deterministic', False)
    found = _set_resume(cfg, resume)

    runner = build_runner(cfg, launcher)
    if resume and not found:
        runner.logger.warning(f'No checkpoint to resume in {cfg.work_dir}: training starts from the beginning.')
    if len(runner.train_loop.dataloader) == 0:
        images, batch = len(runner.train_loop.dataloader.dataset), runner.train_loop.dataloader.batch_size
        raise UserError(
            f'train_dataloader: {images} images make no batch of batch_size={batch} on each process: lower '
            'train_dataloader.batch_size'
        )
    runner.train()
    return runner


def _set_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f'amp: optim_wrapper.type={kind!r} has no mixed precision: use OptimWrapper or leave amp out')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _set_resume(cfg: Config, resume: Union[bool, str]) -> bool:
    """Point the config to the checkpoint to resume; return whether there is one.

    Without one, ``load_from`` stays: a job that always says "resume" must start from its pretrained weights
    the first time.
    """
    if not resume:
        return False
    checkpoint = _last_whole_checkpoint(cfg.work_dir) if resume is True else resume
    cfg.resume = checkpoint is not None
    if checkpoint is not None:
        cfg.load_from = require_checkpoint(checkpoint, 'resume')
    return cfg.resume


def _last_whole_checkpoint(work_dir: str) -> Optional[str]:
    """The last checkpoint, or if it was cut off the newest of those before it that are whole."""
    last = last_checkpoint(work_dir)
    if last is None or is_whole(last):
        return last
    others = sorted(Path(last).parent.glob(f'{Path(last).stem.rpartition("_")[0]}_*.pth'), key=os.path.getmtime)
    whole = [str(path) for path in others if path != Path(last) and is_whole(path)]
    if not whole:
        raise UserError(
            f'resume: {last} is cut off, and there is no other checkpoint: delete it and last_checkpoint to start anew'
        )
    warnings.warn(f'resume: {last} is cut off: training goes on from {whole[-1]}', stacklevel=2)
    return whole[-1]


def last_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint that the last run in ``work_dir`` left, also if the folder was moved since."""
    note = Path(work_dir, 'last_checkpoint')
    if not note.is_file():
        return None
    named = Path(note.read_text().strip())
    for path in (named, note.with_name(named.name)):
        if path.is_file():
            return str(path)
    raise UserError(f'resume: {note} names {named}, which does not exist: name a checkpoint to resume')
