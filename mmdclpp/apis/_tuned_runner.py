"""What training here does otherwise than mmengine's runner."""

from typing import Any, Dict, List, Optional, Union

import numpy as np
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import BaseOptimWrapper, OptimWrapper
from mmengine.runner import BaseLoop
from torch import nn

from mmdclpp import engine
from mmdclpp.errors import UserError
from mmdclpp.models.data_preprocessors import ViewDataPreprocessor

# Where a model spends its time, and what is plain PyTorch. Losses stay as they are: they stream, log and communicate.
COMPILED_PARTS = ('backbone', 'neck', 'decoder')


# mmengine's parts, in whose place ours of the same name come also in configs of another scope.
_OURS = {
    part.__name__: part
    for part in (engine.AmpOptimWrapper, engine.CheckpointHook, engine.EpochBasedTrainLoop, engine.OptimWrapper)
}


class Tuned:
    """Mixed into a runner class: ``compile``, ``auto_scale_lr`` and ``resume`` of a config do what one expects of them,
    and where it names a part of mmengine's that we have too, ours is built."""

    def register_hook(self, hook: Union[Hook, Dict], *args, **kwargs) -> None:
        """Register our CheckpointHook where mmengine's is asked for."""
        super().register_hook(_ours(hook), *args, **kwargs)

    def build_train_loop(self, loop: Union[BaseLoop, Dict]) -> BaseLoop:
        """Build our EpochBasedTrainLoop where mmengine's is asked for."""
        if isinstance(loop, dict) and 'type' not in loop and loop.get('by_epoch'):
            loop = {**{key: value for key, value in loop.items() if key != 'by_epoch'}, 'type': 'EpochBasedTrainLoop'}
        return super().build_train_loop(_ours(loop))

    def build_optim_wrapper(self, optim_wrapper: Union[OptimWrapper, Dict]) -> BaseOptimWrapper:
        """Build our OptimWrapper or AmpOptimWrapper where mmengine's is asked for."""
        if isinstance(optim_wrapper, dict) and 'optimizer' in optim_wrapper:
            optim_wrapper = _ours({'type': 'OptimWrapper', **optim_wrapper})
        return super().build_optim_wrapper(optim_wrapper)

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: Optional[Dict] = None) -> None:
        """Scale by the images of an update, where mmengine counts those of an iteration.

        They differ where gradients are accumulated.
        """
        counts = getattr(optim_wrapper, '_accumulative_counts', 1)
        if counts > 1 and (auto_scale_lr or {}).get('enable'):
            base = auto_scale_lr['base_batch_size']
            self.logger.info(f'{counts} batches make an update: its {base} images are {base / counts:g} an iteration.')
            auto_scale_lr = {**auto_scale_lr, 'base_batch_size': base / counts}
        super().scale_lr(optim_wrapper, auto_scale_lr)

    def _maybe_compile(self, target: str) -> None:
        """Compile the model's plain parts, where mmengine compiles all of ``train_step``.

        That holds logging, collectives, hooks and the optimizer too: some thirty graph breaks, and torch 2.13 fails.
        """
        options = self.cfg.get('compile')
        model = self.model.module if is_model_wrapper(self.model) else self.model
        parts = {name: getattr(model, name, None) for name in COMPILED_PARTS}
        parts = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
        if not options or not parts:
            super()._maybe_compile(target)
            return
        for part in parts.values():
            compile_forward(part, **({} if options is True else options))
        if isinstance(model.data_preprocessor, ViewDataPreprocessor):
            model.data_preprocessor.compiled = True
        self.logger.info(f'torch.compile: {", ".join(parts)}. The first iteration takes a minute or more.')

    def resume(self, filename: str, *args, **kwargs) -> None:
        """Resume as mmengine does, and let the sampler, which was built before, go on with the checkpoint's seed too.

        Without a seed in the config it would shuffle, and seed the views, by a new one.
        """
        started_with, configured = self.seed, _learning_rates(self.optim_wrapper)
        try:
            super().resume(filename, *args, **kwargs)
        except UserError:
            raise
        except (ValueError, KeyError, TypeError) as error:  # of the optimizer's or a schedule's state
            raise _does_not_fit(filename, error) from error
        if _learning_rates(self.optim_wrapper) != configured:
            self.logger.warning(
                'optim_wrapper: the learning rate goes on as the checkpoint has it, not by the config, which differs: '
                'to begin with these weights and another one, give the checkpoint as --init.'
            )
        sampler = self.train_loop.dataloader.sampler
        if getattr(sampler, 'seed', None) == started_with:
            sampler.seed = self.seed

    def load_checkpoint(self, filename: str, *args, **kwargs) -> Dict:
        """Load as mmengine does, unless that would silently go on from other weights than training left."""
        if not self._resume:
            return super().load_checkpoint(filename, *args, **kwargs)
        try:
            checkpoint = super().load_checkpoint(filename, *args, **{**kwargs, 'strict': True})
        except RuntimeError as error:
            raise _does_not_fit(filename, error) from error
        missing = {'meta', 'message_hub'} - checkpoint.keys()
        if missing:
            raise UserError(
                f'resume: {filename} holds weights alone (no {", ".join(sorted(missing))}): give it as --init'
            )
        if 'ema_state_dict' in checkpoint and not any(isinstance(hook, EMAHook) for hook in self.hooks):
            raise UserError('resume: the checkpoint holds averaged weights: resume with ema, as the run was started')
        return checkpoint


def _learning_rates(optim_wrapper: OptimWrapper) -> List[float]:
    """At the start of training, of each group of parameters."""
    groups = getattr(optim_wrapper, 'param_groups', [])
    return [float(group.get('initial_lr', group['lr'])) for group in groups]


def _does_not_fit(filename: str, error: Exception) -> UserError:
    # torch's and mmengine's messages have a line for each key.
    lines = [' '.join(line.split()) for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if 'mismatch' in line or 'key' in line), lines[0] if lines else repr(error))
    more = f', and {len(lines) - 1} lines more' if len(lines) > 2 else ''
    return UserError(
        f'resume: {filename} does not fit this run ({reason[:200]}{more}): resume with the config and the flags of its '
        'start, or give it as --init to begin with its weights'
    )


def _ours(part: Any) -> Any:
    if isinstance(part, dict) and part.get('type') in _OURS:
        return {**part, 'type': _OURS[part['type']]}  # not its name, which other libraries' scopes do not find
    return part


def compile_forward(module: nn.Module, **options) -> None:
    """Let a module compile its forward pass when it is first used in training.

    In evaluation, with other image and batch sizes, it stays as it was. Hooks run outside.

    Args:
        module (nn.Module): Changed in place.
        options: Of ``torch.compile``.
    """
    for child in module.modules():
        for name, value in list(vars(child).items()):
            # mmpretrain's drop path rates: torch takes NumPy's scalars for tensors, on which no graph may branch.
            if isinstance(value, np.generic):
                setattr(child, name, value.item())
    eager, compiled = module.forward, torch.compile(module.forward, **options)

    def forward(*args, **kwargs):
        return (compiled if module.training else eager)(*args, **kwargs)

    module.forward = forward
