"""End a job whose processes wait for one that is dead or hangs."""

import logging
import multiprocessing
import os
import secrets
import socket
import sys
from typing import Any, Dict, Optional

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed
from torch.distributed.distributed_c10d import default_pg_nccl_timeout, default_pg_timeout

from mmdclpp.errors import Preempted, UserError
from mmdclpp.registry import HOOKS
from mmdclpp.utils.rank_watch import LOST_STATUS, Place, RankWatch

# What a process is at in an iteration, in this order.
_DATA, _STEP, _EPOCH, _VALIDATION = range(4)
_WORDS = ('waiting for data', 'in its step', 'in the hooks after an epoch', 'in validation')
# A data worker sees within five seconds that its process has died, and until then keeps its connections open.
_CAUSE = 6.0


@HOOKS.register_module()
class RankWatchHook(Hook):
    """Watch the processes of a distributed training, and end them all when one of them is dead or hangs.

    torch.distributed lets the others wait for it, for ten or thirty minutes, then fails without naming it. Here each
    process sends a sign of life every second, from a thread. If one is dead, silent, or has left with an error, or if
    no process goes on, one line on stderr and in the log names it, with its host, process and place, and every process
    exits with status 69, after a checkpoint that it is just writing. ``utils/rank_watch.py`` does it.

    ``mmdclpp.apis.train`` registers the hook, unless the config has one with other limits:
    ``default_hooks=dict(rank_watch=dict(type='RankWatchHook', beat_timeout=300))``. A single process is not watched.
    Training runs within it: ``with RankWatchHook.of(runner): runner.train()``.

    Args:
        beat_timeout (float): Seconds without a sign of life after which a process is taken for lost: it is stopped, or
            its machine or network is down. 0 for no limit. Defaults to 120.
        progress_timeout (float, optional): Seconds without progress of any process after which those that are behind
            are told to hang; progress is an iteration, of training or validation, or a part of one. An evaluation
            by a hook has to end within them. 0 for no limit. Defaults to None: nine tenths of what torch.distributed
            grants a collective operation, ``env_cfg.dist_cfg.timeout`` or else 600 s with NCCL, 1800 s with gloo.

    Raises:
        UserError: If a limit is negative or no number.
    """

    priority = 'LOWEST'  # what other hooks do counts to where a process is

    def __init__(self, beat_timeout: float = 120.0, progress_timeout: Optional[float] = None) -> None:
        for name, value in dict(beat_timeout=beat_timeout, progress_timeout=progress_timeout).items():
            if not (isinstance(value, (int, float)) and value >= 0) and (name, value) != ('progress_timeout', None):
                raise UserError(f'RankWatchHook: {name}={value!r} must be a number of seconds, or 0 for no limit')
        self.beat_timeout = beat_timeout
        self.progress_timeout = progress_timeout
        self._watch: Optional[RankWatch] = None

    @classmethod
    def of(cls, runner: Runner) -> 'RankWatchHook':
        """The hook of a runner, registered if the config has none."""
        for hook in runner.hooks:
            if isinstance(hook, cls):
                return hook
        hook = cls()
        runner.register_hook(hook)
        return hook

    def before_train(self, runner: Runner) -> None:
        """Let the processes meet, and watch from now on."""
        progress_timeout = _granted(runner) * 0.9 if self.progress_timeout is None else self.progress_timeout
        if get_world_size() == 1 or not (self.beat_timeout or progress_timeout):
            return
        rank, server = get_rank(), None
        mine = dict(host=socket.gethostname(), process=os.getpid())
        if rank == 0:
            server = RankWatch.listen()
            mine.update(port=server.getsockname()[1], key=secrets.token_hex(), address=os.environ.get('MASTER_ADDR'))
        everyone = all_gather_object(mine)
        first, hosts = everyone[0], [each['host'] for each in everyone]
        addresses = ['localhost'] if first['host'] == mine['host'] else []
        addresses += [address.strip('[]') for address in (first['address'], first['host']) if address]
        # If rank 0 is lost, which would tell the others, one process a machine speaks.
        speaks = rank == 0 or rank == hosts.index(mine['host'], 1)
        self._logger = runner.logger
        self._watch = RankWatch(
            rank,
            [f'rank {number} (host {each["host"]}, process {each["process"]})' for number, each in enumerate(everyone)],
            self.beat_timeout,
            progress_timeout,
            tell=self._tell if speaks else _say_nothing,
            leave=_leave,
            warn=runner.logger.error,  # which is shown by ranks other than 0 too
        )
        self._at(runner.iter + 1, _DATA)
        self._watch.start(first['key'], addresses, first['port'], server)

    def before_train_epoch(self, runner: Runner) -> None:
        """It waits for data."""
        self._at(runner.iter + 1, _DATA)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """It has them."""
        self._at(runner.iter + 1, _STEP)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """It waits for data, or the epoch is over."""
        if self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._at(runner.iter + 1, _EPOCH)
        else:
            self._at(runner.iter + 2, _DATA)

    def after_train_epoch(self, runner: Runner) -> None:
        """What followed the epoch, such as a checkpoint, is done."""
        self._at(runner.iter, _EPOCH, 1)

    def before_val_epoch(self, runner: Runner) -> None:
        """It validates."""
        self._at(runner.iter, _VALIDATION)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """It goes on."""
        self._at(runner.iter, _VALIDATION, batch_idx + 1)

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Training goes on."""
        self._at(runner.iter + 1, _DATA)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """It writes a checkpoint, until the next of these."""
        if self._watch is not None:
            position, told, _ = self._watch.place
            self._watch.place = Place(position, f'{told}, saving a checkpoint', True)

    def _at(self, iteration: int, stage: int, step: int = 0) -> None:
        if self._watch is not None:
            self._watch.place = Place((iteration, stage, step), f'at iteration {iteration} {_WORDS[stage]}')

    def __enter__(self) -> 'RankWatchHook':
        return self

    def __exit__(self, kind: Optional[type], error: Optional[BaseException], trace: Any) -> None:
        """Stop watching; the other processes learn of an error that is on its way."""
        if self._watch is None:
            return
        # torch.distributed's errors, of which a dead process may be the cause: then that is told, and this is the end.
        wait = _CAUSE if isinstance(error, RuntimeError) else 0.0
        self._watch.close(failed=error is not None and not isinstance(error, Preempted), wait=wait)
        self._watch = None

    def _tell(self, message: str) -> None:
        print(f'error: {message}', file=sys.stderr, flush=True)
        record = self._logger.makeRecord(self._logger.name, logging.ERROR, __file__, 0, message, (), None)
        for handler in self._logger.handlers:
            if isinstance(handler, logging.FileHandler):  # the others write to the terminal, which has the message
                handler.handle(record)


def _granted(runner: Runner) -> float:
    """Seconds that torch.distributed grants a collective operation."""
    configured = (runner.cfg.get('env_cfg') or {}).get('dist_cfg', {}).get('timeout')
    if configured is not None or get_world_size() == 1:
        return float(configured or 0)
    nccl = distributed.get_backend() == 'nccl' and default_pg_nccl_timeout
    return (nccl or default_pg_timeout).total_seconds()


def _say_nothing(message: str) -> None:
    """Another process tells it."""


def _leave(message: str) -> None:
    """End this process, whose main thread may wait for ever where no exception reaches it."""
    sys.stdout.flush()
    for worker in multiprocessing.active_children():
        worker.kill()  # else data workers would outlive it by seconds
    os._exit(LOST_STATUS)
