"""A run of a study: commands that are each done once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mmdclpp.apis.studies import run as module
from mmdclpp.apis.studies.run import Busy, Run, Step


def run_of(folder, **scripts):
    """A run of shell scripts, which start in its folder."""
    steps = [Step(name, ('sh', '-c', f'cd "{folder}" && {{ {script}; }}')) for name, script in scripts.items()]
    return Run('the run', folder, 'seed = 1\n', tuple(steps))


def test_each_step_is_done_once_in_order(tmp_path):
    run = run_of(tmp_path / 'run', train='cat config.py > order', test='echo tested >> order')
    assert run.status == 'unfinished'
    assert run.perform()
    assert run.perform()
    assert (run.folder / 'order').read_text() == 'seed = 1\ntested\n'
    assert run.status == 'done'
    assert run.error == ''
    assert [set(note) for note in run.notes().values()] == [{'seconds', 'commit'}] * 2


def test_a_step_that_fails_stops_the_run_is_named_with_its_log_and_tried_again(tmp_path):
    test = 'test -e data && exit; echo "error: no data"; echo; test -e tried && echo "still none"; touch tried; exit 3'
    run = run_of(tmp_path, train='echo trained >> train', test=test, report='true')
    assert not run.perform()
    log = tmp_path / 'test.log'
    assert run.status == 'failed'
    assert run.error == f'test ended with status 3: error: no data (log: {log})'
    assert [step.name for step in run.undone()] == ['test', 'report']

    (tmp_path / 'data').touch()
    assert run.perform()
    assert run.error == ''
    assert (tmp_path / 'train').read_text() == 'trained\n'
    assert log.read_text().count('no data\n') == 1  # what the first time said is kept


def test_a_note_has_the_time_of_all_attempts_and_the_commit_at_the_beginning(tmp_path, monkeypatch):
    times, commits = iter([0, 10, 100, 105]), iter(['old', 'new', 'newest'])
    monkeypatch.setattr(module.time, 'monotonic', lambda: next(times))
    monkeypatch.setattr(module, 'commit', lambda: next(commits))
    run = run_of(tmp_path, train='true')
    assert not run.perform(execute=lambda *_, **__: 1)

    def execute(*_, **__):
        assert run.status == 'unfinished'  # it is tried again
        return 0

    assert run.perform(execute=execute)
    assert run.notes() == {'train': {'seconds': 15.0, 'commit': 'new'}}


def test_a_step_whose_note_a_power_cut_left_empty_is_not_done(tmp_path):
    run = run_of(tmp_path, train='true')
    run.perform()
    (tmp_path / 'train.done').write_text('')
    assert run.status == 'unfinished'
    assert run.notes() == {}


def test_a_command_cannot_ask_for_input(tmp_path):
    assert run_of(tmp_path, train='test "$(readlink /proc/self/fd/0)" = /dev/null').perform()


def test_an_error_is_told_of_the_last_time_only(tmp_path):
    run = run_of(tmp_path, train='test -e tried && kill -9 $$; touch tried; echo "error: no data"; exit 2')
    assert not run.perform()
    assert not run.perform()
    assert run.error == f'train ended with status -9: no output (log: {tmp_path / "train.log"})'


def test_a_run_that_another_process_is_at_is_busy(tmp_path):
    run = run_of(tmp_path, train='true')

    def execute(command, **_):
        with pytest.raises(Busy, match='another process is at the run'):
            run.perform()
        return 0

    assert run.perform(execute=execute)


def test_a_command_that_outlives_its_study_keeps_the_run(tmp_path, repo):
    script = 'touch begun; until test -e open; do sleep 0.02; done; touch ended'
    study = f"""
from pathlib import Path
from mmdclpp.apis.studies.run import Run, Step
Run('the run', Path({str(tmp_path)!r}), '', (Step('train', ('sh', '-c', 'cd "{tmp_path}"; {script}')),)).perform()
"""
    process = subprocess.Popen([sys.executable, '-c', study], env={**os.environ, 'PYTHONPATH': str(repo)})
    _wait_for(tmp_path / 'begun')
    process.send_signal(signal.SIGKILL)
    process.wait()

    run = run_of(tmp_path, train='test -e ended')
    with pytest.raises(Busy):
        run.perform()
    (tmp_path / 'open').touch()
    _wait_for(tmp_path / 'ended')
    assert _once_free(run.perform)


def _wait_for(file):
    for _ in range(1000):
        if file.exists():
            return
        time.sleep(0.02)
    raise AssertionError(f'{file} did not come')


def _once_free(perform):
    for _ in range(1000):
        try:
            return perform()
        except Busy:
            time.sleep(0.02)
    raise AssertionError('the run stayed busy')
