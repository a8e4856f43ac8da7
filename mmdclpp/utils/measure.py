"""How much memory a call takes."""

import os
from contextlib import contextmanager
from typing import Callable, Iterator, List

import torch


def allocations(function: Callable[[], object]) -> List[int]:
    """What a call allocates (positive) and frees (negative) on the CPU, in bytes, in the order it happens.

    Args:
        function (Callable): Called once, without arguments. What it returns is let go before the count ends.
    """
    with (
        _quiet(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile,
    ):
        function()
    events = profile.profiler.kineto_results.events()
    memory = [event for event in events if event.name() == '[memory]']
    return [event.nbytes() for event in sorted(memory, key=lambda event: event.start_ns())]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the error stream, to which the profiler writes at every start and stop, below Python's ``sys.stderr``."""
    kept = os.dup(2)
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def peak_memory(function: Callable[[], object], device: str = 'cpu') -> int:
    """The most memory that a call holds at a time beyond what was held before it, in bytes.

    Args:
        function (Callable): Called once, without arguments.
        device (str): ``'cpu'``, measured by PyTorch's profiler, or ``'cuda'``, by its allocator. Defaults to 'cpu'.
    """
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    held = peak = 0
    for size in allocations(function):
        held += size
        peak = max(peak, held)
    return peak
