"""The same work on many items, in several processes, with a bar that shows how far it is."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Callable, Iterator, Optional, Sequence

import cv2

from mmdclpp.utils.progress import ProgressBar


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
        with ProgressBar(label, len(items), unit='file') as bar:
            for item in items:
                yield function(item)
                bar.advance()
        return
    # Forked, as a fresh interpreter would take seconds to import the package.
    with ProcessPoolExecutor(workers, multiprocessing.get_context('fork'), cv2.setNumThreads, (0,)) as pool:
        results = pool.map(function, items, chunksize=min(32, -(-len(items) // workers)))
        try:
            with ProgressBar(label, len(items), unit='file') as bar:
                for result in results:
                    yield result
                    bar.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what failed, or was interrupted, is told at once
            raise
