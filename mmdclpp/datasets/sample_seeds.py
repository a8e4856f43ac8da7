"""Random draws that depend on seed, epoch and sample alone."""

from contextlib import contextmanager
from typing import Iterator, Optional

import numpy as np
import torch

from mmdclpp.utils.random_states import random_states_kept


class SampleSeeds:
    """What the draws for a sample are seeded by, told by an :class:`~mmdclpp.datasets.EpochSampler`.

    It lies in shared memory: workers, which outlive an epoch, learn of the next one. As long as nothing was told,
    draws come from NumPy's global state, which mmengine seeds for each worker.
    """

    def __init__(self) -> None:
        self._told = torch.full((3,), -1, dtype=torch.int64)
        self.share()

    def share(self) -> None:
        """Let processes that are started from now on share it; copies have to be shared anew."""
        self._told.share_memory_()

    def tell(self, seed: int, epoch: int, first: int) -> None:
        """Tell what the next samples are seeded by.

        Args:
            seed (int): Of the run.
            epoch (int): That begins.
            first (int): Samples of other data sets before this one's.
        """
        self._told.copy_(torch.tensor((seed, epoch, first)))

    def generator(self, index: Optional[int]) -> np.random.Generator:
        """The generator of a sample's draws, always the same for seed, epoch and index; None: a sample without one."""
        seed, epoch, first = self._told.tolist()
        if epoch < 0 or index is None:
            return np.random.default_rng(np.random.randint(2**32, size=2, dtype=np.uint64))
        return np.random.default_rng((seed, epoch, first + index))

    @contextmanager
    def global_states(self, index: Optional[int]) -> Iterator[None]:
        """Meanwhile the random states of Python, NumPy and PyTorch are the sample's, for code that draws from them."""
        if self._told[1] < 0 or index is None:
            yield
            return
        with random_states_kept(tuple(self.generator(index).integers(2**32, size=3).tolist())):
            yield
