"""What data_path.py measures."""

import argparse
import os
import random
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence

import cv2
import numpy as np
import torch
from _report import Spread, Stopwatch, progress, time_interleaved
from _view_pipelines import Pipeline
from torch.utils.data import DataLoader, Dataset

from mmdclpp.apis import train
from mmdclpp.apis._runner import load_config
from mmdclpp.datasets import UnlabelledImages
from mmdclpp.datasets.decode_image import decode_image
from mmdclpp.datasets.transforms.load_views import BACKENDS
from mmdclpp.errors import UserError

HEIGHT, WIDTH = 480, 640  # of most of COCO's photographs
QUALITY = 98  # enlarged photographs are smooth: at less they would be far smaller than COCO's
_POLL_SECONDS = 0.002


class Files(NamedTuple):
    """The image files that every contender reads, and what they are on average."""

    paths: List[str]
    enlarged: int
    mean_bytes: float
    mean_height: float
    mean_width: float


def prepare_files(source: str, count: int, folder: str) -> Files:
    """Take ``count`` images of a folder, evenly spaced; enlarge those smaller than 640 x 480 px, into ``folder``."""
    found = [sample['img_path'] for sample in UnlabelledImages(data_prefix=source)]
    chosen = [found[int(index)] for index in np.linspace(0, len(found), min(count, len(found)), endpoint=False)]
    paths, sizes, enlarged = [], [], 0
    for number, path in enumerate(progress(chosen, 'preparing images')):
        data = Path(path).read_bytes()
        image = decode_image(data)
        scale = HEIGHT / min(image.shape[:2])
        if scale > 1:
            enlarged += 1
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            data = cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))[1].tobytes()
            path = os.path.join(folder, f'{number:06d}.jpg')
            Path(path).write_bytes(data)
        paths.append(path)
        sizes.append((len(data), *image.shape[:2]))
    means = (float(mean) for mean in np.mean(sizes, axis=0))
    return Files([paths[index % len(paths)] for index in range(count)], enlarged, *means)


@contextmanager
def one_core() -> Iterator[None]:
    """Meanwhile this process has one core and one thread; seeds are always the same."""
    cores, threads, cv2_threads = os.sched_getaffinity(0), torch.get_num_threads(), cv2.getNumThreads()
    os.sched_setaffinity(0, {max(cores)})
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)


def measure_core(pipelines: Dict[str, Pipeline], paths: Sequence[str], args: argparse.Namespace) -> Dict[str, dict]:
    """Milliseconds of one core that an image takes.

    Returns:
        Dict[str, dict]: By pipeline and part (``loader``, ``device``, ``total``): median, quartiles and the least.
    """
    elapsed: Dict[str, List[Dict[str, float]]] = {name: [] for name in pipelines}

    def case(name: str, pipeline: Pipeline) -> Callable[[], None]:
        def go_through() -> None:
            stopwatch = Stopwatch('cpu', time.process_time)
            for start in range(0, len(paths), args.batch_size):
                with stopwatch.time('loader'):
                    batch = pipeline.collate([pipeline.load(path) for path in paths[start : start + args.batch_size]])
                with stopwatch.time('device'):
                    pipeline.finish(batch)
            elapsed[name].append(stopwatch.elapsed)

        return go_through

    cases = {name: case(name, pipeline) for name, pipeline in pipelines.items()}
    with one_core():
        time_interleaved(cases, args.rounds, args.warmup, 'cpu', 'on one core')
    results = {}
    for name, rounds in elapsed.items():
        parts = {part: [taken[part] for taken in rounds[args.warmup :]] for part in ('loader', 'device')}
        parts['total'] = [sum(pair) for pair in zip(*parts.values())]
        results[name] = {part: _each(values, len(paths)) for part, values in parts.items()}
    return results


def measure_calls(cases: Dict[str, Callable[[], object]], number: int, args: argparse.Namespace) -> Dict[str, dict]:
    """Milliseconds of one core for each of the ``number`` images that a call computes: median, quartiles, least."""
    with one_core():
        times = time_interleaved(cases, args.rounds, args.warmup, 'cpu', 'on one core', clock=time.process_time)
    return {name: _each(values, number) for name, values in times.items()}


def _each(milliseconds: Sequence[float], number: int) -> dict:
    values = [value / number for value in milliseconds]
    return dict(Spread.of(values)._asdict(), least=min(values))


class _Samples(Dataset):
    def __init__(self, load: Callable[[str], object], paths: Sequence[str]) -> None:
        self.load, self.paths = load, paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> object:
        return self.load(self.paths[index])


def _loader(pipeline: Pipeline, paths: Sequence[str], batch_size: int, num_workers: int) -> DataLoader:
    return DataLoader(
        _Samples(pipeline.load, paths),
        batch_size,
        num_workers=num_workers,
        collate_fn=pipeline.collate,
        persistent_workers=True,
        multiprocessing_context='fork',
    )


def measure_machine(pipelines: Dict[str, Pipeline], paths: Sequence[str], args: argparse.Namespace) -> Dict[str, dict]:
    """Images a second from a data loader's workers: median and quartiles."""
    # Enough that the start of the queue and its end weigh little.
    number = -(-len(paths) // args.batch_size) * args.batch_size * args.num_workers
    paths = [paths[index % len(paths)] for index in range(number)]
    loaders = {
        name: _loader(pipeline, paths, args.batch_size, args.num_workers) for name, pipeline in pipelines.items()
    }

    def case(loader: DataLoader) -> Callable[[], None]:
        def go_through() -> None:
            for _ in loader:
                pass

        return go_through

    cases = {name: case(loader) for name, loader in loaders.items()}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # as the configs have it for workers
    times = time_interleaved(cases, args.rounds, args.warmup, 'cpu', f'{args.num_workers} workers')
    cv2.setNumThreads(threads)
    results = {}
    for name, milliseconds in times.items():
        time_taken = Spread.of(milliseconds)
        # The longest time is the lowest speed.
        speeds = (number * 1e3 / value for value in (time_taken.median, time_taken.upper, time_taken.lower))
        results[name] = dict(zip(Spread._fields, speeds))
    return results


def measure_memory(pipelines: Dict[str, Pipeline], paths: Sequence[str], args: argparse.Namespace) -> Dict[str, dict]:
    """The most memory that a loader's worker has to itself at a time, in bytes: median and quartiles."""
    # Its memory grows for some batches.
    paths = [paths[index % len(paths)] for index in range(16 * args.batch_size)]
    schedule = [(name, pipeline) for _ in range(args.rounds) for name, pipeline in pipelines.items()]
    peaks: Dict[str, List[int]] = {name: [] for name in pipelines}
    cv2.setNumThreads(0)
    for name, pipeline in progress(schedule, 'memory'):
        batches = iter(_loader(pipeline, paths, args.batch_size, num_workers=1))
        (worker,) = batches._workers
        with _peak_of_private_memory(worker.pid) as peak:
            for _ in batches:
                pass
        peaks[name].append(peak[0])
    return {name: Spread.of(values)._asdict() for name, values in peaks.items()}


@contextmanager
def _peak_of_private_memory(process: int) -> Iterator[List[int]]:
    """Watch a process's pages that no other process has, from here, where its own work does not stand in the way.

    Finished batches do not count: they lie in shared memory until they are fetched, which is a matter of time.
    """
    rollup, peak, stop = Path(f'/proc/{process}/smaps_rollup'), [0], Event()

    def watch() -> None:
        while not stop.wait(_POLL_SECONDS):
            rows = (line.split() for line in rollup.read_text().splitlines()[1:])
            kilobytes = {row[0]: int(row[1]) for row in rows}
            private = kilobytes['Private_Clean:'] + kilobytes['Private_Dirty:'] - kilobytes['Pss_Shmem:']
            peak[0] = max(peak[0], private * 1024)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def measure_waiting(paths: Sequence[str], args: argparse.Namespace) -> Dict[str, dict]:
    """What the runner's own log says of the time that a training step waits for its batch.

    Returns:
        Dict[str, dict]: By backend of ``LoadViews``: ``step`` and ``waiting``, in milliseconds, and ``share``.
    """
    return {backend: _train(backend, paths, args) for backend in BACKENDS}


def _train(backend: str, paths: Sequence[str], args: argparse.Namespace) -> dict:
    config = load_config(args.config)
    loader = config.get('train_dataloader', {})
    dataset = loader.get('dataset', {})
    while 'datasets' in dataset:
        dataset = dataset.datasets[0]
    if not dataset.get('pipeline') or dataset.pipeline[0].type != 'LoadViews':
        raise UserError(f'--config {args.config} does not begin with LoadViews: take a config of pretraining')
    dataset.pipeline[0].backend = backend
    loader.batch_size = args.batch_size or loader.batch_size
    loader.num_workers = args.num_workers
    # Batches that were loaded before the first step are no measure of how fast they come.
    skipped = max(10, 4 * args.num_workers)
    steps = skipped + args.iters
    with TemporaryDirectory() as folder:
        listing = Path(folder) / 'images.txt'
        listing.write_text(''.join(f'{paths[index % len(paths)]}\n' for index in range(steps * loader.batch_size)))
        loader.dataset = dict(type='UnlabelledImages', ann_file=str(listing), pipeline=dataset.pipeline)
        config.train_cfg = dict(by_epoch=True, max_epochs=1)
        config.default_hooks.checkpoint = None
        config.log_level = 'ERROR'
        runner = train(config, work_dir=folder, validate=False, amp=args.amp)
        scalars = runner.message_hub.log_scalars
        step, waiting = (float(np.mean(scalars[f'train/{name}'].data[0][skipped:])) for name in ('time', 'data_time'))
    return dict(step=1e3 * step, waiting=1e3 * waiting, share=waiting / step, batch_size=loader.batch_size)
