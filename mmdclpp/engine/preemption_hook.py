"""Save and leave when a cluster wants its machine back."""

import os
import signal
import threading
from functools import partial
from typing import Any, Callable, Dict, Optional, Sequence

import torch
from mmengine.dist import barrier, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed
from torch.utils.data import DataLoader

from mmdclpp.engine.checkpoint_hook import CheckpointHook
from mmdclpp.errors import Preempted
from mmdclpp.registry import HOOKS


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On a signal, save a checkpoint after the next iteration, and raise ``mmdclpp.errors.Preempted``.

    It is enough if one of several processes gets the signal: with each iteration they tell each other, in the
    background, and all leave after the same one. Data workers ignore the signals, which clusters often send to them
    too. ``tools/train.py`` uses the hook, and exits with status 75.

    Args:
        signals (Sequence[str]): Their names. Defaults to SIGTERM, of Kubernetes, Slurm and torchrun, and SIGUSR1, which
            Slurm sends if asked to (``--signal=USR1@120``).
    """

    priority = 'LOWEST'  # after schedulers, averages and checkpoints

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1')) -> None:
        self.signals = [signal.Signals[name] for name in signals]
        self._before: Dict[int, Any] = {}
        self._received: Optional[str] = None
        self._group: Optional[distributed.ProcessGroup] = None
        self._told: Optional[torch.Tensor] = None
        self._telling: Optional[distributed.Work] = None

    def before_train(self, runner: Runner) -> None:
        """Listen from now on."""
        # Elsewhere than in its first thread, Python lets no signal be handled.
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                self._before[number] = signal.signal(number, self._receive)
        loops = (runner.train_loop, runner.val_loop)
        for loader in (loop.dataloader for loop in loops if loop is not None):
            if isinstance(loader, DataLoader):
                loader.worker_init_fn = partial(_shielded, self.signals, loader.worker_init_fn)
        if get_world_size() > 1:
            self._group = distributed.new_group(backend='gloo')

    def _receive(self, number: int, frame: Any) -> None:
        self._received = signal.Signals(number).name

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """Leave, if that was asked for."""
        last_epoch = runner.epoch + 1 >= runner.max_epochs
        ends = last_epoch and self.end_of_epoch(runner.train_dataloader, batch_idx) or self.is_last_train_iter(runner)
        if not self._agreed() or ends:  # it is done before anyone could go on
            return
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        saved = 'the config has no CheckpointHook: nothing is saved'
        if hook is not None:
            saved = f'{hook.save_interim(runner)} is saved: go on with --resume'
        barrier()  # a launcher ends all processes as soon as one has left
        cause = self._received or 'a signal to another process'
        raise Preempted(f'stopped by {cause} after iteration {runner.iter + 1}: {saved}')

    def _agreed(self) -> bool:
        """Whether all processes know of a signal: of one that came before the last iteration, so that none waits."""
        if self._group is None:
            return self._received is not None
        agreed = False
        if self._telling is not None:
            self._telling.wait()
            agreed = bool(self._told)
        self._told = torch.tensor(float(self._received is not None))
        self._telling = distributed.all_reduce(self._told, distributed.ReduceOp.MAX, group=self._group, async_op=True)
        return agreed

    def close(self) -> None:
        """Handle the signals as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not set by Python
        self._before.clear()


def _shielded(signals: Sequence[int], initialise: Optional[Callable[[int], None]], worker: int) -> None:
    """Begin a data worker that only the process which has started it can end, as it does with SIGTERM."""
    for number in set(signals) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if signal.SIGTERM in signals and hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if initialise is not None:
        initialise(worker)


def _end_with_parent() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
