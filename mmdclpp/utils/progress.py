"""A progress bar with the time left."""

import atexit
import sys
import time
from typing import Optional

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """Show work as one bar; a context manager.

    In a terminal the bar moves; elsewhere a line is printed at every tenth of the way.

    Args:
        label (str): Text before the bar.
        total (int): Steps in all.
        done (int): Steps that were done before. Defaults to 0.
        visible (bool): Whether anything is shown: of several processes the first alone should. Defaults to True.
    """

    def __init__(self, label: str, total: int, done: int = 0, visible: bool = True) -> None:
        self.label, self.total, self.visible = label, total, visible
        self.done = self._done_before = done
        self._start = time.monotonic()
        self._bar: Optional[Progress] = None
        if visible and sys.stdout.isatty():
            columns = (TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            left = (TextColumn('left'), TimeRemainingColumn(), TextColumn('{task.fields[note]}'))
            # The time left from all that was done: a step may take minutes.
            self._bar = Progress(*columns, *left, speed_estimate_period=3600)
            self._bar.start()
            atexit.register(self._bar.stop)  # gives the cursor back when the program is interrupted
            self._task = self._bar.add_task(label, total=total, completed=done, note='')

    def update(self, done: int, note: str = '') -> None:
        """Move the bar.

        Args:
            done (int): Steps done so far.
            note (str): Text beside the bar. Defaults to ''.
        """
        before, self.done = self.done, done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
        elif self.visible and done * 10 // self.total > before * 10 // self.total:
            elapsed = time.monotonic() - self._start
            left = elapsed / (done - self._done_before) * (self.total - done)
            parts = (
                self.label,
                f'{done * 100 // self.total:3d} %',
                note,
                f'{clock(elapsed)} gone, {clock(left)} left',
            )
            print('  '.join(part for part in parts if part), flush=True)

    def close(self) -> None:
        """Leave the bar standing as it is."""
        if self._bar is not None:
            self._bar.stop()
            atexit.unregister(self._bar.stop)

    def __enter__(self) -> 'ProgressBar':
        return self

    def __exit__(self, *_) -> None:
        self.close()


def clock(seconds: float) -> str:
    """A time as ``m:ss``, from an hour on as ``h:mm:ss``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes}:{seconds:02d}' if minutes < 60 else f'{minutes // 60}:{minutes % 60:02d}:{seconds:02d}'
