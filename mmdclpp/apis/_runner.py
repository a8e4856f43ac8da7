"""From a config and a user's wishes to a runner: what training and testing share."""

import copy
import difflib
import inspect
import itertools
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Optional, Union

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import mmdclpp.registry  # noqa: F401  heals torchvision; makes the scope known to configs of another scope
from mmdclpp.apis._cli import user_message
from mmdclpp.apis._tuned_runner import Tuned
from mmdclpp.errors import UserError
from mmdclpp.utils.checkpoint_files import damage
from mmdclpp.utils.paths import config_path

_RUN_NUMBERS = itertools.count()
ConfigLike = Union[str, Path, Config]
# Keys that mmengine's runner reads from the config besides its constructor's.
_RUNNER_KEYS = (
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
)

# What must be a dict, if it is there.
_DICTS = (
    *('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper'),
    *('train_cfg', 'val_cfg', 'test_cfg', 'default_hooks', 'env_cfg', 'randomness', 'auto_scale_lr', 'log_processor'),
)


def load_config(config: ConfigLike, cfg_options: Optional[Dict[str, Any]] = None) -> Config:
    """Read a config and override some of its keys.

    The modules of its ``custom_imports`` may lie beside it.

    Args:
        config (str, Path or Config): A config file, or a loaded config, which is not changed.
        cfg_options (dict, optional): New values by dotted key, ``{'optim_wrapper.optimizer.lr': 0.1}``.
            Defaults to None.

    Returns:
        Config: The config, free to be changed.

    Raises:
        UserError: If the file or one of its bases is missing or faulty, or an option does not fit the config.
    """
    if isinstance(config, Config):
        cfg = copy.deepcopy(config)
    elif not Path(config).is_file():
        raise UserError(f'config {config} does not exist: check the path of the config file')
    else:
        folder = str(Path(config).resolve().parent)
        if folder not in sys.path:
            sys.path.append(folder)  # last, so that no module there takes the place of an installed one
        try:
            cfg = Config.fromfile(config)
        except Exception as error:  # the file is the user's program: whatever it raises is theirs to mend
            reason = str(error).strip().splitlines() or ['']
            raise UserError(f'config {config} cannot be read: {type(error).__name__}: {reason[0]}') from error

    known = {*cfg, *_RUNNER_KEYS, *inspect.signature(Runner).parameters}
    for key, value in (cfg_options or {}).items():
        top = key.split('.')[0]
        if top not in known:
            close = ''.join(f', did you mean {name!r}?' for name in difflib.get_close_matches(top, known, n=1))
            raise UserError(f'cfg_options: nothing reads the key {key!r}{close or ": correct it"}')
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f'cfg_options: {key}={value!r} does not fit the structure of the config') from error
    for key in _DICTS:
        if not isinstance(cfg.get(key), (dict, type(None))):
            raise UserError(f'config: {key}={str(cfg[key])[:60]!r} is no dict: correct it')
    return cfg


@contextmanager
def building(cfg: Config) -> Iterator[None]:
    """Turn what is raised while parts of a config are built into a UserError that names the place.

    Which value a class cannot do with, it shows by whatever it raises.
    """
    try:
        yield
    except Exception as error:
        if user_message(error) is not None:
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = str(error).strip().partition('\n')[0]
        raise UserError(
            f'config {cfg.filename or ""} cannot be built: {type(error).__name__}: {reason[:200]} (raised by '
            f'{place.name}, {"/".join(Path(place.filename).parts[-3:])}:{place.lineno}): correct its values'
        ) from error


def shipped_config(name: str) -> Config:
    """A config of the package, by its path below ``configs/``."""
    # Formatting it for each of its dumps would cost seconds a run.
    return Config.fromfile(config_path(name), format_python_code=False)


def show_as_bar(cfg: Config) -> None:
    """Let a runner that is one step of several show a progress bar instead of its log lines."""
    cfg.custom_hooks = [dict(type='ProgressHook', _scope_='mmdclpp', label='      ')]
    cfg.log_level = 'ERROR'


def require_keys(cfg: Config, keys: Iterable[str], purpose: str) -> None:
    """Raise a UserError unless the config has all dotted ``keys``, which ``purpose`` ('trained', 'tested') needs."""
    missing = [key for key in keys if _value(cfg, key) is None]
    if missing:
        raise UserError(f'config {cfg.filename or ""} cannot be {purpose}: add {", ".join(missing)}')


def _value(cfg: Config, key: str) -> Any:
    part = cfg
    for name in key.split('.'):
        part = part.get(name) if isinstance(part, (Config, dict)) else None
    return part


def set_work_dir(cfg: Config, work_dir: Optional[str]) -> None:
    """Choose where results go: the argument, the config's ``work_dir``, or ``work_dirs/<its folder>/<its name>``."""
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        if cfg.filename is None:
            raise UserError('work_dir is needed for a config that comes from no file: give work_dir')
        # With its folder: the methods' configs for one backbone and data set share their name.
        file = Path(cfg.filename).resolve()
        cfg.work_dir = os.path.join('work_dirs', file.parent.name, file.stem)


def set_dataloaders(cfg: Config, pin_memory: bool = True, persistent_workers: bool = True) -> None:
    """Fill in what the configs leave to the tools about their data loaders.

    Args:
        cfg (Config): The config, changed in place.
        pin_memory (bool): Whether to copy batches to pinned memory. Without a GPU it has no use, torch
            warns of it, and it is off. Defaults to True.
        persistent_workers (bool): Whether workers outlive an epoch, where there are any. Defaults to True.
    """
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is None:
            continue
        workers = loader.get('num_workers', 0)
        if not isinstance(workers, int):
            raise UserError(f'{name}.num_workers={workers!r} is no number of data workers: give a whole one from 0')
        if cfg.get('default_scope') in ('mmdclpp', 'mmpretrain'):  # mmseg's models take lists of images instead
            loader.setdefault('collate_fn', dict(type='default_collate'))
        loader.pin_memory = pin_memory and torch.cuda.is_available() and loader.get('pin_memory', True)
        loader.persistent_workers = persistent_workers and workers > 0 and loader.get('persistent_workers', True)


def require_checkpoint(checkpoint: str, argument: str) -> str:
    """Return ``checkpoint`` if it is a whole file or an URL, else raise a UserError that names ``argument``."""
    if '://' in str(checkpoint):
        return str(checkpoint)
    if not Path(checkpoint).is_file():
        raise UserError(f'{argument}: checkpoint {checkpoint} does not exist: check the path')
    fault = damage(checkpoint)
    if fault is not None:
        raise UserError(f'{argument}: {checkpoint} {fault}: give another one')
    return str(checkpoint)


class WithoutAccelerator:
    """Mixed into a runner class, lets it run distributed on CPUs.

    mmengine's launchers choose a CUDA device before they start the process
    group, its wrapper puts the model on that device, and SyncBN exists for
    GPUs alone.
    """

    def setup_env(self, env_cfg: Dict) -> None:
        """Start a gloo group unless there is a group, then do as mmengine does."""
        start_processes(self._launcher)
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: Optional[Dict], model: torch.nn.Module) -> torch.nn.Module:
        """Wrap the model for CPUs, its SyncBN turned into BN."""
        if self.distributed:
            self.cfg.sync_bn = None
            if any(isinstance(module, torch.nn.SyncBatchNorm) for module in model.modules()):
                self.logger.warning(
                    'SyncBN needs GPUs: BN takes its place, with statistics over the images of each process alone.'
                )
                model = revert_sync_batchnorm(model)
            model_wrapper_cfg = {
                'type': 'MMDistributedDataParallel',
                'device_ids': None,
                'broadcast_buffers': False,
                'find_unused_parameters': self.cfg.get('find_unused_parameters', False),
                **(model_wrapper_cfg or {}),
            }
        return super().wrap_model(model_wrapper_cfg, model)


def check_launcher(launcher: str) -> None:
    """Raise a UserError if ``launcher`` does not fit how this process was started."""
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError("launcher 'pytorch' is for processes that torchrun started: use tools/dist_train.sh")
    if launcher in ('slurm', 'mpi') and get_device() == 'cpu':
        raise UserError(f"launcher {launcher!r} needs GPUs: without any, use 'pytorch' (tools/dist_train.sh) or 'none'")


def start_processes(launcher: str) -> None:
    """Join the processes of a launcher to one group, unless they are one already.

    Args:
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        UserError: If the launcher does not fit how the process was started.
    """
    check_launcher(launcher)
    if launcher == 'none' or is_distributed():
        return
    if get_device() == 'cpu':
        torch.distributed.init_process_group('gloo')
    else:
        init_dist(launcher)


def check_amp(cfg: Config) -> None:
    """Raise a UserError if the config asks for mixed precision and there is no accelerator."""
    if get_device() == 'cpu' and (cfg.get('optim_wrapper') or {}).get('type') == 'AmpOptimWrapper':
        raise UserError(
            'optim_wrapper: mixed precision (AmpOptimWrapper) needs an accelerator, and this machine shows none: '
            "leave --amp out, or set optim_wrapper.type to 'OptimWrapper'"
        )


def build_runner(cfg: Config, launcher: str = 'none') -> Runner:
    """Build the runner of a config, also on machines without a GPU.

    Args:
        cfg (Config): A complete config, ``work_dir`` included.
        launcher (str): Who started the processes: ``'none'`` (there is one), ``'pytorch'`` (torchrun),
            ``'slurm'`` or ``'mpi'``. Defaults to ``'none'``.

    Raises:
        UserError: If the launcher does not fit how the process was started, or mixed precision is asked
            for without an accelerator.
    """
    cpu = get_device() == 'cpu'
    check_launcher(launcher)
    check_amp(cfg)
    cfg.launcher = launcher
    # mmengine names a run by its config and the second, and runs of one name share their logger.
    number = next(_RUN_NUMBERS)
    if number and cfg.filename is not None:
        cfg.setdefault('experiment_name', f'{Path(cfg.filename).stem}_{number}')
    name = cfg.get('runner_type', 'Runner')
    runner_class = RUNNERS.get(name)
    if runner_class is None:
        raise UserError(f'runner_type={name!r} names no runner: correct it or list its module in custom_imports')
    mixins = (WithoutAccelerator, Tuned) if cpu else (Tuned,)
    with building(cfg):
        return type(runner_class.__name__, (*mixins, runner_class), {}).from_cfg(cfg)
