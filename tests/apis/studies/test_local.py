"""Runs on this machine, several at a time."""

import os
import time

import pytest

from mmdclpp.apis.studies import local
from mmdclpp.apis.studies.run import Busy, Run, Step
from mmdclpp.errors import UserError


@pytest.fixture
def make_run(tmp_path):
    """Make a run of one shell script, which starts in the folder of all runs."""

    def make(name, script):
        command = ('sh', '-c', f'cd "{tmp_path}" && {{ {script}; }}')
        return Run(name, tmp_path / name, '', (Step('train', command),))

    return make


@pytest.fixture
def machine(monkeypatch):
    """Pretend that the machine has these cores and GPUs."""

    def pretend(cores, gpus=()):
        monkeypatch.setattr(local.os, 'sched_getaffinity', lambda _: set(range(cores)))
        monkeypatch.setattr(local, '_visible_gpus', lambda: list(gpus))

    return pretend


def execute(runs, *arguments):
    finished = []
    local.LocalExecutor(*arguments)(runs, finished.append)
    return finished


# Lets a script wait until two have begun; one by one they would never get on.
_TOGETHER = 'echo + >> log; until test $(grep -c + log) -ge 2; do sleep 0.02; done'


def test_two_jobs_are_two_runs_at_a_time_and_never_more(machine, make_run, tmp_path):
    machine(cores=4)
    runs = [make_run(str(index), f'{_TOGETHER}; sleep 0.1; echo - >> log') for index in range(5)]
    assert set(execute(runs, 1, 2)) == set(runs)
    assert all(run.status == 'done' for run in runs)
    running = [0]
    for line in (tmp_path / 'log').read_text().split():
        running.append(running[-1] + (1 if line == '+' else -1))
    assert max(running) == 2
    assert len(running) == 11


def test_each_job_has_gpus_and_threads_of_its_own(machine, make_run, tmp_path):
    machine(cores=12, gpus=['4', '5', '6', '7'])
    script = f'{_TOGETHER}; echo $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS >> given'
    execute([make_run(name, script) for name in 'ab'], 2)  # as many jobs as have GPUs
    assert sorted((tmp_path / 'given').read_text().splitlines()) == ['4,5 3', '6,7 3']


def test_more_gpus_than_there_are_is_a_mistake_of_the_user(machine):
    machine(cores=12, gpus=['0', '1', '2'])
    with pytest.raises(UserError, match='4 GPUs are needed and 3 are visible'):
        local.LocalExecutor(gpus=2, jobs=2)


def test_a_run_that_fails_does_not_stop_the_others(machine, make_run):
    machine(cores=1)
    runs = [make_run('first', 'true'), make_run('bad', 'exit 4'), make_run('last', 'true')]
    assert set(execute(runs)) == set(runs)
    assert [run.status for run in runs] == ['done', 'failed', 'done']


def test_a_run_that_cannot_even_begin_does_not_stop_the_others(machine, make_run, capfd):
    machine(cores=1)
    runs = [make_run('taken', 'true'), make_run('last', 'true')]
    runs[0].folder.write_text('a file in the place of its folder')
    assert execute(runs) == runs
    assert [run.status for run in runs] == ['unfinished', 'done']
    assert 'taken' in capfd.readouterr().err


def test_sigterm_ends_the_commands_with_all_their_processes_and_no_run_is_failed(machine, make_run):
    machine(cores=1)
    running, waiting = (
        make_run('running', f'sleep 60 & kill -TERM {os.getpid()}; wait; touch ended'),
        make_run('waiting', 'true'),
    )
    with pytest.raises(KeyboardInterrupt):
        execute([running, waiting])
    assert running.status == waiting.status == 'unfinished'
    assert not (waiting.folder / 'train.log').exists()
    _wait_until_free(running)  # `sleep` held the run as well
    assert not (running.folder.parent / 'ended').exists()  # it was not waited for


def test_a_run_that_another_process_is_at_is_waited_for_after_the_others_and_named(
    machine, make_run, monkeypatch, capfd
):
    machine(cores=1)
    monkeypatch.setattr(local, '_PAUSE', 0.01)
    times = iter([Busy, Busy])
    perform = Run.perform

    def busy_at_first(run, *arguments):
        for error in times if run.name == 'taken' else ():
            raise error
        return perform(run, *arguments)

    monkeypatch.setattr(Run, 'perform', busy_at_first)
    taken, free = make_run('taken', 'true'), make_run('free', 'true')
    assert execute([taken, free]) == [free, taken]
    assert taken.status == 'done'
    assert capfd.readouterr().out.count('waiting for taken: another process is at it') == 1


def _wait_until_free(run):
    for _ in range(500):
        try:
            run.perform(execute=lambda *_, **__: 0)
            return
        except Busy:
            time.sleep(0.02)
    raise AssertionError('a process still holds the run')
