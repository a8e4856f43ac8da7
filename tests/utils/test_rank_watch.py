"""Processes that watch each other: who is dead, silent, failed or behind is named, and nobody else."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from mmdclpp.utils.rank_watch import Place, RankWatch

NAMES = ['rank 0', 'rank 1', 'rank 2']
SOON = 30  # seconds that stand for "it does not hang"

# A process that takes part, does a step every tenth of a second, and notes what it hears.
MEMBER = """
import json, os, sys, time
from mmdclpp.utils.rank_watch import Place, RankWatch

rank, steps, arguments = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
watch = RankWatch(
    rank, ['rank 0', 'rank 1', 'rank 2'], arguments['beat'], arguments['progress'],
    tell=lambda message: print('told', message, flush=True),
    leave=lambda message: (print('heard', message, flush=True), os._exit(69)),
    warn=lambda message: print('warned', message, flush=True),
)
server = watch.listen() if rank == 0 else None
if server is not None:
    print(server.getsockname()[1], flush=True)
watch.start('secret', ['localhost'], arguments.get('port', 0), server)
for step in range(steps):
    watch.place = Place((step,), f'at step {step}')
    time.sleep(0.1)
watch.close(failed='fail' in arguments)
print('done', flush=True)
"""


@pytest.fixture
def start(repo):
    """``start(steps, beat=..., progress=...)`` starts three processes, each for so many steps."""
    processes = []

    def member(rank: int, steps: int, **arguments) -> subprocess.Popen:
        command = [sys.executable, '-c', MEMBER, str(rank), str(steps), json.dumps(arguments)]
        environment = {**os.environ, 'PYTHONPATH': str(repo)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        processes.append(process)
        return process

    def start(steps, beat=0.0, progress=0.0, **of_rank_1):
        first = member(0, steps[0], beat=beat, progress=progress)
        port = int(first.stdout.readline())
        member(1, steps[1], beat=beat, progress=progress, port=port, **of_rank_1)
        member(2, steps[2], beat=beat, progress=progress, port=port)
        return processes

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ends(processes):
    """What each says until its end, and its status."""
    return [(process.communicate(timeout=SOON)[0].splitlines(), process.returncode) for process in processes]


@pytest.mark.parametrize('lost', [0, 1])
@pytest.mark.parametrize(
    ('number', 'beat', 'said'), [(signal.SIGKILL, 2, 'has died'), (signal.SIGSTOP, 2, 'has not answered for 2 s')]
)
def test_the_others_end_and_name_who_is_killed_or_stopped(start, lost, number, beat, said):
    processes = start([600, 600, 600], beat=beat)
    time.sleep(1.5)  # they meet, and work
    processes[lost].send_signal(number)
    others = [process for process in processes if process is not processes[lost]]
    heard = ends(others)
    assert [status for _, status in heard] == [69, 69]
    for lines, _ in heard:
        assert lines[-1].startswith(f'heard rank {lost} {said}, last seen at step ')
    if lost != 0:  # whose place rank 0 takes: it tells, the others hear
        assert [lines[0].split()[0] for lines, _ in heard] == ['told', 'heard']


def test_slow_processes_are_left_in_peace(start):
    processes = start([40, 40, 40], beat=2, progress=2)
    for _ in range(6):
        for slow in processes[:2]:
            slow.send_signal(signal.SIGSTOP)
            time.sleep(0.4)
            slow.send_signal(signal.SIGCONT)
    assert ends(processes) == [(['done'], 0)] * 3


def test_a_job_suspended_as_a_whole_goes_on(start):
    processes = start([30, 30, 30], beat=1, progress=1)
    time.sleep(1)
    for number, pause in ((signal.SIGSTOP, 3), (signal.SIGCONT, 0)):
        for process in processes:
            process.send_signal(number)
        time.sleep(pause)
    assert ends(processes) == [(['done'], 0)] * 3


def test_processes_may_finish_at_different_times(start):
    assert ends(start([15, 1, 30], beat=2)) == [(['done'], 0)] * 3


def test_a_process_that_fails_takes_the_others_along(start):
    heard = ends(start([600, 5, 600], beat=0, fail=True))
    assert heard[1] == (['done'], 0)
    for rank in (0, 2):
        assert heard[rank][1] == 69
        assert heard[rank][0][-1].startswith('heard rank 1 has ended with an error, last seen at step ')


class Job:
    """Three members in this process, whose places are set by hand."""

    def __init__(self, progress: float, key: str = 'secret') -> None:
        server = RankWatch.listen()
        self.heard = [SimpleNamespace(told=[], left=threading.Event(), warned=threading.Event()) for _ in NAMES]
        self.port = server.getsockname()[1]
        self.members = []
        for rank, ear in enumerate(self.heard):
            watch = RankWatch(
                rank,
                NAMES,
                0.0,
                progress,
                tell=ear.told.append,
                leave=lambda message, ear=ear: ear.left.set(),
                warn=lambda message, ear=ear: ear.warned.set(),
            )
            watch.place = Place((5, 1), 'in its step')
            watch.start('secret' if rank < 2 else key, ['localhost'], self.port, server if rank == 0 else None)
            self.members.append(watch)

    def close(self) -> None:
        for watch in self.members:
            watch.close()


@pytest.mark.parametrize(
    ('behind', 'said'),
    [
        ([1], 'rank 1 hangs: no progress for 1 s waiting for data, and the others wait'),
        ([0, 2], 'rank 0, rank 2 hang: no progress for 1 s waiting for data, and the others wait'),
        ([0, 1, 2], 'rank 0, rank 1, rank 2 hang: no progress for 1 s waiting for data: look at'),
    ],
)
def test_who_is_behind_is_named_when_none_goes_on(behind, said):
    job = Job(progress=1.0)
    for rank in behind:
        job.members[rank].place = Place((5, 0), 'waiting for data')
    assert all(ear.left.wait(SOON) for ear in job.heard)
    job.close()
    assert [message.startswith(said) for message in job.heard[0].told] == [True]
    assert not job.heard[1].told and not job.heard[2].told


def test_a_checkpoint_is_finished_before_the_end():
    job = Job(progress=0.5)
    job.members[0].place = Place((5, 1), 'saving', saving=True)
    while not job.heard[0].told:
        time.sleep(0.05)
    assert not job.heard[0].left.wait(0.5) and not job.heard[1].left.is_set()
    job.members[0].place = Place((5, 2), 'saved')
    assert all(ear.left.wait(SOON) for ear in job.heard)
    job.close()


def test_nobody_is_let_in_without_the_key():
    job = Job(progress=0.0, key='guessed')
    assert job.heard[2].warned.wait(SOON)
    job.close()
    assert not any(ear.told for ear in job.heard)


def test_neither_thread_nor_socket_stays():
    threads, files = threading.active_count(), len(os.listdir('/proc/self/fd'))
    for _ in range(3):
        job = Job(progress=0.0)
        time.sleep(0.2)
        job.close()
    assert (threading.active_count(), len(os.listdir('/proc/self/fd'))) == (threads, files)
