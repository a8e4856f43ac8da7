"""Training steps as they really are on this machine."""

import time
from statistics import median
from typing import NamedTuple, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper

from mmdclpp.errors import UserError
from mmdclpp.utils.measure import peak_memory

from .rehearsal import simulated_processes

_WARM_UP, _STEPS = 1, 7
_SECONDS = 20  # after which no further step is begun


class Measured(NamedTuple):
    """Steps of one process.

    Attributes:
        seconds (float): Of a step, median.
        peak_bytes (int): The most that a step held at a time, beside weights and the optimizer's state.
    """

    seconds: float
    peak_bytes: int


def measure_steps(
    model: BaseModel, cfg: Config, views: Sequence[Tuple[int, ...]], batch_size: int, processes: int = 1
) -> Measured:
    """Take some steps on random images that lie in memory, by the config's optimizer.

    Other processes are simulated: the losses have their full size, and sending takes no time.

    Args:
        model (BaseModel): The model, on the CPU; it is trained.
        cfg (Config): Whose ``optim_wrapper`` is used.
        views (Sequence[Tuple[int, ...]]): Shape of each view of an image.
        batch_size (int): Images a process.
        processes (int): How many share the global batch. Defaults to 1.

    Raises:
        UserError: If the device has too little memory.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model.to(device).train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    inputs = [torch.randint(256, (batch_size, *shape), dtype=torch.uint8) for shape in views]

    def step() -> None:
        model.train_step(dict(inputs=inputs, data_samples=None), optimizer)
        if device == 'cuda':
            torch.cuda.synchronize()

    times = []
    try:
        with simulated_processes(processes):
            while len(times) <= _WARM_UP or (sum(times) < _SECONDS and len(times) < _WARM_UP + _STEPS):
                start = time.perf_counter()
                step()
                times.append(time.perf_counter() - start)
            return Measured(median(times[_WARM_UP:]), peak_memory(step, device))
    except torch.OutOfMemoryError as error:
        raise UserError(
            f'measure: a step of {batch_size} images needs more memory than this GPU has: lower batch_size, or leave '
            'measure out'
        ) from error
