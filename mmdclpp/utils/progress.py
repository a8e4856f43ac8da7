"""How far a long piece of work is: a bar with the time left, or lines where there is no terminal."""

import atexit
import os
import sys
import time
from typing import Optional

from rich.progress import BarColumn, Progress, TextColumn

_REDRAW_SECONDS = 0.1
_LEAST_SECONDS, _MOST_SECONDS = 3, 30  # between two lines
_TEXT_WIDTH = 80  # beside a bar of full length


def in_terminal() -> bool:
    """Whether a bar can move: stdout is a terminal that can go back to the start of a line."""
    return sys.stdout.isatty() and os.environ.get('TERM') not in ('dumb', 'unknown')


class ProgressBar:
    """Show work as one bar; a context manager.

    In a terminal the bar stays at the bottom, and what is printed meanwhile scrolls above it. Elsewhere a line is
    printed at every tenth of the way, more and fewer where that is slow and fast, and one at the end.

    Args:
        label (str): What is worked on.
        total (int, optional): Steps in all; None where it is not known.
        done (int): Steps that were done before. Defaults to 0.
        visible (bool): Whether anything is shown: of several processes the first alone should. Defaults to True.
        unit (str, optional): What a step is: ``'file'`` or ``'byte'``, shown with their number and rate. Defaults to
            None, which shows how many percent are done.
    """

    def __init__(
        self, label: str, total: Optional[int], done: int = 0, visible: bool = True, unit: Optional[str] = None
    ) -> None:
        self.label, self.total, self.visible, self.unit = label, total, visible, unit
        self.done = self._done_before = self._done_shown = done
        self._start = self._shown = time.monotonic()
        self._note = ''
        self._bar: Optional[Progress] = None
        if visible and in_terminal():
            columns = (TextColumn('{task.description}'), BarColumn(), TextColumn('{task.fields[text]}', markup=False))
            # Drawn by this thread alone: a process that is forked while another one draws could wait for it for ever.
            self._bar = Progress(*columns, auto_refresh=False)
            columns[1].bar_width = min(40, max(10, self._bar.console.width - _TEXT_WIDTH))
            self._task = self._bar.add_task(label, total=total, completed=done, text='')
            self._bar.start()
            atexit.register(self._bar.stop)  # gives the cursor back when the program is interrupted

    def update(self, done: int, note: str = '') -> None:
        """Move the bar.

        Args:
            done (int): Steps done so far.
            note (str): Text beside the bar. Defaults to ''.
        """
        self.done, self._note = done, note
        if not self.visible:
            return
        waited = time.monotonic() - self._shown
        due = waited >= _REDRAW_SECONDS if self._bar is not None else waited >= self._seconds_to_next_line()
        if due or done == self.total:
            self._show()

    def advance(self, steps: int = 1) -> None:
        """Move the bar by some steps."""
        self.update(self.done + steps)

    def close(self) -> None:
        """Leave the bar standing as it is."""
        if self._bar is not None:
            self._bar.stop()
            atexit.unregister(self._bar.stop)

    def _seconds_to_next_line(self) -> float:
        tenths = [done * 10 // self.total if self.total else 0 for done in (self._done_shown, self.done)]
        return _LEAST_SECONDS if tenths[0] < tenths[1] else _MOST_SECONDS

    def _show(self) -> None:
        self._shown, self._done_shown = time.monotonic(), self.done
        parts = [self._amount(), self._note, self._times()]
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, text='  '.join(filter(None, parts)), refresh=True)
        else:
            print('  '.join(filter(None, [self.label, *parts])), flush=True)

    def _amount(self) -> str:
        if self.unit is None:
            return f'{self.done * 100 // self.total:3d} %' if self.total else ''
        of = f' of {self._count(self.total)}' if self.total else ''
        return f'{self._count(self.done)}{of}, {self._count(self._rate())}/s'

    def _times(self) -> str:
        gone, rate = self._shown - self._start, self._rate()
        left = f'{clock(max(self.total - self.done, 0) / rate)} left, ' if rate and self.total else ''
        return f'{left}{clock(gone)} gone'

    def _rate(self) -> float:
        # From all that was done: a step may take minutes.
        return (self.done - self._done_before) / max(self._shown - self._start, 1e-9)

    def _count(self, steps: float) -> str:
        return readable_size(steps) if self.unit == 'byte' else f'{steps:,.0f}'

    def __enter__(self) -> 'ProgressBar':
        return self

    def __exit__(self, kind, *_) -> None:
        if self.visible and kind is None and self.done != self._done_shown:
            self._show()
        self.close()


def clock(seconds: float) -> str:
    """A time as ``m:ss``, from an hour on as ``h:mm:ss``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes}:{seconds:02d}' if minutes < 60 else f'{minutes // 60}:{minutes % 60:02d}:{seconds:02d}'


def readable_size(size: float) -> str:
    """A number of bytes as a person reads it: ``'19.3 GB'``."""
    for unit, bytes_ in (('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
        if size >= bytes_:
            return f'{size / bytes_:.1f} {unit}'
    return f'{size:.0f} B'
