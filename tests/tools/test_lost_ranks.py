"""Two processes, of which one is killed, stopped or told to leave: how the job ends, and how it goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

LIMIT = 200  # seconds that stand for "it does not hang"


@pytest.fixture
def start(repo, classifier_config, tmp_path):
    """``start(epochs)`` starts a job, and returns it and its ranks' process ids when the first checkpoint is there."""
    jobs = []

    def start(epochs: int, **environment: str):
        with open(classifier_config, 'a') as config:
            config.write("default_hooks['rank_watch'] = dict(type='mmdclpp.RankWatchHook', beat_timeout=4)\n")
            config.write("default_hooks['checkpoint'] = dict(type='CheckpointHook', interval=1, max_keep_ckpts=2)\n")
        options = ['--work-dir', 'out', '--no-validate', '--cfg-options', f'train_cfg.max_epochs={epochs}']
        job = subprocess.Popen(
            ['bash', repo / 'tools' / 'dist_train.sh', classifier_config, '2', *options],
            cwd=tmp_path,
            env={
                **os.environ,
                'PYTHON': sys.executable,
                'OMP_NUM_THREADS': '1',
                'CUDA_VISIBLE_DEVICES': '',
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        jobs.append(job)
        end = time.monotonic() + LIMIT
        while not (tmp_path / 'out' / 'last_checkpoint').exists():
            assert job.poll() is None and time.monotonic() < end, job.communicate()
            time.sleep(0.05)
        return job, ranks_of(job)

    yield start
    for job in jobs:
        if job.poll() is None:
            for process in ranks_of(job).values():
                os.kill(process, signal.SIGKILL)
            job.kill()
            job.communicate()


def ranks_of(job: subprocess.Popen) -> dict:
    """The process ids of a job's ranks."""
    with open(f'/proc/{job.pid}/task/{job.pid}/children') as file:
        children = [int(child) for child in file.read().split()]
    ranks = {}
    for child in children:
        with suppress(ProcessLookupError, FileNotFoundError), open(f'/proc/{child}/environ') as file:  # it may end now
            if found := re.search(r'(?:^|\0)RANK=(\d+)', file.read()):
                ranks[int(found[1])] = child
    return ranks


def told(stderr: str) -> list:
    """The lines that are for the user."""
    return [line for line in stderr.splitlines() if line.startswith(('error: ', 'stopped by ', 'restart '))]


@pytest.mark.parametrize('rank', [1, pytest.param(0, marks=pytest.mark.soak)])
def test_a_killed_rank_is_named_and_a_restart_goes_on_from_the_last_checkpoint(start, rank):
    job, ranks = start(20, MAX_RESTARTS='1')
    os.kill(ranks[rank], signal.SIGKILL)
    stdout, stderr = job.communicate(timeout=LIMIT)
    assert job.returncode == 0, stderr
    assert 'Traceback' not in stderr
    lines = told(stderr)
    assert lines[0].startswith(f'error: rank {rank} (host ') and f'process {ranks[rank]}) has died' in lines[0]
    assert lines[1:] in (['restart 1 of 1'], [lines[1], 'restart 1 of 1'])
    resumed = int(re.search(r'resumed epoch: (\d+)', stdout)[1])
    assert 1 <= resumed and f'Epoch(train) [{resumed + 1}]' in re.sub(' +', ' ', stdout.split('resumed epoch')[1])
    assert 'Saving checkpoint at 20 epochs' in stdout


@pytest.mark.soak
def test_a_job_told_to_end_saves_and_exits_with_75(start, tmp_path):
    job, _ = start(4000, MAX_RESTARTS='1')
    job.send_signal(signal.SIGUSR1)
    _, stderr = job.communicate(timeout=LIMIT)
    (line,) = told(stderr)  # and no restart
    assert job.returncode == 75
    saved = (tmp_path / 'out' / 'last_checkpoint').read_text()
    assert line.startswith('stopped by ') and f'{saved} is saved' in line
    assert 'Traceback' not in stderr


@pytest.mark.soak
@pytest.mark.parametrize('rank', [0, 1])
def test_a_stopped_rank_is_named_and_the_job_ends_with_69(start, rank):
    job, ranks = start(4000)
    os.kill(ranks[rank], signal.SIGSTOP)
    _, stderr = job.communicate(timeout=LIMIT)
    assert job.returncode == 69
    assert told(stderr)[0].startswith(f'error: rank {rank} (host ')
    assert f'process {ranks[rank]}) has not answered for 4 s, last seen at iteration ' in told(stderr)[0]
    assert len(told(stderr)) == 1 and 'Traceback' not in stderr


@pytest.mark.soak
@pytest.mark.parametrize('rank', [0, 1])
def test_a_slow_rank_is_waited_for(start, rank):
    job, ranks = start(60)  # whose output the pipe holds
    while rank in ranks_of(job):
        for number in (signal.SIGSTOP, signal.SIGCONT):
            with suppress(ProcessLookupError):  # it has ended
                os.kill(ranks[rank], number)
            time.sleep(0.5)
    _, stderr = job.communicate()
    assert (job.returncode, told(stderr)) == (0, [])


@pytest.mark.soak
def test_a_rank_told_to_leave_takes_the_other_along_and_a_restart_goes_on_at_that_iteration(start):
    job, ranks = start(100, MAX_RESTARTS='1')
    os.kill(ranks[0], signal.SIGTERM)
    stdout, stderr = job.communicate(timeout=LIMIT)
    assert job.returncode == 0
    stopped, again = told(stderr)
    assert stopped.startswith('stopped by ') and again == 'restart 1 of 1'
    assert re.search(r'resumed epoch: \d+, iter: (\d+)', stdout)[1] == re.search(r'after iteration (\d+)', stopped)[1]


@pytest.mark.soak
def test_a_mistake_is_not_tried_again(run, classifier_config):
    result = run('tools/dist_train.sh', classifier_config, 2, '--resume', 'gone.pth', MAX_RESTARTS='3')
    assert result.returncode == 2
    assert told(result.stderr) == ['error: resume: checkpoint gone.pth does not exist: check the path']


# What a fake srun does on each call: exit with a status, and leave the note of ranks that saved.
SRUN = """#!/bin/bash
echo "srun ${SLURM_RESTART_COUNT:-0} $*" >> "$CALLS"
read -r status note < <(sed -n "$(grep -c ^srun "$CALLS")p" "$PLAN")
[ -z "$note" ] || echo "stopped by $note after iteration 3" >> "$MMDCLPP_PREEMPTED_NOTE"
exit "$status"
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >> "$CALLS"
"""


@pytest.fixture
def slurm(run, tmp_path):
    """``slurm(plan)`` runs slurm_train.sh in a fake Slurm; returns its status and the calls."""

    def slurm(plan, **environment):
        folder = tmp_path / 'bin'
        folder.mkdir()
        for name, content in (('srun', SRUN), ('scontrol', SCONTROL)):
            (folder / name).write_text(content)
            (folder / name).chmod(0o755)
        (tmp_path / 'plan').write_text('\n'.join(plan) + '\n')
        environment.update(
            PATH=f'{folder}:{os.environ["PATH"]}', CALLS=str(tmp_path / 'calls'), PLAN=str(tmp_path / 'plan')
        )
        result = run('tools/slurm_train.sh', 'part', 'job', 'c.py', 'out', **environment)
        calls = (tmp_path / 'calls').read_text().splitlines()
        # In a batch job it is sbatch that asks for the signal.
        assert ('--signal=USR1@120' in calls[0]) == ('SLURM_JOB_ID' not in environment)
        return result.returncode, [' '.join(call.split()[: 3 if call.startswith('scontrol') else 2]) for call in calls]

    return slurm


@pytest.mark.parametrize(
    ('plan', 'status', 'calls'),
    [
        (['0'], 0, ['srun 0']),
        (['75 SIGUSR1', '137 SIGUSR1', '0'], 0, ['srun 0', 'srun 1', 'srun 2']),  # srun killed a task that had saved
        (['75 SIGTERM'], 75, ['srun 0']),  # cancelled
        (['69', '69', '69'], 69, ['srun 0', 'srun 1', 'srun 2']),
        (['2'], 2, ['srun 0']),
    ],
)
def test_slurm_runs_go_on_in_a_new_job(slurm, plan, status, calls):
    assert slurm(plan, MAX_RESTARTS='2') == (status, calls)


@pytest.mark.parametrize(
    ('plan', 'count', 'status', 'calls'),
    [
        ('75 SIGUSR1', '7', 75, ['srun 7', 'scontrol requeue 4711']),
        ('75 SIGTERM', '0', 75, ['srun 0']),
        ('69', '1', 69, ['srun 1', 'scontrol requeue 4711']),
        ('69', '2', 69, ['srun 2']),
        ('2', '0', 2, ['srun 0']),
    ],
)
def test_a_batch_job_is_queued_again(slurm, plan, count, status, calls):
    assert slurm([plan], MAX_RESTARTS='2', SLURM_JOB_ID='4711', SLURM_RESTART_COUNT=count) == (status, calls)
