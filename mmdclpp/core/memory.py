"""How much memory a streaming computation may use at a time."""

import math
from numbers import Real
from typing import List, Optional

import torch

from mmdclpp.errors import UserError

# A CPU streams fastest from its last-level cache, a GPU needs enough rows to be busy (docs/performance.md).
_DEFAULT_MIB = {'cpu': 32}
_DEFAULT_MIB_ELSEWHERE = 512
_MOST_MIB = 2**40  # more than there is


def check_memory_budget(memory_budget: Optional[float]) -> Optional[float]:
    """Return the budget, or raise a UserError unless it is None or positive and finite."""
    number = isinstance(memory_budget, Real) and not isinstance(memory_budget, bool)
    if memory_budget is not None and not (number and 0 < memory_budget <= _MOST_MIB):
        raise UserError(
            f'memory_budget={memory_budget!r} must be a positive number of MiB, or None for the default of the device'
        )
    return memory_budget


def buffer_bytes(memory_budget: Optional[float], device: torch.device) -> int:
    """Bytes that a streaming computation may use for its buffer.

    Args:
        memory_budget (float, optional): In MiB. None takes a default for the device.
        device (torch.device): Where it computes.

    Raises:
        UserError: If the budget is not a positive number.
    """
    check_memory_budget(memory_budget)
    if memory_budget is None:
        memory_budget = _DEFAULT_MIB.get(device.type, _DEFAULT_MIB_ELSEWHERE)
    return int(memory_budget * 2**20)


def chunks(size: int, bytes_each: int, available: int) -> List[slice]:
    """Cut ``range(size)`` into slices of nearly equal length, as few as fit in the available bytes.

    A slice holds one element at least, also where that exceeds what is available.
    """
    count = math.ceil(size / max(available // max(bytes_each, 1), 1))
    return [slice(size * i // count, size * (i + 1) // count) for i in range(count)]
