"""What a run that goes on needs besides weights, optimizer and schedules: its place in the epoch and its draws."""

import random
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmdclpp.engine.unwrapped import unwrapped
from mmdclpp.errors import UserError

# Where it lies in a checkpoint's ``meta``.
RUN_STATE = 'run_state'


def run_state(runner: Runner) -> Dict[str, Any]:
    """What to save of a run, of all its processes, each of which has to call this.

    Args:
        runner (Runner): The run, after an iteration or an epoch.

    Returns:
        Dict[str, Any]: Numbers and tensors: ``batches`` (of the current epoch, that are done), ``batch`` (samples of
        an iteration, of all processes), ``validated`` (whether the validation that follows is done), ``random`` (the
        random states of each process) and ``gradients`` (of each process, those that have been accumulated for an
        update which is still to come).
    """
    return dict(
        batches=getattr(runner.train_loop, 'batches', 0),  # other loops count for themselves
        batch=_samples(runner),
        validated=False,
        random=all_gather_object(_random_states()),
        gradients=_of_all(_pending_gradients(runner)),
    )


def resumed_at(runner: Runner) -> Optional[int]:
    """How many batches of its epoch a run that goes on had done; None if it begins, or has gone on by now."""
    state = getattr(getattr(runner, 'train_loop', None), 'resumed', None)
    return None if state is None else state['batches']


def restore(runner: Runner, state: Dict[str, Any]) -> None:
    """Let this process go on with its own part of ``state``: random states and gradients.

    A run that goes on with another number of processes draws anew, which is logged.
    """
    rank, saved = get_rank(), len(state['random'])
    if saved != get_world_size():
        runner.logger.warning(
            f'The checkpoint is of {saved} processes, this run has {get_world_size()}: it goes on, but not with the '
            'random draws, nor with the gradients accumulated for the next update, of the run before.'
        )
        return
    _set_random_states(state['random'][rank])
    if state['gradients']:
        gradients = state['gradients'][rank]
        for name, parameter in unwrapped(runner).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)


def require_same_batches(runner: Runner, state: Dict[str, Any]) -> None:
    """Raise a UserError if batches are others than those of the run before: schedules would be out of step."""
    if state['batch'] != _samples(runner):
        raise UserError(
            f'resume: the checkpoint is of batches of {state["batch"]} samples, of all processes together, this run '
            f'has {_samples(runner)}: correct train_dataloader.batch_size or the number of processes, or give the '
            'checkpoint as --init to begin with its weights'
        )


def _samples(runner: Runner) -> int:
    return (runner.train_dataloader.batch_size or 1) * get_world_size()


def _random_states() -> Dict[str, Any]:
    version, words, gauss = random.getstate()
    algorithm, keys, *others = np.random.get_state()
    return dict(
        python=[version, list(words), gauss],
        # As a tensor: NumPy's arrays are none of what is loaded from checkpoints that nobody vouches for.
        numpy=[algorithm, torch.from_numpy(keys.astype(np.int64)), *others],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    )


def _set_random_states(states: Dict[str, Any]) -> None:
    version, words, gauss = states['python']
    random.setstate((version, tuple(words), gauss))
    algorithm, keys, *others = states['numpy']
    np.random.set_state((algorithm, keys.cpu().numpy().astype(np.uint32), *others))
    torch.set_rng_state(states['torch'].cpu())
    if states['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


def _pending_gradients(runner: Runner) -> Optional[Dict[str, torch.Tensor]]:
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return None
    model: nn.Module = unwrapped(runner)
    return {name: part.grad.cpu() for name, part in model.named_parameters() if part.grad is not None}


def _of_all(mine: Optional[dict]) -> Optional[List[dict]]:
    # They are large, and all processes accumulate alike: those without need not tell each other.
    return None if mine is None else all_gather_object(mine)
