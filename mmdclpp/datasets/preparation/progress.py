"""How far a long piece of work is, and the same work in several processes."""

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional, Sequence

import cv2
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mmdclpp.utils.progress import clock

_LEAST_SECONDS, _MOST_SECONDS = 3, 30  # between two lines, where there is no terminal


@contextmanager
def show_progress(
    label: str, total: Optional[int], done: int = 0, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left in a terminal, a line now and then elsewhere.

    Args:
        label (str): What is worked on.
        total (int, optional): Units in all; None where it is not known.
        done (int): Units done before. Defaults to 0.
        in_bytes (bool): Whether a unit is a byte, otherwise a file. Defaults to False.

    Yields:
        Callable[[int], None]: To be called with the number of units done since.
    """
    if not sys.stdout.isatty():
        lines = _Lines(label, total, done, in_bytes)
        yield lines.advance
        lines.print()
        return
    counts = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(), _FilesPerSecond())
    with Progress(TextColumn(label), BarColumn(), *counts, TimeRemainingColumn()) as bar:
        task = bar.add_task('', total=total, completed=done)
        yield lambda units: bar.advance(task, units)


class _FilesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f'{task.speed or 0:.0f}/s')


class _Lines:
    """Progress as lines of text: one at every tenth, more and fewer where that is slow and fast, and one at the end."""

    def __init__(self, label: str, total: Optional[int], done: int, in_bytes: bool) -> None:
        self.label, self.total, self.done, self.in_bytes = label, total, done, in_bytes
        self.before, self.start = done, time.monotonic()
        self.printed, self.tenth = self.start, self._tenth()

    def advance(self, units: int) -> None:
        self.done += units
        due = _LEAST_SECONDS if self._tenth() > self.tenth else _MOST_SECONDS
        if time.monotonic() - self.printed >= due:
            self.print()

    def print(self) -> None:
        self.printed, self.tenth = time.monotonic(), self._tenth()
        gone = max(self.printed - self.start, 1e-9)
        rate = (self.done - self.before) / gone
        count = self._count(self.done) + (f' of {self._count(self.total)}' if self.total else '')
        left = f', {clock((self.total - self.done) / rate)} left' if rate and self.total else ''
        print(f'{self.label}: {count}, {self._count(rate)}/s, {clock(gone)} gone{left}', flush=True)

    def _tenth(self) -> int:
        return self.done * 10 // self.total if self.total else 0

    def _count(self, units: float) -> str:
        return readable_size(units) if self.in_bytes else f'{units:,.0f}'


def readable_size(size: float) -> str:
    """A number of bytes as a person reads it: ``'19.3 GB'``."""
    for unit, bytes_ in (('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
        if size >= bytes_:
            return f'{size / bytes_:.1f} {unit}'
    return f'{size:.0f} B'


def apply_to_all(
    function: Callable[[Any], Any], items: Sequence[Any], label: str, workers: Optional[int] = None
) -> Iterator[Any]:
    """Yield ``function(item)`` for every item, in order, and show how far it is.

    Args:
        function (Callable): What is done; picklable, as are items and results.
        items (Sequence): What it is done to.
        label (str): Name of the work.
        workers (int, optional): Number of processes; 1 works in this one. Defaults to None, which means one a core.
    """
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    if workers <= 1 or not items:
        with show_progress(label, len(items)) as advance:
            for item in items:
                yield function(item)
                advance(1)
        return
    # Forked, as a fresh interpreter would take seconds to import the package; before the bar, which runs in a thread.
    with ProcessPoolExecutor(workers, multiprocessing.get_context('fork'), cv2.setNumThreads, (0,)) as pool:
        results = pool.map(function, items, chunksize=min(32, -(-len(items) // workers)))
        try:
            with show_progress(label, len(items)) as advance:
                for result in results:
                    yield result
                    advance(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what failed, or was interrupted, is told at once
            raise
