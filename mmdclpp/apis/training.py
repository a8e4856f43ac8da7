"""Train what a config describes."""

import math
import os
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Union

from mmengine.config import Config
from mmengine.runner import Runner

from mmdclpp.apis._runner import (
    ConfigLike,
    build_runner,
    check_amp,
    load_config,
    require_checkpoint,
    require_keys,
    set_dataloaders,
    set_work_dir,
)
from mmdclpp.apis._train_options import (
    set_accumulation,
    set_amp,
    set_compile,
    set_ema,
    set_grad_checkpointing,
    set_tensorboard,
    set_wandb,
)
from mmdclpp.apis.own_images.prepare import prepare
from mmdclpp.datasets import LoadViews
from mmdclpp.datasets.pipelines import pipelines
from mmdclpp.engine.preemption_hook import PreemptionHook
from mmdclpp.engine.progress_hook import ProgressHook
from mmdclpp.engine.rank_watch_hook import RankWatchHook
from mmdclpp.engine.unwrapped import unwrapped
from mmdclpp.errors import UserError
from mmdclpp.models.data_preprocessors import require_finishing
from mmdclpp.utils.checkpoint_files import damage
from mmdclpp.utils.files import PathLike
from mmdclpp.utils.restarts import restarted


def train(
    config: ConfigLike,
    work_dir: Optional[str] = None,
    resume: Union[bool, str] = False,
    amp: Union[bool, str] = False,
    validate: bool = True,
    auto_scale_lr: bool = False,
    accumulate: Optional[int] = None,
    compile: bool = False,
    grad_checkpointing: bool = False,
    ema: Union[bool, float] = False,
    tensorboard: bool = False,
    wandb: Union[bool, str] = False,
    pin_memory: bool = True,
    persistent_workers: bool = True,
    seed: Optional[int] = None,
    deterministic: bool = False,
    cfg_options: Optional[Dict[str, Any]] = None,
    launcher: str = 'none',
    progress_bar: bool = False,
    data: Optional[PathLike] = None,
    init: Optional[str] = None,
    dry_run: bool = False,
) -> Optional[Runner]:
    """Train the model of a config: pretraining, probing or, with a config of mmseg's scope, segmentation.

    The arguments have precedence over ``cfg_options``, and these over the config.

    Args:
        config (str, Path or Config): A config file or a loaded config.
        work_dir (str, optional): Where checkpoints and logs go. Defaults to None, the config's ``work_dir``
            or else ``work_dirs/<folder>/<name>`` of the config.
        resume (bool or str): True continues from the last checkpoint in ``work_dir``, or starts anew if there
            is none; a path continues from that checkpoint. A job that torchrun or Slurm has started anew always
            continues from the last checkpoint that it saved. Defaults to False.
        amp (bool or str): Whether to train in mixed precision: True, or its type, ``'fp16'`` or ``'bf16'``. Defaults
            to False.
        validate (bool): Whether to evaluate during training. Defaults to True.
        auto_scale_lr (bool): Whether to scale the learning rate by the images of an update (batch size times processes
            times ``accumulate``) over the config's ``auto_scale_lr.base_batch_size``. Defaults to False.
        accumulate (int, optional): Batches of which the mean gradient makes one update. Each is contrasted within
            itself: accumulation adds no negatives. Defaults to None, the config's, which is 1 unless it says otherwise.
        compile (bool): Whether to compile backbone and neck with ``torch.compile``. Defaults to False.
        grad_checkpointing (bool): Whether to compute the activations of the backbone's blocks twice, and not to keep
            them. Defaults to False.
        ema (bool or float): Whether to average the weights exponentially, for checkpoints and evaluations: True, or the
            share of the new weights at each update. Defaults to False.
        tensorboard (bool): Whether to log to TensorBoard too. Defaults to False.
        wandb (bool or str): Whether to log to Weights & Biases too: True, or the name of a project. Defaults to False.
        pin_memory (bool): Whether to pin batches in memory, where there is a GPU. Defaults to True.
        persistent_workers (bool): Whether data workers outlive an epoch. Defaults to True.
        seed (int, optional): The seed of every random draw. Defaults to None, the config's.
        deterministic (bool): Whether to use deterministic algorithms only. Defaults to False.
        cfg_options (dict, optional): New values by dotted key. Defaults to None.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``. Defaults to ``'none'``.
        progress_bar (bool): Whether to show a bar below the log lines, in a terminal. Defaults to False.
        data (str or PathLike, optional): Your own images, for a pretraining config: a folder, a text file of paths,
            or COCO-style JSON. They are surveyed, and what ``cfg_options`` leave open of batch, learning rate, crops,
            epochs and workers is chosen for them (docs/own-images.md). Defaults to None, the config's images.
        init (str, optional): Weights to begin with: ``timm:NAME``, ``mmpretrain:NAME``, either with ``=FILE``, or a
            checkpoint; the backbone becomes theirs. Defaults to None, random weights.
        dry_run (bool): Whether only to survey ``data`` and print the settings. Defaults to False.

    Returns:
        Runner: mmengine's runner after training; ``runner.model`` is trained, ``runner.work_dir`` has the files. None
        of a dry run.

    Raises:
        UserError: If the config, an option or a checkpoint cannot be used.
        mmdclpp.errors.Preempted: On SIGTERM or SIGUSR1, with a checkpoint saved.
    """

    def set_flags(cfg: Config) -> None:
        require_keys(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'trained')
        set_work_dir(cfg, work_dir)
        set_dataloaders(cfg, pin_memory, persistent_workers)
        if not validate:
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        if amp:
            set_amp(cfg, amp)
        check_amp(cfg)
        if accumulate is not None:
            set_accumulation(cfg, accumulate)
        if compile:
            set_compile(cfg)
        if grad_checkpointing:
            set_grad_checkpointing(cfg)
        if ema is not False:
            set_ema(cfg, ema)
        if tensorboard:
            set_tensorboard(cfg)
        if wandb:
            set_wandb(cfg, wandb)
        if auto_scale_lr or (cfg.get('auto_scale_lr') or {}).get('enable'):
            require_keys(cfg, ['auto_scale_lr.base_batch_size'], 'trained with auto_scale_lr')
            cfg.auto_scale_lr.enable = True
        if isinstance(resume, str):
            require_checkpoint(resume, 'resume')

    base = load_config(config)
    cfg = load_config(base, cfg_options)
    set_flags(cfg)
    resume = restarted(cfg.work_dir) or resume
    if data is not None or init is not None or dry_run:
        # A mistake was told by now, before thousands of images are looked at.
        options = dict(cfg_options or {})
        if auto_scale_lr:
            options['auto_scale_lr.enable'] = True
        if accumulate is not None:
            options['optim_wrapper.accumulative_counts'] = accumulate
        cfg = prepare(base, data, init, work_dir, options, launcher, bool(resume), dry_run)
        if dry_run:
            return None
        set_flags(cfg)
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
    _require_finished_views(runner)
    bar = ProgressHook(lines=False)
    if progress_bar and not any(isinstance(hook, ProgressHook) for hook in runner.hooks):
        runner.register_hook(bar)
    preemption = PreemptionHook()
    runner.register_hook(preemption)
    try:
        with RankWatchHook.of(runner):
            runner.train()
    finally:
        bar.close()
        preemption.close()
    return runner


def _require_finished_views(runner: Runner) -> None:
    """Raise a UserError if LoadViews leaves augmentation to do that nobody does."""
    for pipeline, _ in pipelines(runner.train_loop.dataloader.dataset):
        loaders = [transform for transform in pipeline if isinstance(transform, LoadViews)]
        if not any(loader.leaves_photometric for loader in loaders):
            continue
        require_finishing(unwrapped(runner).data_preprocessor)
        if not any('view_photometric' in getattr(transform, 'meta_keys', ()) for transform in pipeline):
            raise UserError(
                "train_dataloader.dataset.pipeline: PackInputs loses how LoadViews' views are to be jittered and "
                "blurred: add 'view_photometric' to its meta_keys"
            )


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
    """The last checkpoint, or if it is damaged or gone the newest of those before it that are whole."""
    note = Path(work_dir, 'last_checkpoint')
    if not note.is_file():
        return None
    last = _named(note)
    fault = damage(last) if last is not None else 'is gone'
    if fault is None:
        return str(last)
    # Later ones are of another run that was started in the same folder.
    written = math.inf if last is None else os.path.getmtime(last)
    others = [path for pattern in ('epoch_*.pth', 'iter_*.pth') for path in Path(work_dir).glob(pattern)]
    before = [path for path in others if path != last and os.path.getmtime(path) <= written]
    for other in sorted(before, key=os.path.getmtime, reverse=True):
        if damage(other) is None:
            warnings.warn(f'resume: {last or _told(note)} {fault}: training goes on from {other}', stacklevel=2)
            return str(other)
    if last is None:
        last_checkpoint(work_dir)  # says so
    raise UserError(
        f'resume: {last} {fault}, and there is no other checkpoint: delete it and last_checkpoint to start anew'
    )


def last_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint that the last run in ``work_dir`` left, also if the folder was moved since."""
    note = Path(work_dir, 'last_checkpoint')
    if not note.is_file():
        return None
    last = _named(note)
    if last is None:
        raise UserError(f'resume: {note} names {_told(note)}, which does not exist: name a checkpoint to resume')
    return str(last)


def _named(note: Path) -> Optional[Path]:
    """The file that ``last_checkpoint`` names; the one beside it, if it was moved with its folder."""
    named = Path(_told(note))
    places = (named, note.with_name(named.name)) if named.name else ()
    return next((path for path in places if path.is_file()), None)


def _told(note: Path) -> str:
    return note.read_text(errors='replace').strip() or 'nothing'
