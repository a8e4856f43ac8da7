"""What a training step computes, holds and sends, from a step on fake tensors: shapes and types without values."""

import weakref
from contextlib import contextmanager
from typing import Dict, Iterable, Iterator, NamedTuple, Sequence, Tuple

import torch
import torch.distributed as dist
from mmengine.model import BaseModel
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from mmdclpp.errors import UserError

aten = torch.ops.aten


class Rehearsal(NamedTuple):
    """A step of one process.

    Attributes:
        peak_bytes (int): The most that images, activations, gradients, gathered features and the loss's buffers take
            at a time, beside weights and buffers of the model.
        flops (Dict[torch.dtype, int]): Floating-point operations of matrix products and convolutions, forward and
            backward, by precision; a multiplication with its addition is two.
        gathered_bytes (int): Of what all processes hold together after the collectives of the losses. The gradients of
            the weights, which DDP averages, are not among them.
    """

    peak_bytes: int
    flops: Dict[torch.dtype, int]
    gathered_bytes: int


def rehearse(
    model: BaseModel, views: Sequence[Tuple[int, ...]], batch_size: int, processes: int = 1, amp: bool = False
) -> Rehearsal:
    """Take a training step of one of several processes, forward and backward, without computing it.

    The losses run as they stand, over a global batch whose other parts are made up, so that their matrix products and
    buffers are counted with all others. Operators are a CPU's; what they take inside themselves is not seen.

    Args:
        model (BaseModel): The model, on the CPU; its weights become fake, and it is of no further use.
        views (Sequence[Tuple[int, ...]]): Shape ``(3, height, width)`` of each view of an image.
        batch_size (int): Images a process.
        processes (int): How many share the global batch. Defaults to 1.
        amp (bool): Whether in mixed precision, bfloat16. Defaults to False.

    Raises:
        UserError: If this process is one of several for real.
    """
    model.train()
    counters = {name: value.item() for name, value in model.named_buffers() if value.numel() == 1}
    with simulated_processes(processes), FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device='cpu')
        kept = [*model.parameters(), *model.buffers()]
        known = {id(value): counters[name] for name, value in model.named_buffers() if name in counters}
        with _Recorder(kept, known) as recorder:
            data = dict(inputs=[torch.empty(batch_size, *shape, dtype=torch.uint8) for shape in views])
            model.train_step(dict(**data, data_samples=None), _Backward(amp))
    return Rehearsal(recorder.peak, recorder.flops, recorder.gathered)


@contextmanager
def simulated_processes(number: int) -> Iterator[None]:
    """Be the first of some processes, the others of which are not there: what they should send has any value.

    Args:
        number (int): 1 simulates nothing.

    Raises:
        UserError: If this process is one of several for real.
    """
    if number == 1:
        yield
        return
    if dist.is_initialized():
        raise UserError('an estimate needs a process of its own: run tools/estimate.py without a launcher')
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group('fake', store=FakeStore(), rank=0, world_size=number)
    try:
        yield
    finally:
        dist.destroy_process_group()


class _Backward:
    """In the place of an optimizer wrapper: computes gradients and leaves the weights."""

    def __init__(self, amp: bool) -> None:
        self.amp = amp

    def optim_context(self, model: BaseModel) -> torch.autocast:
        return torch.autocast('cpu', torch.bfloat16, enabled=self.amp)

    def update_params(self, loss: Tensor) -> None:
        loss.backward()


def _attention(query, key, value, *args, **kwargs) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(gradient, query, key, value, *args, **kwargs) -> int:
    return sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape)


# PyTorch's table knows attention by the kernels of GPUs alone, and nothing that works in place.
_FLOPS = {
    **flop_registry,
    aten.addmm_: flop_registry[aten.addmm],
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
_LARGEST_INTEGER = 2**31 - 1


class _Recorder(TorchDispatchMode):
    """Follows storages from the operator that makes them until they are let go, and counts operations."""

    def __init__(self, kept: Iterable[Tensor], known: Dict[int, float]) -> None:
        super().__init__()
        self.held = self.peak = self.gathered = 0
        self.flops: Dict[torch.dtype, int] = {}
        self._known = known
        self._seen = weakref.WeakSet(tensor.untyped_storage() for tensor in kept)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet, kwargs = function._overloadpacket, kwargs or {}
        if packet is aten._local_scalar_dense:
            return self._scalar(args[0])
        result = function(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, result)) if isinstance(leaf, Tensor)]
        if packet in _FLOPS:
            precision = tensors[0].dtype
            flops = _FLOPS[packet](*args, **kwargs, out_val=result)
            self.flops[precision] = self.flops.get(precision, 0) + flops
        if function.namespace == 'c10d':
            self.gathered += max(tensor.nbytes for tensor in tensors)
        for tensor in tensors:
            self._hold(tensor.untyped_storage())
        return result

    def _scalar(self, tensor: Tensor) -> float:
        """A value that the code branches on. Of an index, the largest: a slice up to it takes all that there is."""
        if id(tensor) in self._known:
            return self._known[id(tensor)]
        if tensor.dtype == torch.bool:
            return False
        return 1.0 if tensor.is_floating_point() else _LARGEST_INTEGER

    def _hold(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._seen:
            self._seen.add(storage)
            size = storage.nbytes()
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._let_go, size)

    def _let_go(self, size: int) -> None:
        self.held -= size
