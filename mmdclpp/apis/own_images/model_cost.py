"""What a training step takes of memory and arithmetic, found out without doing it."""

from typing import NamedTuple

import torch
from mmengine.config import ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torch.utils.flop_counter import FlopCounterMode

from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import MODELS

_IMAGES = 2


class ModelCost(NamedTuple):
    """What training a model takes in float32.

    Attributes:
        bytes_per_image (int): What the backward pass needs of two views.
        fixed_bytes (int): Weights, gradients and the two moments of Adam.
        flops_per_image (int): Forward and backward pass of two views.
    """

    bytes_per_image: int
    fixed_bytes: int
    flops_per_image: int


def model_cost(model: ConfigDict, view_size: int) -> ModelCost:
    """Count what backbone and projectors keep and compute, on tensors without content.

    Against a step on the CPU that was measured, the bytes are right to 13 % (ViT-S/16, ResNet-50, the demo's ViT); the
    losses, which stream, and the decoder, where there is one, come on top.

    Args:
        model (ConfigDict): Config of a :class:`~mmdclpp.models.algorithms.DenseCLPlusPlus`.
        view_size (int): Side of the views, in px.
    """
    with DefaultScope.overwrite_default_scope('mmdclpp'), torch.random.fork_rng(devices=[]):
        model = revert_sync_batchnorm(MODELS.build(model))  # which refuses what is not on a GPU
    model = model.to('meta').train()
    weights = {tensor.untyped_storage()._cdata for tensor in model.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor  # a storage that lives cannot share its number with another
        return tensor

    views = torch.empty(2 * _IMAGES, 3, view_size, view_size, device='meta')
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        model.neck(extract_features(model.backbone, views))
    activations = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
    return ModelCost(
        bytes_per_image=activations // _IMAGES,
        fixed_bytes=16 * sum(tensor.numel() for tensor in model.parameters()),
        flops_per_image=3 * counter.get_total_flops() // _IMAGES,  # the backward pass takes twice the forward pass
    )
