"""What there is to train with."""

import os
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.device import get_device

from mmdclpp.utils.progress import readable_size

# How launchers tell the number of processes, of all machines and of this one.
_PROCESSES = ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
_PROCESSES_HERE = ('LOCAL_WORLD_SIZE', 'SLURM_NTASKS_PER_NODE', 'OMPI_COMM_WORLD_LOCAL_SIZE')


class Machine(NamedTuple):
    """What there is to train with.

    Attributes:
        processes (int): Number of training processes in all.
        cores (int): CPU cores of a process.
        memory (int): Memory of a process that a model trains in, the GPU's if there is one, in bytes.
        gpu (bool): Whether each process has a GPU.
    """

    processes: int
    cores: int
    memory: int
    gpu: bool

    def __str__(self) -> str:
        where = f'a GPU of {readable_size(self.memory)}' if self.gpu else f'{readable_size(self.memory)} of memory'
        processes = 'one process' if self.processes == 1 else f'{self.processes} processes'
        cores = '1 CPU core' if self.cores == 1 else f'{self.cores} CPU cores'
        return f'{processes} with {where} and {cores}{"" if self.processes == 1 else " each"}'


def this_machine(launcher: str) -> Machine:
    """What a launcher gives to the training that runs here.

    Args:
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
    """
    here = 1 if launcher == 'none' else _first_number(_PROCESSES_HERE)
    gpu = get_device() != 'cpu'
    if gpu and torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    else:
        memory = _memory() // here
    return Machine(
        processes=1 if launcher == 'none' else _first_number(_PROCESSES),
        cores=max(1, len(os.sched_getaffinity(0)) // (1 if launcher == 'slurm' else here)),  # Slurm binds to cores
        memory=memory,
        gpu=gpu,
    )


def _first_number(variables) -> int:
    values = (os.environ.get(name, '') for name in variables)
    return next((int(value) for value in values if value.isdigit()), 1)


def _memory() -> int:
    """The memory of this machine, or the part of it that a container may use."""
    sizes = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
    for limit in ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
        if Path(limit).is_file() and Path(limit).read_text().strip().isdigit():
            sizes.append(int(Path(limit).read_text()))
    return min(sizes)
