"""What the benchmarks share: flags, timing side by side, tables, and results as JSON."""

import argparse
import json
import os
import platform
import random
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Callable, Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, TypeVar

import numpy as np
import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdclpp import __version__
from mmdclpp.errors import UserError
from mmdclpp.utils.files import write_whole
from mmdclpp.utils.hardware import cpu_name

T = TypeVar('T')
_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = (
    'torch',
    'triton',
    'numpy',
    'timm',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmpretrain',
    'lightly',
    'inf_cl',
    'torchvision',
    'opencv-python-headless',
    'pillow',
    'simplejpeg',
    'kornia',
)
_WIDTH = 140  # of tables that no terminal shows


class ArgumentParser(argparse.ArgumentParser):
    """Tells of a wrong flag in one line, as every tool does of a user's mistake."""

    def error(self, message: str) -> None:
        """Raise a UserError instead of printing the usage."""
        raise UserError(f'{message}; --help lists the flags')


def positive_int(text: str) -> int:
    """A flag's value: a whole number of 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'{text!r} must be a whole number of 1 or more')
    return int(text)


def output_file(text: str) -> Path:
    """A flag's value: a file in a folder that exists, which is better known before the measurements."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f'{text!r} must be a file in a folder that exists')
    return path


def device_name(text: str) -> str:
    """A flag's value: ``cpu``, or ``cuda`` where there is a GPU."""
    if text not in ('cpu', 'cuda'):
        raise argparse.ArgumentTypeError(f'{text!r} must be cpu or cuda')
    if text == 'cuda' and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError('torch finds no GPU: use cpu')
    return text


def fill_in(args: argparse.Namespace, defaults: Mapping[str, Mapping[str, object]]) -> None:
    """Give the flags that the user left out what suits the device.

    Args:
        args (argparse.Namespace): The flags, ``device`` among them.
        defaults (Mapping[str, Mapping[str, object]]): Values by device and flag.
    """
    for name, value in defaults[args.device].items():
        if getattr(args, name) is None:
            setattr(args, name, value)


class Spread(NamedTuple):
    """Median and quartiles of repeated measurements, in milliseconds."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> 'Spread':
        """Summarise measurements."""
        return cls(*(float(value) for value in np.percentile(milliseconds, (50, 25, 75))))


class Stopwatch:
    """Adds up the time spent in named parts, in milliseconds; what a GPU was given to do is waited for.

    Args:
        device (str): ``'cpu'`` or ``'cuda'``.
        clock (Callable): Gives seconds. Defaults to ``time.perf_counter``.
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.device = device
        self.clock = clock
        self.elapsed: Dict[str, float] = {}

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Count what happens inside to ``part``."""
        self._wait()
        start = self.clock()
        yield
        self._wait()
        self.elapsed[part] = self.elapsed.get(part, 0.0) + (self.clock() - start) * 1e3

    def _wait(self) -> None:
        if self.device == 'cuda':
            torch.cuda.synchronize()


def progress(items: Collection[T], label: str) -> Iterator[T]:
    """Go through the items with a bar on stderr."""
    return iter(track(items, label, total=len(items), console=Console(stderr=True)))


def time_interleaved(
    cases: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int,
    device: str,
    label: str = 'timing',
    calls: Optional[Mapping[str, int]] = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Dict[str, List[float]]:
    """Time calls side by side, so that what else the machine does falls on all of them alike.

    Every round calls each case, in an order of its own, so that no case always follows the same other. A bar on
    stderr shows progress.

    Args:
        cases (Mapping[str, Callable]): What to call, by name.
        rounds (int): Rounds that count.
        warmup (int): Rounds before those.
        device (str): ``'cpu'`` or ``'cuda'``.
        label (str): Text before the bar. Defaults to 'timing'.
        calls (Mapping[str, int], optional): How often a round calls a case, if not once. Defaults to None.
        clock (Callable): Gives seconds. Defaults to ``time.perf_counter``.

    Returns:
        Dict[str, List[float]]: Milliseconds of each call that counts, by name.
    """
    once = [name for name in cases for _ in range((calls or {}).get(name, 1))]
    shuffle = random.Random(0)
    schedule = [(i, name) for i in range(warmup + rounds) for name in shuffle.sample(once, len(once))]
    times: Dict[str, List[float]] = {name: [] for name in cases}
    for i, name in progress(schedule, label):
        stopwatch = Stopwatch(device, clock)
        with stopwatch.time(name):
            cases[name]()
        if i >= warmup:
            times[name].append(stopwatch.elapsed[name])
    return times


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown; the first column is flush left, the others are flush right."""
    table = Table(box=MARKDOWN)
    for index, column in enumerate(columns):
        table.add_column(column, justify='right' if index else 'left', no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    console.print(f'\n{title}', markup=False)
    console.print(table)


def write_json(args: argparse.Namespace, results: object) -> None:
    """Write results, with the flags and what they were measured on, to ``args.json`` if that names a file.

    The file is there wholly or not at all.
    """
    if not args.json:
        return
    flags = {name: value for name, value in vars(args).items() if name not in ('json', 'plot')}
    report = {**_provenance(), 'flags': flags, 'results': results}
    write_whole(args.json, json.dumps(report, indent=2, allow_nan=False) + '\n')


def _provenance() -> Dict[str, object]:
    tool = Path(sys.argv[0]).resolve()
    tool = tool.relative_to(_ROOT) if tool.is_relative_to(_ROOT) else Path(tool.name)
    installed = {entry.metadata['Name']: entry.version for entry in metadata.distributions()}
    return {
        'command': shlex.join(['python', tool.as_posix(), *sys.argv[1:]]),
        'commit': _commit(),
        'date': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        'hardware': _hardware(),
        'versions': {
            'python': platform.python_version(),
            'mmdclpp': __version__,
            **{name: installed[name] for name in _PACKAGES if name in installed},
        },
    }


def _commit() -> Optional[str]:
    """The commit of the checkout, with ``-dirty`` where files differ from it; None outside a checkout."""
    if shutil.which('git') is None:
        return None
    command = ('git', '-C', str(_ROOT), 'describe', '--always', '--dirty', '--exclude=*', '--abbrev=12')
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def _hardware() -> Dict[str, object]:
    gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return {
        'cpu': cpu_name(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'gpu': gpu and gpu.name,
        'gpu_memory_gib': gpu and round(gpu.total_memory / 2**30, 1),
        'cuda': torch.version.cuda,
    }
