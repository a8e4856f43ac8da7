"""A progress bar with the time left, in place of a runner's log lines."""

import atexit
import sys
import time
from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmdclpp.registry import HOOKS


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
        self._bar: Optional[Progress] = None

    def before_train(self, runner: Runner) -> None:
        """Start the bar."""
        self._start = time.monotonic()
        self._done_before = runner.iter  # not 0 in a resumed run
        if is_main_process() and sys.stdout.isatty():
            columns = (TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            left = (TextColumn('left'), TimeRemainingColumn(), TextColumn('{task.fields[loss]}'))
            self._bar = Progress(*columns, *left)
            self._bar.start()
            atexit.register(self._bar.stop)  # gives the cursor back when training is interrupted
            self._task = self._bar.add_task(self.label, total=runner.max_iters, completed=runner.iter, loss='')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """Move the bar."""
        done, total = runner.iter + 1, runner.max_iters
        loss = f'loss {outputs["loss"].item():.3f}' if outputs and 'loss' in outputs else ''
        if self._bar is not None:
            self._bar.update(self._task, completed=done, loss=loss)
        elif is_main_process() and done * 10 // total > (done - 1) * 10 // total:
            elapsed = time.monotonic() - self._start
            left = elapsed / (done - self._done_before) * (total - done)
            print(
                f'{self.label}  {done * 100 // total:3d} %  {loss}  {_clock(elapsed)} gone, {_clock(left)} left',
                flush=True,
            )

    def after_train(self, runner: Runner) -> None:
        """Leave the full bar standing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _clock(seconds: float) -> str:
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'
