"""Settings of pretraining for a number of images, their size, and a machine. The rules are ours, unless marked."""

import itertools
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from mmengine.config import Config

from mmdclpp.apis.own_images.images import random_crops
from mmdclpp.apis.own_images.machine import Machine
from mmdclpp.apis.own_images.model_cost import ModelCost
from mmdclpp.apis.studies.recipe import shortened
from mmdclpp.errors import UserError

MEMORY_SHARE = 0.6  # the rest is for the losses, for what libraries keep, and against fragmentation
LEAST_STEPS = 20  # an epoch
LEAST_BATCH = 8
COCO_IMAGES, COCO_EPOCHS, MOST_EPOCHS, LEAST_EPOCHS = 118_287, 800, 1600, 10  # prior of the 800: DenseCL on COCO
CPU_HOURS, CPU_FLOPS, CPU_BATCH = 12, 20e9, 32  # a night; measured: 16 to 23 GFLOP/s a core in training
SMALLEST_CROP, LARGEST_SMALLEST_CROP = 0.08, 0.2  # prior: SimCLR; DenseCL on COCO
INIT_SHARE = 0.25
MOST_WORKERS = 16
_SQUARE_ROOT = ('Adam', 'AdamW', 'Lamb', 'Lion', 'NAdam', 'RAdam')


class Images(NamedTuple):
    """What matters of the images.

    Attributes:
        number (int): How many there are.
        median_pixels (float): Width times height of the one in the middle.
    """

    number: int
    median_pixels: float


class Setting(NamedTuple):
    """A value for a key of the config, and why.

    Attributes:
        key (str): Dotted key.
        value (Any): Its value.
        rule (str): Where it comes from, in a line.
        given (bool): Whether it is the user's. Defaults to False.
    """

    key: str
    value: Any
    rule: str
    given: bool = False

    def __str__(self) -> str:
        """``KEY=VALUE`` as ``--cfg-options`` takes it."""
        value = self.value
        if isinstance(value, float):
            value = f'{value:g}'
        elif isinstance(value, (list, tuple)):
            value = ','.join(f'{entry:g}' for entry in value)
        return f'{self.key}={value}'


def suggest_settings(
    cfg: Config,
    base: Config,
    images: Images,
    machine: Machine,
    cost: Optional[ModelCost],
    given: Mapping[str, Any],
    pretrained: bool = False,
) -> List[Setting]:
    """Choose batch, learning rate, crops, epochs and workers.

    What the user gave stands, and the rest follows from it.

    Args:
        cfg (Config): The config with the user's options.
        base (Config): The config without them, in whose proportions the settings are.
        images (Images): The images.
        machine (Machine): What there is to train with.
        cost (ModelCost, optional): What the model takes, if that is known.
        given (Mapping[str, Any]): The user's options by dotted key.
        pretrained (bool): Whether training begins with pretrained weights. Defaults to False.

    Returns:
        List[Setting]: What the config is to be changed to, the user's options among them.

    Raises:
        UserError: If there are fewer than two images for each process, or the user's batch or epochs are no numbers.
    """
    user = dict(_leaves(given))

    def or_given(setting: Setting) -> Setting:
        return setting._replace(value=user[setting.key], rule='yours', given=True) if setting.key in user else setting

    batch = _checked(or_given(_batch(base, images, machine, cost)))
    update = batch.value * machine.processes * cfg.optim_wrapper.get('accumulative_counts', 1)
    scaled = (cfg.get('auto_scale_lr') or {}).get('enable')  # by the runner
    rate = (_rate_to_scale if scaled else _learning_rate)(cfg if scaled else base, update, pretrained)
    settings = [batch, *([] if rate is None else [rate]), *_crops(cfg, images)]
    epochs = _epochs(base, images, machine, cost, pretrained)
    if epochs is not None:
        epochs = _checked(or_given(epochs))
        settings += [epochs, *_follow_epochs(base, epochs.value)]
    settings.append(_workers(machine))
    # Whoever gives all of a list, or a part of what is one value to us, knows what becomes of it.
    return [or_given(setting) for setting in settings if not any(_overlap(setting.key, key) for key in user)]


def _checked(count: Setting) -> Setting:
    if not isinstance(count.value, int) or count.value < 1:
        raise UserError(f'cfg_options: {count.key}={count.value} must be a whole number of 1 or more')
    return count


def _overlap(key: str, other: str) -> bool:
    return key.startswith(f'{other}.') or other.startswith(f'{key}.')


def _leaves(options: Mapping[str, Any], above: str = ''):
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f'{above}{key}.')
        else:
            yield f'{above}{key}', value


def _batch(base: Config, images: Images, machine: Machine, cost: Optional[ModelCost]) -> Setting:
    number, processes = images.number, machine.processes
    if number < 2 * processes:
        images_given = f'{number} image' if number == 1 else f'{number} images'
        shared = '' if processes == 1 else f' for {processes} processes'
        raise UserError(f'data: {images_given}{shared}: give two or more{" for each" if shared else ""}')
    most = base.train_dataloader.batch_size
    reasons = {f'the most of this config is {most}': most}
    if not machine.gpu:
        reasons[f'on CPUs steps count more than their size, at most {CPU_BATCH}'] = CPU_BATCH
    if cost is not None:
        fitting = int((MEMORY_SHARE * machine.memory - cost.fixed_bytes) // cost.bytes_per_image)
        reasons[f'{MEMORY_SHARE:.0%} of the memory holds {max(fitting, 0):,} images'] = max(fitting, LEAST_BATCH)
    enough = max(number // (LEAST_STEPS * processes), LEAST_BATCH)
    reasons[f'{LEAST_STEPS} steps an epoch or more, and {LEAST_BATCH} images a step'] = enough
    reasons['no more than there are images'] = number // processes
    reason, limit = min(reasons.items(), key=lambda item: item[1])
    return Setting('train_dataloader.batch_size', 2 ** int(math.log2(limit)), f'a power of 2 each process; {reason}')


def _rate_to_scale(cfg: Config, batch: int, pretrained: bool) -> Optional[Setting]:
    """The rate that ``auto_scale_lr`` scales when training starts."""
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    if 'lr' not in optimizer:
        return None
    rate = float(f'{optimizer.lr * (INIT_SHARE if pretrained else 1):g}')
    reference = cfg.auto_scale_lr.base_batch_size
    quarter = ', a quarter of it since the weights are trained' if pretrained else ''
    rule = f"the config's{quarter}; auto_scale_lr makes it {rate * batch / reference:.2g}, times {batch}/{reference}"
    return Setting('optim_wrapper.optimizer.lr', rate, rule)


def _learning_rate(base: Config, batch: int, pretrained: bool) -> Optional[Setting]:
    optimizer = base.optim_wrapper.get('optimizer') or {}
    if 'lr' not in optimizer:
        return None
    reference = (base.get('auto_scale_lr') or {}).get('base_batch_size') or base.train_dataloader.batch_size
    root = optimizer.type in _SQUARE_ROOT
    rate = optimizer.lr * (batch / reference) ** (0.5 if root else 1.0)
    formula = f'√({batch}/{reference})' if root else f'{batch}/{reference}'
    rule = f"{optimizer.lr:g} · {formula}, the config's for a batch of {reference}"
    if pretrained:
        rate, rule = rate * INIT_SHARE, f'{rule}; a quarter of it, since the weights are trained'
    return Setting('optim_wrapper.optimizer.lr', float(f'{rate:.2g}'), rule)


def _crops(cfg: Config, images: Images) -> List[Setting]:
    settings = []
    for key, crop in random_crops(cfg):
        size = crop['scale'] if isinstance(crop['scale'], int) else max(crop['scale'])
        share = size**2 / images.median_pixels
        smallest = round(min(max(share, SMALLEST_CROP), LARGEST_SMALLEST_CROP), 2)
        rule = (
            f"from {size}² px of a median image's {images.median_pixels:,.0f} px, within {SMALLEST_CROP} (SimCLR) and "
            f'{LARGEST_SMALLEST_CROP} (DenseCL), to all of it'
        )
        settings.append(Setting(f'{key}.crop_ratio_range', [smallest, 1.0], rule))
    return settings


def _epochs(
    base: Config, images: Images, machine: Machine, cost: Optional[ModelCost], pretrained: bool
) -> Optional[Setting]:
    schedule = base.get('param_scheduler') or []
    schedule = [schedule] if isinstance(schedule, dict) else schedule
    if not base.train_cfg.get('max_epochs') or not all(
        part.get('by_epoch', True) and 'begin' in part and 'end' in part for part in schedule
    ):
        return None  # counted in iterations
    epochs = min(COCO_EPOCHS * math.sqrt(COCO_IMAGES / images.number), MOST_EPOCHS)
    rule = f'{COCO_EPOCHS} · √({COCO_IMAGES:,}/{images.number:,}), at most {MOST_EPOCHS:,}'
    if pretrained:
        epochs, rule = epochs * INIT_SHARE, f'{rule}; a quarter of it, since the weights are trained'
    if not machine.gpu and cost is not None:
        seconds = cost.flops_per_image * images.number / (machine.processes * machine.cores * CPU_FLOPS)
        night = CPU_HOURS * 3600 / seconds
        if night < epochs:
            epochs = max(night, LEAST_EPOCHS)
            hours = epochs * seconds / 3600
            rule = (
                f'without a GPU as many as {CPU_HOURS} h allow, but {LEAST_EPOCHS} or more: some {hours:,.1f} h at '
                f'{CPU_FLOPS / 1e9:g} GFLOP/s a core'
            )
    return Setting('train_cfg.max_epochs', max(2, round(epochs)), rule)


def _follow_epochs(base: Config, epochs: int) -> List[Setting]:
    """What else of a config depends on the number of epochs."""
    settings = []
    if base.get('param_scheduler'):
        before = [base.param_scheduler] if isinstance(base.param_scheduler, dict) else list(base.param_scheduler)
        after = shortened(Config(dict(train_cfg=base.train_cfg, param_scheduler=before)), epochs)['param_scheduler']
        rule = f'of the {base.train_cfg.max_epochs} epochs of the config, in proportion'
        if len(after) == len(before):
            settings += [
                Setting(f'param_scheduler.{index}.{key}', part[key], rule)
                for index, part in enumerate(after)
                for key in ('begin', 'end', 'T_max')
                if key in part and part[key] != before[index][key]
            ]
        else:
            settings.append(Setting('param_scheduler', after, rule))
    if 'checkpoint' in (base.get('default_hooks') or {}):
        settings.append(
            Setting('default_hooks.checkpoint.interval', max(1, epochs // 20), 'a checkpoint at every twentieth')
        )
    return settings


def _workers(machine: Machine) -> Setting:
    if not machine.gpu:
        return Setting('train_dataloader.num_workers', 1, 'the other cores compute')
    workers = min(max(machine.cores - 1, 1), MOST_WORKERS)
    return Setting('train_dataloader.num_workers', workers, f'the cores of a process but one, at most {MOST_WORKERS}')


def describe_settings(settings: Sequence[Setting]) -> List[str]:
    """The settings, each above its rule, those with one rule on one line."""
    lines = []
    for rule, group in itertools.groupby(filter(_fits_a_line, settings), key=lambda setting: setting.rule):
        lines += [f'  {" ".join(map(str, group))}', f'      {rule}']
    return lines


def as_options(settings: Sequence[Setting]) -> str:
    """The settings as ``--cfg-options`` takes them."""
    return '--cfg-options ' + ' '.join(str(setting) for setting in settings if _fits_a_line(setting))


def _fits_a_line(setting: Setting) -> bool:
    return not (isinstance(setting.value, (list, tuple)) and any(isinstance(entry, dict) for entry in setting.value))


def go_on_with(values: Mapping[str, Any], given: Mapping[str, Any]) -> Dict[str, Any]:
    """The settings of a run that is resumed, of which the user gave neither all nor a part.

    Args:
        values (Mapping[str, Any]): Values by dotted key, as the run was started with.
        given (Mapping[str, Any]): The user's options by dotted key.

    Raises:
        UserError: If the user's batch or length is another: checkpoints hold the rate and the schedule laid out for it.
    """
    user = dict(_leaves(given))
    for key in ('train_dataloader.batch_size', 'train_cfg.max_epochs'):
        if key in user and key in values and user[key] != values[key]:
            raise UserError(
                f'resume: {key}={user[key]}, but learning rate and schedule of the run are those of {values[key]}: '
                'leave it out, or start another run, in another work_dir'
            )
    return {key: value for key, value in values.items() if key not in user and not any(_overlap(key, k) for k in user)}


def changes(settings: Sequence[Setting]) -> Dict[str, Any]:
    """What the config is to be changed to by the suggestions."""
    return {setting.key: setting.value for setting in settings if not setting.given}
