"""What this machine computes with."""

import os
import platform
from pathlib import Path

import torch


def cpu_name() -> str:
    """The name of the processor's model."""
    cpuinfo = Path('/proc/cpuinfo')  # platform knows the model's name on few systems
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, platform.processor() or platform.machine())


def device_name() -> str:
    """The GPUs with their model, or where there are none the CPU with the cores that this process may use."""
    if torch.cuda.is_available():
        return f'{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}'
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{cpu_name()}, {cores} cores'
