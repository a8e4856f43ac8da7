"""Runs on this machine, several at a time."""

import os
import queue
import signal
import subprocess
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Sequence, Set

import torch

from mmdclpp.apis.studies.run import Busy, Run
from mmdclpp.errors import UserError

_PAUSE = 5.0  # seconds between looks at a run that another process is at


class _Interrupted(Exception):
    """A command was ended together with the study, which is no failure of its run."""


class LocalExecutor:
    """Do runs here, each with GPUs or CPU threads of its own.

    Args:
        gpus (int): GPUs, or without any processes, of a run.
        jobs (int, optional): Runs at a time. Defaults to None: as many as have GPUs; without any, one a core.

    Raises:
        UserError: If there are not so many GPUs.
    """

    def __init__(self, gpus: int = 1, jobs: Optional[int] = None) -> None:
        cores = len(os.sched_getaffinity(0))
        devices = _visible_gpus()
        if devices and gpus * (jobs or 1) > len(devices):
            raise UserError(
                f'gpus={gpus}, jobs={jobs or 1}: {gpus * (jobs or 1)} GPUs are needed and {len(devices)} are visible: '
                'lower them, or use --slurm'
            )
        self.jobs = jobs or max(1, (len(devices) or cores) // gpus)
        self._environments: queue.SimpleQueue = queue.SimpleQueue()
        for job in range(self.jobs):
            environment = {'OMP_NUM_THREADS': str(max(1, cores // (self.jobs * gpus)))}
            if devices:
                environment['CUDA_VISIBLE_DEVICES'] = ','.join(devices[job * gpus : (job + 1) * gpus])
            self._environments.put({**os.environ, **environment})
        self._children: Set[subprocess.Popen] = set()
        self._stopping = threading.Event()

    def __call__(self, runs: Sequence[Run], finished: Callable[[Run], None]) -> None:
        """Do all runs; after each, call ``finished`` in this thread. Interrupted, it ends what it started."""
        with _terminable(), ThreadPoolExecutor(self.jobs) as pool:
            try:
                futures = {pool.submit(self._perform, run): run for run in runs}
                while futures:
                    # A signal that comes just before a wait is seen only after it: no wait is long.
                    done, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in done:
                        run = futures.pop(future)
                        future.result()
                        finished(run)
            except BaseException:
                self._stop()
                pool.shutdown(cancel_futures=True)
                raise

    def _perform(self, run: Run) -> None:
        environment = self._environments.get()
        try:
            while not self._stopping.is_set():
                try:
                    run.perform(environment, self._execute)
                    return
                except _Interrupted:
                    return
                except Busy:  # a study that was killed left it running, or another study shares it
                    self._stopping.wait(_PAUSE)
        finally:
            self._environments.put(environment)

    def _execute(self, command: Sequence[str], **keywords) -> int:
        # A session of its own: Ctrl-C reaches this process alone, which then ends the whole group.
        child = subprocess.Popen(command, start_new_session=True, **keywords)
        self._children.add(child)
        try:
            if self._stopping.is_set():
                _terminate(child)
            status = child.wait()
            if self._stopping.is_set():
                raise _Interrupted
            return status
        finally:
            self._children.discard(child)

    def _stop(self) -> None:
        self._stopping.set()
        for child in list(self._children):
            _terminate(child)


def _terminate(child: subprocess.Popen) -> None:
    try:
        os.killpg(child.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just ended


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _visible_gpus() -> List[str]:
    count = torch.cuda.device_count()
    named = os.environ.get('CUDA_VISIBLE_DEVICES', '')
    return named.split(',')[:count] if named else [str(index) for index in range(count)]
