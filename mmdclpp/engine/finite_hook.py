"""What becomes of losses and gradients that are not finite: no update, a file that tells why, of too many the end."""

import math
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, Deque, Dict, List, NamedTuple, Optional

import torch
from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdclpp.engine.optimizers.finite_steps import FiniteSteps, GradientNorms
from mmdclpp.engine.unwrapped import unwrapped
from mmdclpp.errors import UserError
from mmdclpp.registry import HOOKS
from mmdclpp.utils.files import write_whole
from mmdclpp.utils.strict_json import strict_json

FOLDER = 'non_finite'
MAX_FILES = 20  # updates that files tell of, of one start of a run, in each process: ours
LEAST_SCALE = 1.0  # a loss scale below this makes gradients smaller than they are, which no longer helps float16: ours
_NAMED, _LISTED = 3, 20  # parameters, in messages and in files
_LOGGED = 'train/skipped_updates'


class _Batch(NamedTuple):
    iteration: int
    images: List[str]
    outputs: Dict[str, Any]


@HOOKS.register_module()
class FiniteHook(Hook):
    """Leave out updates whose loss or gradient is not finite, tell of each, and end the run when there are too many.

    After such an update, weights, the optimizer's state and the model's buffers (running statistics, queues) are as
    they were before it, and averaged weights take in nothing of it. The log has a warning, ``skipped_updates`` counts,
    and each process writes ``non_finite/iter_<iteration>_rank<rank>.json`` into the work dir: the images of its batch,
    the parts of its loss, the norm of the gradient and the parameters whose gradient is not finite, the learning rate
    and the loss scale; of the first 20 such updates.

    The run ends, in all processes, with more than ``max_skips`` in the last ``window`` updates, when the weights
    themselves are not finite, and when the learning rate is not; the last checkpoint stays as it is.

    Under float16, gradients that overflow while the loss is finite are how the loss scale is found: of these nothing is
    said, unless the scale has fallen below 1. Then a warning says so, and they count like others.

    What it takes: the norm of the gradient, and a copy of the buffers. It needs the optimizer wrappers of this package,
    which runs of ``mmdclpp.apis`` have in place of mmengine's.

    Args:
        max_skips (int): Updates left out that a run goes on with; 0 ends it at the first. Defaults to 10.
        window (int): Among how many of the last updates they are counted. Defaults to 1000.

    Raises:
        UserError: If an argument is out of range, or training cannot go on.
    """

    priority = 'VERY_HIGH'  # after RuntimeInfoHook, which waits for the device; before averages and checkpoints

    def __init__(self, max_skips: int = 10, window: int = 1000) -> None:
        if max_skips < 0:
            raise UserError(f'FiniteHook: max_skips={max_skips} must be 0 or more')
        if window < 1:
            raise UserError(f'FiniteHook: window={window} must be 1 or more')
        self.max_skips = max_skips
        self.window = window
        self._wrapper: Optional[FiniteSteps] = None
        self._batches: List[_Batch] = []  # of the update to come
        self._updates, self._files = 0, 0  # since this start
        self._skips: Deque[int] = deque()  # those of the last updates that were left out
        self._told_of_scale = False

    def before_train(self, runner: Runner) -> None:
        """Let the optimizer wrapper leave updates out."""
        if not isinstance(runner.optim_wrapper, FiniteSteps):
            runner.logger.warning(
                f'losses and gradients that are not finite stay unnoticed: {type(runner.optim_wrapper).__name__} is no '
                "optimizer wrapper of mmdclpp. Its OptimWrapper and AmpOptimWrapper take the place of mmengine's"
            )
            return
        self._wrapper = runner.optim_wrapper
        self._wrapper.guarded = True
        self._buffers = _Buffers(unwrapped(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Note what the forward pass may change."""
        if self._wrapper is None:
            return
        for rate in self._wrapper.get_lr()['lr']:
            if not math.isfinite(rate):
                raise UserError(
                    f'iteration {runner.iter + 1}: the learning rate is {rate}: correct param_scheduler and '
                    'optim_wrapper.optimizer.lr'
                )
        if not self._batches:
            self._buffers.note()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        """Look at the gradient, if it was time for an update."""
        wrapper = self._wrapper
        if wrapper is None:
            return
        self._batches.append(_Batch(runner.iter + 1, _images(data_batch), _detached(outputs or {})))
        norms, wrapper.norms = wrapper.norms, None
        if norms is None:  # they accumulate
            return
        batches, self._batches = self._batches, []
        self._updates += 1
        if not math.isfinite(float(norms.total)):
            self._left_out(runner, norms, batches)

    def _left_out(self, runner: Runner, norms: GradientNorms, batches: List[_Batch]) -> None:
        # All processes come here, or none: gradients are the same.
        parts = all_gather_object(_bad_losses(batches))
        scale = self._wrapper.loss_scale
        if self._wrapper.searches_scale:
            if scale < LEAST_SCALE:
                self._tell_of_scale(runner, scale)
            elif not any(parts):
                return
        self._buffers.restore()
        names = _names(unwrapped(runner), norms)
        what = _what(parts, names, len(norms.parameters))
        self._skips.append(self._updates)
        while self._skips[0] <= self._updates - self.window:
            self._skips.popleft()
        self._count(runner)
        told = self._write(runner, norms, names, batches, scale)
        message = f'iteration {runner.iter + 1}: {what}'
        broken = [name for name, part in unwrapped(runner).named_parameters() if not torch.isfinite(part).all()]
        if broken:
            barrier()  # a launcher ends all processes as soon as one has left
            raise UserError(
                f'{message}, since weights themselves are not finite ({_some(broken)}){told}: go on from an earlier '
                'checkpoint (--resume CHECKPOINT) with optim_wrapper.clip_grad, or from its weights (--init) with a '
                'lower learning rate'
            )
        among = min(self.window, self._updates)
        if len(self._skips) > self.max_skips:
            barrier()
            raise UserError(
                f'{message}; of the last {among:,} updates {len(self._skips):,} were not finite, and '
                f'default_hooks.finite.max_skips={self.max_skips}{told}: set '
                'optim_wrapper.clip_grad, or --amp bf16 for fp16, and go on with --resume from a checkpoint before it '
                'began; or begin with the weights of one (--init) and a lower learning rate'
            )
        runner.logger.warning(f'{message}: the update is left out, {len(self._skips):,} of the last {among:,}{told}.')

    def _count(self, runner: Runner) -> None:
        known = runner.message_hub.log_scalars.get(_LOGGED)  # in a resumed run that of before, too
        runner.message_hub.update_scalar(_LOGGED, 1 + (known.current() if known is not None else 0))

    def _tell_of_scale(self, runner: Runner, scale: float) -> None:
        if not self._told_of_scale:
            self._told_of_scale = True
            runner.logger.warning(
                f'iteration {runner.iter + 1}: the loss scale has fallen to {scale:g}: gradients are not finite at any '
                'scale, so that it is not the range of float16 that they exceed, but training that diverges or a '
                'batch that gives NaN. Use --amp bf16, or lower the learning rate, and look at the files in '
                f'{Path(runner.work_dir, FOLDER)}'
            )

    def _write(
        self, runner: Runner, norms: GradientNorms, names: List[str], batches: List[_Batch], scale: Optional[float]
    ) -> str:
        """Write this process's file, and return what tells of all processes' files."""
        if self._files == MAX_FILES:
            return ''
        self._files += 1
        content = dict(
            iteration=runner.iter + 1,
            epoch=runner.epoch + 1,
            rank=get_rank(),
            max_skips=self.max_skips,
            window=self.window,
            skips=len(self._skips),
            batches=[
                dict(
                    iteration=batch.iteration,
                    outputs={name: _number(value) for name, value in batch.outputs.items()},
                    images=batch.images,
                )
                for batch in batches
            ],
            gradient_norm=_number(norms.total),
            non_finite_gradients=dict(count=len(names), of=len(norms.parameters), names=names[:_LISTED]),
            learning_rate=self._wrapper.get_lr()['lr'][0],
            loss_scale=scale,
        )
        folder = Path(runner.work_dir, FOLDER)
        try:
            write_whole(folder / f'iter_{runner.iter + 1}_rank{get_rank()}.json', strict_json(content) + '\n')
        except UserError as error:  # not the end: other processes know nothing of it
            runner.logger.error(str(error))
        return f' (images and parts of the loss: {folder / f"iter_{runner.iter + 1}_rank*.json"})'


class _Buffers:
    """A copy of a model's buffers."""

    def __init__(self, model: nn.Module) -> None:
        alike = defaultdict(list)  # which are copied at once
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    alike[buffer.device, buffer.dtype].append((module._buffers, name))
        self._places = list(alike.values())
        self._copies = [[buffer.clone() for buffer in buffers] for buffers in self._now()]

    def _now(self) -> List[List[Tensor]]:
        return [[owner[name] for owner, name in places] for places in self._places]

    def note(self) -> None:
        for copies, buffers in zip(self._copies, self._now()):
            torch._foreach_copy_(copies, buffers)

    def restore(self) -> None:
        for copies, buffers in zip(self._copies, self._now()):
            torch._foreach_copy_(buffers, copies)


def _images(data_batch: Any) -> List[str]:
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    samples = samples if isinstance(samples, (list, tuple)) else ()
    return [str(sample.get('img_path')) for sample in samples if sample.get('img_path') is not None]


def _detached(outputs: Dict[str, Any]) -> Dict[str, Any]:
    return {name: value.detach() if isinstance(value, Tensor) else value for name, value in outputs.items()}


def _bad_losses(batches: List[_Batch]) -> Dict[str, str]:
    """The parts of the loss that are not finite, without their sum if there are parts."""
    bad = {
        name: str(float(value))
        for batch in batches
        for name, value in batch.outputs.items()
        if 'loss' in name and not math.isfinite(float(value))
    }
    return {name: value for name, value in bad.items() if name != 'loss'} or bad


def _names(model: nn.Module, norms: GradientNorms) -> List[str]:
    """Which parameters' gradients are not finite."""
    bad = {
        id(parameter) for parameter, finite in zip(norms.parameters, torch.isfinite(norms.each).tolist()) if not finite
    }
    return [name for name, parameter in model.named_parameters() if id(parameter) in bad]


def _what(parts: List[Dict[str, str]], names: List[str], total: int) -> str:
    for rank, bad in enumerate(parts):
        if bad:
            where = f' in process {rank}' if get_world_size() > 1 else ''
            return f'{" and ".join(f"{name} is {value}" for name, value in bad.items())}{where}'
    if not names:
        return 'the norm of the gradient is too large for its type'
    return f'the gradient is not finite in {len(names)} of {total} parameters ({_some(names)}), though the loss is'


def _some(names: List[str]) -> str:
    return f'{", ".join(names[:_NAMED])}{", ..." if len(names) > _NAMED else ""}'


def _number(value: Any) -> Any:
    value = float(value)
    return value if math.isfinite(value) else str(value)
