"""The shell launchers: two real processes on the CPU, and the commands they give to Slurm."""

import pytest

from .test_train import error_line


@pytest.fixture
def pretraining_config(repo, tiny_coco, tmp_path):
    """The demo's DenseCL++, with SyncBN, on ``tiny_coco``."""
    path = tmp_path / 'pretraining.py'
    path.write_text(f"""
_base_ = {str(repo / 'configs/densecl_pp/vit-demo_scenes.py')!r}
model = dict(neck=dict(global_projector=dict(norm_cfg=dict(type='SyncBN'))))
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        with_label=False,
        data_root={str(tiny_coco / 'images')!r},
        pipeline=_base_.train_dataloader.dataset.pipeline,
    ),
)
default_hooks = dict(logger=dict(interval=1))
""")
    return path


def test_two_processes_pretrain_checkpoint_and_resume(run, pretraining_config, tmp_path):
    work_dir = tmp_path / 'two processes'
    arguments = (pretraining_config, 2, '--work-dir', work_dir, '--cfg-options')
    first = run('tools/dist_train.sh', *arguments, 'train_cfg.max_epochs=1')
    assert first.returncode == 0, first.stderr
    assert 'Epoch(train) [1][2/2]' in first.stdout  # eight images by two a batch by two processes
    assert 'BN takes its place' in first.stdout + first.stderr

    second = run('tools/dist_train.sh', *arguments, 'train_cfg.max_epochs=2', '--resume')
    assert second.returncode == 0, second.stderr
    assert 'Epoch(train) [2][2/2]' in second.stdout
    assert 'Epoch(train) [1]' not in second.stdout
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_2.pth')


def test_a_mistake_in_every_process_is_told_once(run, classifier_config):
    result = run('tools/dist_train.sh', classifier_config, 2, '--resume', 'gone.pth')
    assert error_line(result) == 'error: resume: checkpoint gone.pth does not exist: check the path'


@pytest.mark.parametrize(
    ('script', 'arguments', 'usage'),
    [
        ('dist_train.sh', ['config.py'], 'CONFIG GPUS'),
        ('dist_test.sh', ['config.py', 'a.pth'], 'CONFIG CHECKPOINT GPUS'),
        ('dist_evaluate.sh', ['a.pth'], 'CHECKPOINT GPUS'),
        ('slurm_train.sh', ['partition', 'job', 'config.py'], 'PARTITION JOB_NAME CONFIG WORK_DIR'),
        ('slurm_test.sh', [], 'PARTITION JOB_NAME CONFIG CHECKPOINT'),
        ('slurm_evaluate.sh', ['partition', 'job'], 'PARTITION JOB_NAME CHECKPOINT'),
    ],
)
def test_missing_arguments_give_the_usage(run, script, arguments, usage):
    result = run(f'tools/{script}', *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')
    assert usage in result.stderr


@pytest.fixture
def recorder(tmp_path):
    """A folder whose ``srun`` and ``python`` print their arguments, one a line."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('srun', 'python'):
        (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ('script', 'third', 'passed_on'),
    [
        ('train', 'my run', ['c.py', '--work-dir', 'my run']),
        ('test', 'my a.pth', ['c.py', 'my a.pth']),
        ('evaluate', 'my b.pth', ['c.py', 'my b.pth']),
    ],
)
def test_slurm_gets_tasks_and_unsplit_arguments(run, repo, recorder, script, third, passed_on):
    environment = dict(PATH=f'{recorder}:/usr/bin:/bin', GPUS='4', SRUN_ARGS='--qos low')
    result = run(f'tools/slurm_{script}.sh', 'part', 'job', 'c.py', third, '--cfg-options', 'a="b c"', **environment)
    lines = result.stdout.splitlines()
    assert {'--ntasks=4', '--ntasks-per-node=4', '--gres=gpu:4', '--qos', 'low', '--partition=part'} <= set(lines)
    tool = lines.index(str(repo / 'tools' / f'{script}.py'))
    assert lines[tool + 1 :] == [*passed_on, '--cfg-options', 'a="b c"', '--launcher', 'slurm']


@pytest.mark.parametrize(
    ('environment', 'meeting'),
    [
        ({}, ['--standalone']),
        ({'PORT': '1234'}, ['--nnodes=1', '--node-rank=0', '--master-addr=127.0.0.1', '--master-port=1234']),
        (
            {'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': 'host'},
            ['--nnodes=2', '--node-rank=1', '--master-addr=host', '--master-port=29500'],
        ),
    ],
)
def test_nodes_meet_where_the_environment_says(run, recorder, environment, meeting):
    result = run('tools/dist_train.sh', 'my c.py', 8, '--amp', PYTHON=str(recorder / 'python'), **environment)
    lines = result.stdout.splitlines()
    assert lines[2 : 2 + len(meeting)] == meeting
    assert lines[2 + len(meeting)] == '--nproc-per-node=8'
    assert lines[-4:] == ['my c.py', '--amp', '--launcher', 'pytorch']


@pytest.mark.parametrize(
    ('script', 'before', 'passed_on'),
    [('test', ['c.py', 'my a.pth'], ['c.py', 'my a.pth']), ('evaluate', ['my a.pth'], ['my a.pth'])],
)
def test_dist_scripts_start_so_many_processes_of_their_tool(run, repo, recorder, script, before, passed_on):
    result = run(f'tools/dist_{script}.sh', *before, 3, '--more', PYTHON=str(recorder / 'python'))
    expected = ['--nproc-per-node=3', str(repo / f'tools/{script}.py'), *passed_on, '--more', '--launcher', 'pytorch']
    assert result.stdout.splitlines()[-len(expected) :] == expected
