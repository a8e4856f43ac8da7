"""Random draws that every process repeats alike."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor


class Draws(NamedTuple):
    """Draws keyed on (seed, iteration), for all views of the global batch in canonical order.

    No state is kept: a resumed run, another process or another number of processes draws the same.

    Attributes:
        seed (int): Seed of the run.
        iteration (int): Training iteration.
    """

    seed: int = 0
    iteration: int = 0

    def _generator(self, stream: str) -> torch.Generator:
        digest = hashlib.blake2b(f'{self.seed}/{self.iteration}/{stream}'.encode(), digest_size=8).digest()
        # On the CPU whatever the device, because generators differ between devices.
        return torch.Generator().manual_seed(int.from_bytes(digest, 'little') >> 1)

    def positions(self, stream: str, num_sets: int, num_views: int, num_positions: int) -> Tensor:
        """One uniform position of every view, ``num_sets`` times over.

        Args:
            stream (str): Name that separates independent draws.

        Returns:
            Tensor: Integers below ``num_positions``, shape ``(num_sets, num_views)``.
        """
        return torch.randint(num_positions, (num_sets, num_views), generator=self._generator(stream))

    def subsets(self, stream: str, size: int, num_views: int, num_positions: int) -> Tensor:
        """Distinct positions of every view in uniformly random order.

        Returns:
            Tensor: Integers below ``num_positions``, shape ``(num_views, size)``.
        """
        order = torch.rand(num_views, num_positions, generator=self._generator(stream), dtype=torch.float64)
        return order.topk(size, dim=1).indices
