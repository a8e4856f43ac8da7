"""Float32 islands under autocast."""

from contextlib import contextmanager
from typing import Iterator, Tuple

import torch
from torch import Tensor


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[Tuple[Tensor, ...]]:
    """Disable autocast and give the tensors in float32 (float64 stays float64).

    Similarities, log-sum-exp and loss need it: at temperature 0.1 half precision loses a similarity's
    second decimal.
    """
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield tuple(tensor if tensor.dtype == torch.float64 else tensor.float() for tensor in tensors)
