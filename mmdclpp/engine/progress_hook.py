"""A progress bar with the time left, in place of a runner's log lines."""

from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdclpp.registry import HOOKS
from mmdclpp.utils.progress import ProgressBar


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show training as one bar; ``log_level='ERROR'`` in the config keeps log lines out of its way.

    In a terminal the bar moves; elsewhere a line is printed at every tenth of the way.

    Args:
        label (str): Text before the bar. Defaults to 'training'.
    """

    priority = 'VERY_LOW'

    def __init__(self, label: str = 'training') -> None:
        self.label = label

    def before_train(self, runner: Runner) -> None:
        """Start the bar."""
        # In a resumed run the first iteration is not 0.
        self._bar = ProgressBar(self.label, runner.max_iters, runner.iter, visible=is_main_process())

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """Move the bar."""
        loss = f'loss {outputs["loss"].item():.3f}' if outputs and 'loss' in outputs else ''
        self._bar.update(runner.iter + 1, loss)

    def after_train(self, runner: Runner) -> None:
        """Leave the full bar standing."""
        self._bar.close()
