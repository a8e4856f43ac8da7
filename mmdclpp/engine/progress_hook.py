"""A progress bar with the time left, below a runner's log lines or in their place."""

import sys
from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmdclpp.registry import HOOKS
from mmdclpp.utils.progress import ProgressBar, in_terminal


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show training as one bar: epoch, iteration, loss, learning rate, and the time left.

    In a terminal the bar stays at the bottom; log lines and warnings scroll above it. Elsewhere a line is printed at
    every tenth of the way, or nothing. ``log_level='ERROR'`` in the config leaves the bar alone. Of several processes
    the first shows it.

    Args:
        label (str): Text before the bar. Defaults to 'training'.
        lines (bool): Whether to print lines where there is no terminal: False leaves these to the log.
            Defaults to True.
    """

    priority = 'VERY_LOW'

    def __init__(self, label: str = 'training', lines: bool = True) -> None:
        self.label = label
        self.lines = lines
        self._bar: Optional[ProgressBar] = None

    def before_train(self, runner: Runner) -> None:
        """Start the bar."""
        self._handlers = [handler for handler in runner.logger.handlers if _stream(handler) is sys.stdout]
        visible = is_main_process() and (self.lines or in_terminal())
        # In a resumed run the first iteration is not 0.
        self._bar = ProgressBar(self.label, runner.max_iters, runner.iter, visible)
        self._follow_stdout()  # which while there is a bar writes above it

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """Move the bar."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            where = f'epoch {runner.epoch + 1}/{runner.max_epochs}, {batch_idx + 1}/{len(runner.train_dataloader)}'
        else:
            where = f'iteration {runner.iter + 1}/{runner.max_iters}'
        scalars = runner.message_hub.log_scalars  # mmengine's, which has them on the CPU already
        told = [
            f'{name} {scalars[f"train/{name}"].current():{form}}'
            for name, form in (('loss', '.3f'), ('lr', '.2e'))
            if f'train/{name}' in scalars
        ]
        self._bar.update(runner.iter + 1, '  '.join([where, *told]))

    def after_train(self, runner: Runner) -> None:
        """Leave the full bar standing."""
        self.close()

    def close(self) -> None:
        """Leave the bar as it is; needed only where training ended with an error."""
        if self._bar is not None:
            self._bar.close()
            self._follow_stdout()

    def _follow_stdout(self) -> None:
        for handler in self._handlers:
            handler.setStream(sys.stdout)


def _stream(handler):
    return getattr(handler, 'stream', None)
