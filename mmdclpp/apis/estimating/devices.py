"""What GPUs can do at most, by their makers, and this machine, as measured."""

import os
import time
from typing import Dict, NamedTuple

import torch

from mmdclpp.utils.hardware import device_name


class Device(NamedTuple):
    """A device that trains.

    Attributes:
        name (str): Its name.
        bytes (int): Its memory.
        half (float): Peak floating-point operations a second of matrix products in float16 and bfloat16.
        single (float): The same in float32.
    """

    name: str
    bytes: int
    half: float
    single: float


def _gpu(name: str, gigabytes: int, half: float, single: float) -> Device:
    # Decimal gigabytes: the cautious reading.
    return Device(f'{name} ({gigabytes} GB)', gigabytes * 10**9, half * 1e12, single * 1e12)


# NVIDIA's data sheets of these products: tensor cores without sparsity, accumulating in float32; float32 without TF32,
# which PyTorch leaves off for matrix products. Those of the SXM form where there are several.
DEVICES: Dict[str, Device] = {
    'h200': _gpu('NVIDIA H200', 141, 989, 67),
    'h100': _gpu('NVIDIA H100', 80, 989, 67),
    'a100': _gpu('NVIDIA A100', 80, 312, 19.5),
    'a100-40gb': _gpu('NVIDIA A100', 40, 312, 19.5),
    'l40s': _gpu('NVIDIA L40S', 48, 362, 91.6),
    'l4': _gpu('NVIDIA L4', 24, 121, 30.3),
    'a10': _gpu('NVIDIA A10', 24, 125, 31.2),
    'v100': _gpu('NVIDIA V100', 32, 125, 15.7),
    't4': _gpu('NVIDIA T4', 16, 65, 8.1),
    'rtx4090': _gpu('NVIDIA RTX 4090', 24, 165, 82.6),
    'rtx3090': _gpu('NVIDIA RTX 3090', 24, 71, 35.6),
}


def this_device() -> Device:
    """The GPU of this machine, or its CPU, with the rates of a large matrix product."""
    if torch.cuda.is_available():
        capacity, dtypes = torch.cuda.get_device_properties(0).total_memory, (torch.float16, torch.float32)
        return Device(torch.cuda.get_device_name(0), capacity, *(_rate('cuda', 8192, dtype) for dtype in dtypes))
    capacity = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    rate = _rate('cpu', 1024, torch.float32)
    return Device(device_name(), capacity, rate, rate)


def _rate(device: str, size: int, dtype: torch.dtype, repetitions: int = 5) -> float:
    """Operations a second in the best of some products of square matrices."""
    one, other = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        product = one @ other
        product[0, 0].item()  # waits for a GPU
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)
