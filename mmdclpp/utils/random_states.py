"""Draws that leave no trace."""

import random
from contextlib import contextmanager
from typing import Iterator, Optional, Tuple

import numpy as np
import torch


@contextmanager
def random_states_kept(seeds: Optional[Tuple[int, int, int]] = None) -> Iterator[None]:
    """Set the random states of Python, NumPy and PyTorch (CPU and current GPU) back at the end.

    Args:
        seeds (Tuple[int, int, int], optional): What Python, NumPy and PyTorch on the CPU are seeded with meanwhile.
            Defaults to None, which begins with the states as they are.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            if seeds is not None:
                random.seed(seeds[0])
                np.random.seed(seeds[1])
                torch.default_generator.manual_seed(seeds[2])
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
