"""The model in a runner."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrapped(runner: Runner) -> nn.Module:
    """The runner's model, without what distributes it over processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
