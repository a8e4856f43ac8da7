"""Memory and time of a pretraining, before it is begun."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import OPTIMIZERS, DefaultScope
from torch import nn

from mmdclpp.apis._runner import ConfigLike, load_config, require_keys
from mmdclpp.apis._train_options import set_accumulation, set_amp, set_ema, set_grad_checkpointing
from mmdclpp.apis.own_images.images import dataset_of, require_pretraining, set_images
from mmdclpp.apis.own_images.machine import Machine, this_machine
from mmdclpp.apis.own_images.prepare import look_at, settings_for
from mmdclpp.apis.own_images.settings import MOST_WORKERS, Images
from mmdclpp.core.memory import buffer_bytes
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.checkpointed import checkpoint_blocks
from mmdclpp.models.backbones.wrapped import innermost_backbone
from mmdclpp.registry import MODELS
from mmdclpp.utils.files import PathLike

from .devices import DEVICES, Device, this_device
from .loading import Loading, survey_loading
from .measuring import Measured, measure_steps
from .rehearsal import Rehearsal, rehearse

UTILISATION = 0.4  # ours, not measured: of its peak what a GPU does in a step as a whole
# For the CUDA context, the libraries' workspaces, NCCL's buffers and gaps between tensors: ours, not measured.
RESERVED_BYTES = 2 * 2**30
_DEFAULT_GPU = 'h100'
RANGE = 4  # up to so many times as many images, or so many times fewer, memory is interpolated


@dataclass(frozen=True)
class Estimate:
    """What a training will take; per GPU unless it says otherwise.

    Attributes:
        device (Device): What trains.
        gpus (int): How many of them, a process each.
        batch_size (int): Images of a process.
        accumulate (int): Batches whose gradients make one update.
        amp (bool): Whether in mixed precision.
        memory (Dict[str, int]): Bytes by purpose.
        bytes_per_image (float): By how much memory grows with the batch.
        largest_batch (int): About the most images of a process that fit, looked for up to four times ``batch_size``;
            0 if not even 2 do.
        step (Rehearsal): Operations and exchanged values of a step.
        gradient_bytes (int): What DDP averages over processes in a step, 0 for one process.
        utilisation (float): The share of the peak that is assumed.
        predicted_seconds (float): Of a step's computation, by operations, peak and utilisation.
        measured (Measured, optional): Steps on this device, where they were taken.
        loading (Loading): The images.
        workers (int): Processes that load, of all GPUs together.
        iterations (int): Steps of an epoch.
        epochs (float): Of the whole training.
        settings (Dict[str, Any]): What training on your own images chooses for them, or you gave, by dotted key.
    """

    device: Device
    gpus: int
    batch_size: int
    accumulate: int
    amp: bool
    memory: Dict[str, int]
    bytes_per_image: float
    largest_batch: int
    step: Rehearsal
    gradient_bytes: int
    utilisation: float
    predicted_seconds: float
    measured: Optional[Measured]
    loading: Loading
    workers: int
    iterations: int
    epochs: float
    settings: Dict[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """All memory that is needed."""
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        """Whether the device has so much memory."""
        return self.bytes <= self.device.bytes

    @property
    def step_seconds(self) -> float:
        """Of a step's computation: measured, if it was, else predicted."""
        return self.predicted_seconds if self.measured is None else self.measured.seconds

    @property
    def images_needed(self) -> float:
        """Images a second, of all GPUs together, that keep them busy."""
        return self.batch_size * self.gpus / self.step_seconds

    @property
    def cores_needed(self) -> int:
        """Cores like this machine's that load as many, of all GPUs together."""
        return math.ceil(self.images_needed / self.loading.rate)

    @property
    def images_loaded(self) -> float:
        """Images a second that the workers load, if each has a core like this machine's."""
        return self.loading.rate * max(self.workers, 1)

    @property
    def epoch_seconds(self) -> float:
        """Of an epoch: the slower of computing and loading."""
        loading = self.batch_size * self.gpus / self.images_loaded
        return self.iterations * max(self.step_seconds, loading)

    @property
    def total_seconds(self) -> float:
        """Of all epochs, without evaluations and checkpoints."""
        return self.epoch_seconds * self.epochs

    def as_dict(self) -> Dict[str, Any]:
        """All figures, for JSON."""
        properties = [name for name, value in vars(type(self)).items() if isinstance(value, property)]
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        flops = {str(dtype).removeprefix('torch.'): count for dtype, count in self.step.flops.items()}
        nested = {name: value._asdict() for name, value in fields.items() if hasattr(value, '_asdict')}
        nested['step']['flops'] = flops
        return {**fields, **nested, **{name: getattr(self, name) for name in properties}}


def estimate(
    config: ConfigLike,
    gpus: int = 1,
    gpu: Optional[str] = None,
    batch_size: Optional[int] = None,
    amp: Union[bool, str] = False,
    accumulate: Optional[int] = None,
    grad_checkpointing: bool = False,
    ema: Union[bool, float] = False,
    data: Optional[PathLike] = None,
    images: Optional[int] = None,
    utilisation: float = UTILISATION,
    measure: Optional[bool] = None,
    cfg_options: Optional[Dict[str, Any]] = None,
) -> Estimate:
    """Estimate memory and time of a pretraining config, without a GPU and without its data.

    A step of one process is taken on tensors without values, over the whole global batch: its matrix products and
    convolutions are counted, losses included, and the most that it holds at a time. What the optimizer keeps, DDP's
    buckets and averaged weights are added. Loading is measured on one core of this machine.

    Args:
        config (str, Path or Config): A pretraining config.
        gpus (int): How many, over all nodes. Defaults to 1.
        gpu (str, optional): A key of ``DEVICES``. Defaults to None: this machine's if it has one, else ``'h100'``.
        batch_size (int, optional): Images of a GPU. Defaults to None, the config's.
        amp (bool or str): As :func:`mmdclpp.apis.train` takes it, like the three next. Defaults to False.
        accumulate (int, optional): Defaults to None.
        grad_checkpointing (bool): Defaults to False.
        ema (bool or float): Defaults to False.
        data (str or PathLike, optional): Your own images, which are looked at, and for which settings are chosen as in
            training without ``init``. Of a GPU that is not here, the cores are not known: 17 each are taken. Defaults
            to None, the config's.
        images (int, optional): Their number, if they are not here. Defaults to None.
        utilisation (float): Share of the GPU's peak that a step reaches, in (0, 1]. Defaults to 0.4: ours.
        measure (bool, optional): Whether to take real steps on this machine's GPU, or CPU if there is none, and to
            estimate for it. Defaults to None: if there is a GPU, and no other is named.
        cfg_options (dict, optional): New values by dotted key. Defaults to None.

    Returns:
        Estimate: The figures.

    Raises:
        UserError: If an argument or the config cannot be used, or the number of images is not to be known.
    """
    base = load_config(config)
    cfg = load_config(base, cfg_options)
    require_keys(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'estimated')
    require_pretraining(cfg, 'estimate')
    _check(gpus=gpus, batch_size=batch_size, images=images)
    if not 0 < utilisation <= 1:
        raise UserError(f'utilisation={utilisation} must lie between 0 and 1: it is a share of the peak')
    if gpu is not None and gpu not in DEVICES:
        raise UserError(f'gpu={gpu!r} is unknown: use one of {", ".join(DEVICES)}')
    if measure and gpu is not None:
        raise UserError(f'gpu={gpu!r}: what is measured is this machine: leave out gpu, or measure')
    measure = gpu is None and torch.cuda.is_available() if measure is None else measure
    if measure and amp and not torch.cuda.is_available():
        raise UserError('amp: mixed precision needs a GPU, and this machine shows none: leave out amp, or measure')
    options = dict(cfg_options or {})
    if batch_size is not None:
        options['train_dataloader.batch_size'] = batch_size
    if data is not None:
        set_images(base, dataset_of(data))
        cfg = load_config(base, options)
    if amp:
        set_amp(cfg, amp)
    if accumulate is not None:
        set_accumulation(cfg, accumulate)
    if grad_checkpointing:
        set_grad_checkpointing(cfg)
    if ema is not False:
        set_ema(cfg, ema)
    device = this_device() if measure else DEVICES[gpu or _DEFAULT_GPU]
    settings: Dict[str, Any] = {}
    if data is not None:
        _, survey = look_at(dataset_of(data))
        found = Images(images or survey.usable, survey.median_pixels())
        chosen = settings_for(cfg, base, found, _machine(device, gpus, measure), options, pretrained=False)
        settings = {setting.key: setting.value for setting in chosen}
        cfg.merge_from_dict(settings)
    batch_size = batch_size or cfg.train_dataloader.get('batch_size', 1)
    logger = MMLogger.get_current_instance()
    level, _ = logger.level, logger.setLevel('ERROR')  # building an optimizer may log every parameter
    try:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmdclpp'):
            found = _estimate(cfg, device, gpus, batch_size, images, utilisation, measure)
            return replace(found, settings=settings)
    finally:
        logger.setLevel(level)


def _check(**counts: Optional[int]) -> None:
    for name, value in counts.items():
        least = 2 if name == 'batch_size' else 1
        if value is not None and value < least:
            raise UserError(f'{name}={value} is too small: use {least} or more')


def _estimate(
    cfg: Config, device: Device, gpus: int, batch_size: int, images: Optional[int], utilisation: float, measure: bool
) -> Estimate:
    loading = survey_loading(cfg, images)
    iterations, epochs = _length(cfg, loading.images, batch_size, gpus)
    on_cpu = measure and not torch.cuda.is_available()
    amp, hooks = cfg.optim_wrapper.get('type') == 'AmpOptimWrapper', _hooks(cfg)
    model = _build(cfg, on_cpu)
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    gradients = sum(tensor.nbytes for tensor in model.parameters() if tensor.requires_grad)
    accumulated = cfg.optim_wrapper.get('accumulative_counts', 1)
    measured = None
    if measure:
        measured = measure_steps(_build(cfg, on_cpu), cfg, loading.views, batch_size, gpus)
    step = rehearse(model, loading.views, batch_size, gpus, amp)
    memory = {
        'weights': weights,
        'optimizer': round(gradients * _states_per_weight(cfg.optim_wrapper.optimizer)),
        'averaged weights': weights if 'EMAHook' in hooks else 0,
        'accumulated gradients': gradients if accumulated > 1 else 0,
        'gradient buckets': gradients if gpus > 1 else 0,
        'step': step.peak_bytes,
        'reserved': 0 if on_cpu else RESERVED_BYTES,
    }
    room = device.bytes - sum(memory.values())
    fewer = batch_size // RANGE
    other_size = fewer if room < 0 and fewer >= 2 else RANGE * batch_size
    other = rehearse(_build(cfg, on_cpu), loading.views, other_size, gpus, amp)
    bytes_per_image = (step.peak_bytes - other.peak_bytes) / (batch_size - other_size)
    largest = batch_size + math.floor(room / bytes_per_image)
    half = sum(count for dtype, count in step.flops.items() if dtype.itemsize < 4)
    single = sum(step.flops.values()) - half
    return Estimate(
        device=device,
        gpus=gpus,
        batch_size=batch_size,
        accumulate=accumulated,
        amp=amp,
        memory=memory,
        bytes_per_image=bytes_per_image,
        largest_batch=min(largest, RANGE * batch_size) if largest >= 2 else 0,
        step=step,
        gradient_bytes=gradients if gpus > 1 else 0,
        utilisation=utilisation,
        predicted_seconds=(half / device.half + single / device.single) / utilisation,
        measured=measured,
        loading=loading,
        workers=cfg.train_dataloader.get('num_workers', 0) * gpus,
        iterations=iterations,
        epochs=epochs,
    )


def _machine(device: Device, gpus: int, here: bool) -> Machine:
    cores = this_machine('none').cores // gpus if here else MOST_WORKERS + 1
    return Machine(gpus, max(cores, 1), device.bytes, gpu=not here or torch.cuda.is_available())


def _hooks(cfg: Config) -> List[str]:
    return [str(hook.get('type')).rpartition('.')[2] for hook in cfg.get('custom_hooks') or []]


def _build(cfg: Config, on_cpu: bool) -> BaseModel:
    """The model as the device in question would train it."""
    model_cfg = cfg.model.copy()
    if 'pretrained' in (model_cfg.get('backbone') or {}):
        model_cfg['backbone'] = {**model_cfg['backbone'], 'pretrained': False}  # nothing is downloaded
    model = revert_sync_batchnorm(MODELS.build(model_cfg))  # SyncBN needs a GPU and takes as much
    if 'GradientCheckpointingHook' in _hooks(cfg):
        checkpoint_blocks(innermost_backbone(model)[0])
    default = buffer_bytes(None, torch.device('cpu' if on_cpu else 'cuda')) / 2**20
    for head in (getattr(model, name, None) for name in ('head', 'dense_head')):
        if getattr(head, 'memory_budget', 0) is None:
            head.memory_budget = default
    return model


def _states_per_weight(optimizer: dict) -> float:
    """How many values an optimizer keeps for each weight: what a step of it leaves for some."""
    weights = nn.Parameter(torch.ones(64, 64))
    weights.grad = torch.ones_like(weights)
    taken = OPTIMIZERS.build({**optimizer, 'params': [weights]})
    taken.step()
    states = [value for value in taken.state[weights].values() if torch.is_tensor(value)]
    return sum(value.numel() for value in states if value.dim()) / weights.numel()


def _length(cfg: Config, images: int, batch_size: int, gpus: int) -> Tuple[int, float]:
    """Iterations of an epoch, and epochs."""
    drops = cfg.train_dataloader.get('drop_last', False)
    share = math.ceil(images / gpus)  # mmengine's sampler repeats some images, so that each process has as many
    iterations = share // batch_size if drops else math.ceil(share / batch_size)
    if not iterations:
        raise UserError(f'images: {images} make no batch of {batch_size} on each of {gpus} GPUs: lower batch_size')
    if cfg.train_cfg.get('max_epochs') is not None:
        return iterations, cfg.train_cfg.max_epochs
    if cfg.train_cfg.get('max_iters') is None:
        raise UserError('train_cfg: give max_epochs or max_iters')
    return iterations, cfg.train_cfg.max_iters / iterations
