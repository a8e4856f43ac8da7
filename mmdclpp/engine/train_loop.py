"""mmengine's loop over epochs, which can go on in the middle of one."""

from typing import Any, Dict, Iterator, Optional

import numpy as np
from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop as Base
from torch import nn

from mmdclpp.engine.run_state import require_same_batches, restore
from mmdclpp.registry import LOOPS
from mmdclpp.utils.random_states import random_states_kept


@LOOPS.register_module()
class EpochBasedTrainLoop(Base):
    """mmengine's loop of the same name, with the same arguments, whose runs go on exactly where they were.

    A validation that is due right after the checkpoint is done again, since it may have been cut off. Validation and
    the start of data workers leave the random states of training as they were.

    Attributes:
        batches (int): How many of the current epoch are done; 0 from its end on.
        resumed (Dict[str, Any], optional): What ``run_state`` saved of a run that goes on, given by ``CheckpointHook``.
    """

    batches = 0
    resumed: Optional[Dict[str, Any]] = None

    def run(self) -> nn.Module:
        """Train, and validate in between."""
        if self.resumed is not None:
            require_same_batches(self.runner, self.resumed)
        self.runner.call_hook('before_train')
        if self.resumed is not None and not self.resumed['batches'] and not self.resumed['validated']:
            self._validate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def _validate(self) -> None:
        """Validate if it is time, after an epoch."""
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            with random_states_kept():
                self.runner.val_loop.run()

    def run_epoch(self) -> None:
        """Train for an epoch, or for what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        resumed, self.resumed = self.resumed, None
        start = resumed['batches'] if resumed else 0
        batches = self._batches(start)
        if resumed:
            restore(self.runner, resumed)
        for index, batch in enumerate(batches, start):
            self.batches = index + 1
            self.run_iter(index, batch)
        self.batches = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches(self, start: int) -> Iterator[dict]:
        """The batches of the epoch from ``start`` on."""
        sampler = self.dataloader.sampler
        skips = start and hasattr(sampler, 'skip') and self.dataloader.batch_size is not None
        if skips:
            sampler.skip(start * self.dataloader.batch_size)
        # New workers draw their seed, which those that outlive an epoch do not: without a trace, and another at every
        # epoch and process.
        seeds = np.random.SeedSequence((self.runner.seed, self._epoch, get_rank())).generate_state(3).tolist()
        with random_states_kept(tuple(seeds)):
            batches = iter(self.dataloader)
            for _ in range(0 if skips else start):
                next(batches)
        return batches
