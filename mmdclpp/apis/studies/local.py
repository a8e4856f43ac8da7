"""Runs on this machine, several at a time."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set

import torch

from mmdclpp.apis.studies.run import Busy, Run
from mmdclpp.errors import UserError

_PAUSE = 5.0  # seconds between looks at a run that another process is at
_GRACE = 30.0  # seconds for a command to end by itself


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
        waiting, told = deque(runs), set()
        futures: Dict[Future, Run] = {}
        with terminable(), ThreadPoolExecutor(self.jobs) as pool:
            try:
                while waiting or futures:
                    while waiting and len(futures) < self.jobs:
                        run = waiting.popleft()
                        futures[pool.submit(self._perform, run)] = run
                    # A signal that comes just before a wait is seen only after it: no wait is long.
                    done, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in done:
                        run = futures.pop(future)
                        if future.result():
                            finished(run)
                            continue
                        waiting.append(run)  # the others first
                        if run.folder not in told:
                            print(f'waiting for {run.name}: another process is at it', flush=True)
                            told.add(run.folder)
            except BaseException:
                self._stop()
                raise

    def _perform(self, run: Run) -> bool:
        """Do a run, whatever comes of it; False if another process is at it."""
        environment = self._environments.get()
        try:
            run.perform(environment, self._execute)
        except _Interrupted:
            pass
        except Busy:  # a study that was killed left it running, or another study shares it
            self._stopping.wait(_PAUSE)
            return False
        except (OSError, UserError) as error:  # such as a full disk, which may not even hold the note of it
            print(f'{run.name}: {error}', file=sys.stderr, flush=True)
            with suppress(OSError, UserError):
                run.fail(str(error))
        finally:
            self._environments.put(environment)
        return True

    def _execute(self, command: Sequence[str], **keywords) -> int:
        # A session of its own: Ctrl-C reaches this process alone, which then ends the whole group.
        child = subprocess.Popen(command, start_new_session=True, **keywords)
        self._children.add(child)
        try:
            if self._stopping.is_set():
                _end(child, signal.SIGTERM)
            status = child.wait()
            if self._stopping.is_set():
                raise _Interrupted
            return status
        finally:
            self._children.discard(child)

    def _stop(self) -> None:
        self._stopping.set()
        children = list(self._children)
        for child in children:
            _end(child, signal.SIGTERM)
        for child in children:
            try:
                child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                _end(child, signal.SIGKILL)


def _end(child: subprocess.Popen, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(child.pid, sign)


@contextmanager
def terminable() -> Iterator[None]:
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
