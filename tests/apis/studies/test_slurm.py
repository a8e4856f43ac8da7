"""Studies under Slurm: a fake cluster runs the jobs as processes of this machine."""

import re
import sys
from pathlib import Path

import pytest

from mmdclpp.apis.studies import slurm
from mmdclpp.apis.studies.run import Run, Step
from mmdclpp.errors import UserError

pytest.importorskip('submitit')


class Cluster:
    """The fake cluster's folder."""

    def __init__(self, folder):
        self.folder = folder

    @property
    def submissions(self):
        """The scripts that it was given."""
        return [script.read_text() for script in sorted(self.folder.glob('*.sh'))]


@pytest.fixture
def cluster(tmp_path, repo, monkeypatch):
    folder, commands = tmp_path / 'cluster', tmp_path / 'bin'
    folder.mkdir()
    commands.mkdir()
    for name in ('sbatch', 'srun', 'squeue', 'scancel', 'scontrol'):
        command = commands / name
        fake = Path(__file__).with_name('fake_slurm.py')
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -SE "{fake}" {name} "$@"\n')
        command.chmod(0o755)
    monkeypatch.setenv('PATH', str(commands), prepend=':')
    monkeypatch.setenv('PYTHONPATH', str(repo))
    monkeypatch.setenv('FAKE_SLURM', str(folder))
    monkeypatch.setattr(slurm, '_PAUSE', 0.05)
    return Cluster(folder)


@pytest.fixture
def make_run(tmp_path):
    """Make a run of shell scripts, the steps ``step0``, ``step1``, ..., which start in its folder."""

    def make(name, *scripts):
        folder = tmp_path / 'runs' / name
        commands = [('sh', '-c', f'cd "{folder}" && {{ {script}; }}') for script in scripts]
        return Run(name, folder, '', tuple(Step(f'step{index}', command) for index, command in enumerate(commands)))

    return make


@pytest.fixture
def execute(tmp_path):
    """Give runs to a new executor; returns those that it called finished."""

    def execute(*runs, partition='gpu', **options):
        finished = []
        slurm.SlurmExecutor(2, 2, tmp_path / 'slurm', partition=partition, **options)(runs, finished.append)
        return finished

    return execute


def test_runs_are_tasks_of_one_array_and_each_is_done_or_tells_the_step_that_failed(cluster, make_run, execute):
    good, bad = make_run('good', 'true', 'true'), make_run('bad', 'true', 'echo "no memory"; exit 3', 'true')
    bad.folder.mkdir(parents=True)
    bad.fail('of an earlier time')
    finished = execute(good, bad, hours=1.5, cpus_per_gpu=3, options=dict(account='vision'))
    assert sorted(run.name for run in finished) == ['bad', 'good']
    assert good.status == 'done'
    assert bad.error == f'step1 ended with status 3: no memory (log: {bad.folder / "step1.log"})'
    (script,) = cluster.submissions
    options = set(re.findall('^#SBATCH --(.*)', script, re.MULTILINE))
    assert options >= {'array=0-1%2', 'partition=gpu', 'time=90', 'nodes=1', 'ntasks-per-node=1', 'gres=gpu:2'}
    assert options >= {'cpus-per-task=6', 'account=vision', 'requeue'}
    assert re.search('^srun .*--cpus-per-task=6', script, re.MULTILINE)


def test_a_run_that_slurm_ended_is_failed_with_slurms_state(cluster, make_run, execute):
    runs = [
        make_run('cancelled', 'scancel ${SLURM_ARRAY_JOB_ID}_2; touch ../gone; scancel $SLURM_JOB_ID; sleep 60'),
        make_run('of a lost node', f'{_until("../gone")}; scancel $SLURM_JOB_ID NODE_FAIL; sleep 60'),
        make_run('cancelled in the queue', 'true'),
    ]
    assert set(execute(*runs)) == set(runs)
    log = r'.* \(log: .*/slurm/\d+_\d_0_log.out\)'
    for run, told in zip(runs, (f'CANCELLED: {log}', f'NODE_FAIL: {log}', 'CANCELLED: it had not begun')):
        assert re.fullmatch(rf'Slurm job \d+_\d ended {told}', run.error)


def test_a_study_started_again_waits_for_the_jobs_and_submits_only_the_others(
    cluster, make_run, execute, monkeypatch, capsys
):
    old = [make_run(name, _until('../open')) for name in ('a', 'b')]
    new = make_run('new', 'touch ../open')
    with monkeypatch.context() as patch:
        patch.setattr(slurm.time, 'sleep', _interrupt)
        with pytest.raises(KeyboardInterrupt):
            execute(*old)
    ids = [(run.folder / 'slurm_job.txt').read_text() for run in old]
    assert f'scancel {ids[0]} {ids[1]}' in capsys.readouterr().err

    assert set(execute(*old, new)) == {*old, new}
    assert [run.status for run in (*old, new)] == ['done'] * 3
    assert len(cluster.submissions) == 2
    assert [(run.folder / 'slurm_job.txt').read_text() for run in old] == ids


def _interrupt(_):
    raise KeyboardInterrupt


def _until(file):
    return f'until test -e {file}; do sleep 0.02; done'


def test_a_run_at_its_time_limit_is_queued_again_and_goes_on(cluster, make_run, execute):
    # Slurm warns a job's processes with SIGUSR2; the script's parent is submitit.
    limited = 'test -e warned && exit; touch warned; kill -USR2 $PPID; sleep 60'
    run = make_run('run', 'echo once >> first', limited)
    assert execute(run) == [run]
    assert run.status == 'done'
    assert (run.folder / 'first').read_text() == 'once\n'
    assert len(cluster.submissions) == 1


def test_what_slurm_refuses_is_told_in_its_words(cluster, make_run, execute):
    with pytest.raises(UserError, match='invalid partition specified: nowhere'):
        execute(make_run('run', 'true'), partition='nowhere')


def test_a_queue_that_does_not_answer_is_asked_again(cluster, make_run, execute, monkeypatch):
    run = make_run('run', 'true')
    run.perform()
    (run.folder / 'slurm_job.txt').write_text('7')
    answers = iter([{'7': 'RUNNING'}, UserError('squeue failed'), {'7': 'COMPLETING'}, {}])

    def states():
        answer = next(answers)
        if isinstance(answer, UserError):
            raise answer
        return answer

    monkeypatch.setattr(slurm, '_states', states)
    with pytest.warns(UserWarning, match='squeue failed; trying again'):
        assert execute(run) == [run]
    assert run.status == 'done'
    assert not cluster.submissions


def test_without_submitit_or_slurm_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UserError, match='sbatch is not found'):
        slurm.SlurmExecutor(1, None, tmp_path, partition='gpu')
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(UserError, match='pip install -r requirements/slurm.txt'):
        slurm.SlurmExecutor(1, None, tmp_path, partition='gpu')
