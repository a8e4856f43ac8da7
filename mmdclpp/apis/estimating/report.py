"""An estimate, as a person reads it."""

import math
from typing import Iterator, List, Tuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .estimate import RANGE, Estimate

_PURPOSES = {
    'weights': 'weights and buffers',
    'optimizer': "optimizer's state",
    'averaged weights': 'averaged weights (EMA)',
    'accumulated gradients': 'gradients of other batches',
    'gradient buckets': "DDP's gradient buckets",
    'step': 'activations, gradients, losses',
    'reserved': 'CUDA, NCCL, gaps: assumed',
}


def print_estimate(found: Estimate, title: str) -> None:
    """Print the figures as a table, then what follows from them."""
    table = Table.grid(padding=(0, 3), pad_edge=False)
    for section in (_memory_rows, _time_rows, _loading_rows):
        table.add_row('')
        for label, figure in section(found):
            table.add_row(Text(label), Text(figure))
    table.add_row('')
    console = Console()
    for part in (title, table, *conclusions(found)):
        console.print(part, soft_wrap=isinstance(part, str), markup=False, highlight=False)


def conclusions(found: Estimate) -> List[str]:
    """In plain lines: whether it fits, what limits it, and what to do."""
    return [*_on_settings(found), *_on_memory(found), *_on_time(found)]


def _memory_rows(found: Estimate) -> Iterator[Tuple[str, str]]:
    yield 'memory', f'{_size(found.bytes)} of {_size(found.device.bytes)}'
    for purpose, label in _PURPOSES.items():
        if found.memory[purpose]:
            yield f'  {label}', _size(found.memory[purpose])
    if found.measured is not None:
        measured = found.measured.peak_bytes
        yield '    measured', f'{_size(measured)}; predicted is {found.step.peak_bytes / measured:.2f} of it'
    yield 'each image more', _size(found.bytes_per_image)


def _time_rows(found: Estimate) -> Iterator[Tuple[str, str]]:
    for dtype, count in found.step.flops.items():
        yield f'operations, {str(dtype).removeprefix("torch.")}', f'{count / 1e12:,.3g} TFLOP a step'
    yield f'a step at {found.utilisation:.0%} of the peak', f'{_duration(found.predicted_seconds)}, which is assumed'
    if found.measured is not None:
        yield '    measured', _duration(found.measured.seconds)
    if found.gpus > 1:
        yield 'gradients averaged over GPUs', f'{_size(found.gradient_bytes)} a step'
        yield 'gathered for the losses', f'{_size(found.step.gathered_bytes)} a step'
    yield 'images', f'{found.loading.images:,} ({found.loading.counted})'
    yield 'iterations of an epoch', f'{found.iterations:,}'
    yield 'time of an epoch', _duration(found.epoch_seconds)
    yield f'time of {found.epochs:,.4g} epochs', _duration(found.total_seconds)


def _loading_rows(found: Estimate) -> Iterator[Tuple[str, str]]:
    yield 'images that computing takes', f'{found.images_needed:,.0f} a second'
    yield 'images that a core loads', f'{found.loading.rate:,.0f} a second, measured here: {found.loading.loaded}'
    yield 'cores needed for loading', f'{found.cores_needed:,}; the config has {found.workers:,} workers'


def _on_settings(found: Estimate) -> Iterator[str]:
    if found.settings:
        yield (
            f'For your images: {found.batch_size} a GPU, {found.epochs:g} epochs, {found.workers} workers in all, '
            'as tools/train.py --data chooses, without --init.'
        )


def _on_memory(found: Estimate) -> Iterator[str]:
    if found.fits:
        more = 'and so do' if found.largest_batch == RANGE * found.batch_size else 'up to about'
        yield f'It fits, {more} {found.largest_batch:,} images a GPU.'
        return
    largest = found.largest_batch
    yield f'It does not fit: {f"about {largest:,} images a GPU do" if largest else "not even 2 images a GPU do"}.'
    remedies = [] if found.amp else ['--amp']
    remedies.append('--grad-checkpointing')
    yield f'Try {" and ".join(remedies)}, more GPUs with fewer images each, or smaller crops.'
    if largest:
        steps = math.ceil(found.batch_size * found.accumulate / largest)
        yield (
            f'train_dataloader.batch_size={largest} with --accumulate {steps} has as many images an update, but fewer '
            'negatives: each batch is contrasted within itself.'
        )


def _on_time(found: Estimate) -> Iterator[str]:
    if found.images_loaded < found.images_needed:
        computing = _duration(found.iterations * found.step_seconds)
        yield (
            f'Loading is the limit: computing alone takes {computing} an epoch. Raise train_dataloader.num_workers to '
            'the number of cores a GPU, and keep smaller images on the disk.'
        )
    yield 'Sending between GPUs, the jitter and blur of views, evaluations and checkpoints come on top.'
    if found.measured is None:
        yield 'On the machine itself, --measure takes real steps.'


def _size(size: float) -> str:
    return f'{size / 2**30:,.2f} GiB' if size >= 2**30 else f'{size / 2**20:,.1f} MiB'


def _duration(seconds: float) -> str:
    for unit, length in (('days', 86400), ('h', 3600), ('min', 60)):
        if seconds >= 2 * length:
            return f'{seconds / length:.1f} {unit}'
    return f'{seconds:.1f} s' if seconds >= 1 else f'{seconds * 1e3:.0f} ms'
