"""Gradient checkpointing: blocks that keep their input alone, and compute the rest again in the backward pass."""

from contextlib import contextmanager, nullcontext
from typing import Iterator, List

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmdclpp.errors import UserError

from .layers import all_layers


def checkpoint_blocks(backbone: nn.Module) -> int:
    """Let the blocks of a backbone be computed twice in training, so that their activations are not kept.

    Gradients, batch statistics and random draws are those of training without it. In evaluation nothing changes.
    (``with_cp`` of mmpretrain's ResNet uses torch's reentrant kind, and updates running statistics twice, as timm's
    ``set_grad_checkpointing`` does.)

    Args:
        backbone (nn.Module): Of mmpretrain or timm, changed in place.

    Returns:
        int: The number of blocks.

    Raises:
        UserError: If the backbone's blocks are not known.
    """
    blocks = _blocks(backbone)
    for block in blocks:
        _checkpoint(block)
    return len(blocks)


def _blocks(backbone: nn.Module) -> List[nn.Module]:
    """Blocks of all stages, or the layers themselves where these are no stages."""
    try:
        layers = all_layers(backbone)
    except UserError as error:
        raise UserError(
            f'gradient checkpointing: the blocks of {type(backbone).__name__} are not known: train without it'
        ) from error
    blocks = []
    for layer in layers:
        stage = getattr(layer, 'blocks', layer)
        blocks += list(stage) if isinstance(stage, (nn.Sequential, nn.ModuleList)) else [layer]
    return blocks


def _checkpoint(block: nn.Module) -> None:
    forward = block.forward
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    contexts = dict(context_fn=lambda: (nullcontext(), _running_statistics_kept(norms))) if norms else {}

    def checkpointed(*args, **kwargs):
        if block.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False, **contexts, **kwargs)
        return forward(*args, **kwargs)

    # torch.compile knows no contexts here: it leaves such blocks as they are.
    block.forward = torch.compiler.disable(checkpointed) if norms else checkpointed


@contextmanager
def _running_statistics_kept(norms: List[_BatchNorm]) -> Iterator[None]:
    """Batch norms, SyncBN included, normalise as in training, but do not count the batch a second time."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, number) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, number
