"""Train in a child process, kill it at a random moment, resume; again and again. Prints what came of it as JSON.

    python -m tests.engine.kill_rounds IMAGES FOLDER ROUNDS [SEED]

This process never trains: it forks children from what it has imported once.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from mmengine.hooks import Hook

from mmdclpp.apis._cli import PREEMPTED_STATUS
from mmdclpp.errors import Preempted
from mmdclpp.registry import HOOKS

from .tiny_runs import FINAL, assert_same, run, saved


@HOOKS.register_module()
class Announces(Hook):
    """Tells the parent that training begins."""

    def __init__(self, pipe):
        self.pipe = pipe

    def before_train(self, runner):
        os.write(self.pipe, b'.')


# With a data worker, averaged weights, and updates of five batches, of which an epoch has four.
OPTIONS = {'train_dataloader.num_workers': 1, 'default_hooks.checkpoint.max_keep_ckpts': 2}
ARGUMENTS = dict(ema=0.1, accumulate=5)


def train_in_child(folder: Path, images: Path) -> int:
    """Start or resume a run; return the child's process id when it begins to train."""
    begun, begins = os.pipe()
    child = os.fork()
    if child:
        os.close(begins)
        os.read(begun, 1)
        os.close(begun)
        return child
    status = 1
    try:
        log = os.open(folder.parent / 'log.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        hooks = [dict(type='DrawsRandomly'), dict(type='Announces', pipe=begins)]
        run(folder, images, {**OPTIONS, 'custom_hooks': hooks}, resume=True, **ARGUMENTS)
        status = 0
    except Preempted:
        status = PREEMPTED_STATUS
    finally:
        os._exit(status)


def wait_for_a_half_written_file(folder: Path, seconds: float = 0.5) -> None:
    """Until one is there, or nothing is written for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not any(name.endswith('.tmp') for name in os.listdir(folder)):
        pass


def main(images: Path, folder: Path, rounds: int, seed: int = 0) -> None:
    draw = random.Random(seed)
    child, start = train_in_child(folder / 'whole', images), time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    length = time.monotonic() - start
    whole = saved(folder / 'whole')
    ends, finished, writing, lost = Counter(), 0, 0, 0
    while sum(ends.values()) < rounds:
        number = draw.choices((signal.SIGKILL, signal.SIGTERM), (3, 1))[0]
        child = train_in_child(folder / 'killed', images)
        time.sleep(draw.uniform(0, length))
        if draw.random() < 0.3:
            wait_for_a_half_written_file(folder / 'killed')
        os.kill(child, number)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            ends[status] += 1
        writing += bool(list((folder / 'killed').glob('.*.tmp')))
        if (folder / 'killed' / FINAL).exists():
            finished += 1
            try:
                assert_same(saved(folder / 'killed'), whole)
            except AssertionError as error:
                print(error, file=sys.stderr)
                lost += 1
            shutil.rmtree(folder / 'killed')
    print(json.dumps(dict(ends=ends, finished=finished, killed_while_writing=writing, lost=lost)))


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
