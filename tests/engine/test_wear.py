"""What only many rounds or many iterations bring to light. Run by `make soak`."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from mmdclpp.errors import Preempted
from mmdclpp.registry import HOOKS

from .tiny_runs import FINAL, assert_same, saved
from .tiny_runs import run as tiny_run

ITERATIONS, EPOCHS = 20_000, 10
pytestmark = pytest.mark.soak


def test_200_times_killed_at_random_and_resumed_a_run_is_the_uninterrupted_one_bit_for_bit(tiny_coco, repo, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'tests.engine.kill_rounds', tiny_coco / 'images', tmp_path, '200'],
        cwd=repo,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    print(result)
    assert result['lost'] == 0, done.stderr
    assert sum(result['ends'].values()) == 200
    assert {'-9', '75'} <= set(result['ends']) <= {'-9', '75', '-15'}  # -15: while Python ends
    assert result['finished'] >= 50
    assert result['killed_while_writing'] >= 10


def in_two_processes(rank, folder, images, port, stop):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    torch.set_num_threads(1)
    options = {'train_dataloader.batch_size': 1, 'train_dataloader.num_workers': 1}
    # Another rank than the one that writes is told to leave.
    with suppress(Preempted):
        stop = stop if rank == 1 else None
        tiny_run(folder, images, options, stop, resume=True, launcher='pytorch', ema=0.1, accumulate=5)


def test_two_processes_of_which_one_is_told_to_leave_go_on_as_if_it_had_not_been(tiny_coco, tmp_path):
    def run(name, stop=None):
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = str(server.getsockname()[1])
        arguments = (tmp_path / name, tiny_coco / 'images', port, stop)
        torch.multiprocessing.spawn(in_two_processes, arguments, nprocs=2)

    run('whole')
    for iteration in (2, 7):
        run('stopped', stop=(iteration, True))
        assert not (tmp_path / 'stopped' / FINAL).exists()
    run('stopped')
    whole, stopped = (saved(tmp_path / name) for name in ('whole', 'stopped'))
    assert len(whole['meta']['run_state']['random']) == 2
    assert_same(stopped, whole)


@HOOKS.register_module(force=True)
class Measures(Hook):
    """Notes every 500 iterations what the process and its data workers take."""

    def __init__(self):
        self.rows = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if (runner.iter + 1) % 500 == 0:
            own = Path('/proc/self')
            children = [
                Path('/proc', child) for file in own.glob('task/*/children') for child in file.read_text().split()
            ]
            memory = sum(_status(process, 'VmRSS') for process in (own, *children)) / 1024
            files = len(list((own / 'fd').iterdir()))
            self.rows.append((memory, files, _status(own, 'Threads'), len(children)))


def _status(process, name):
    lines = (process / 'status').read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def test_20_000_iterations_take_no_more_files_or_threads_than_2_000_and_hardly_more_memory(tiny_coco, tmp_path):
    images = sorted(map(str, (tiny_coco / 'images').rglob('*.jpg')))
    listing = tmp_path / 'images.txt'
    listing.write_text('\n'.join(images * (ITERATIONS // EPOCHS * 2 // len(images))))
    options = {
        'train_dataloader.dataset.ann_file': str(listing),
        'train_dataloader.num_workers': 1,
        'train_dataloader.persistent_workers': True,
        'train_cfg.max_epochs': EPOCHS,
        'default_hooks.logger.interval': 50,
        'default_hooks.checkpoint.max_keep_ckpts': 2,
        'custom_hooks': [dict(type='Measures')],
    }
    runner = tiny_run(tmp_path / 'run', '', options)
    assert runner.iter == ITERATIONS
    rows = next(hook for hook in runner.hooks if isinstance(hook, Measures)).rows
    early, late = rows[3:8], rows[-5:]
    print('MiB, files, threads, processes:', early[0], late[-1])
    for name, start, end in zip(('files', 'threads', 'processes'), *(list(zip(*part))[1:] for part in (early, late))):
        assert max(end) <= max(start), name
    growth = sorted(row[0] for row in late)[2] - sorted(row[0] for row in early)[2]
    assert growth < 16, f'{growth:.1f} MiB: more than 1 kB an iteration'
