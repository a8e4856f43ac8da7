"""The model in a runner."""

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrapped(runner: Runner) -> nn.Module:
    """The runner's model, without what distributes it over processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def evaluated(runner: Runner) -> nn.Module:
    """The model whose weights a checkpoint written now would hold: the average of an ``EMAHook``, if there is one."""
    for hook in runner.hooks:
        # Before its first step an average holds the weights of before their initialisation.
        if isinstance(hook, EMAHook) and hook.ema_model.steps > 0:
            return hook.ema_model.module
    return unwrapped(runner)
