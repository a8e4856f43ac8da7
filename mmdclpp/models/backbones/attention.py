"""Where the class token of a vision transformer looks."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from mmdclpp.errors import UserError

from .features import extract_features


class ClassAttention(NamedTuple):
    """The class token's attention in the last layer, of ``V`` images; over all tokens, a head's weights sum to 1.

    Attributes:
        positions (Tensor): Weights of the patches, float32 of shape ``(V, heads, K)``.
        prefix (Tensor): Weights of the tokens before them, the class token itself and registers if there are any,
            shape ``(V, heads, P)``.
        grid (Tuple[int, int]): Rows and columns of the patches, ``rows * columns == K``.
    """

    positions: Tensor
    prefix: Tensor
    grid: Tuple[int, int]


@torch.no_grad()
def class_attention(backbone: nn.Module, images: Tensor) -> ClassAttention:
    """The weights ``softmax(q·k / √d)`` by which the class token gathers the patches in the last attention layer.

    Works on every vision transformer that computes attention by PyTorch's ``scaled_dot_product_attention``, as
    mmpretrain's and timm's do: the weights are those of the very queries, keys and biases that reach it.

    Args:
        backbone (nn.Module): One that :func:`~mmdclpp.models.backbones.features.extract_features` understands.
        images (Tensor): Shape ``(V, 3, H, W)``.

    Returns:
        ClassAttention: Weights of each head.

    Raises:
        UserError: If the backbone has no class token, or computes attention by other means.
    """
    with _LastAttention() as last:
        features = extract_features(backbone, images)
    kind = type(getattr(backbone, 'timm_model', backbone)).__name__
    if features.cls is None:
        raise UserError(f'attention: {kind} has no class token: give a vision transformer with one')
    tokens = last.weights.shape[-1] if last.weights is not None and last.weights.dim() == 3 else 0
    num_positions = features.positions.shape[1]
    if tokens <= num_positions or len(last.weights) != len(images):
        raise UserError(
            f'attention: {kind} does not compute its last attention over all tokens by '
            "torch's scaled_dot_product_attention: give a plain vision transformer of mmpretrain or timm"
        )
    prefix, positions = last.weights.split([tokens - num_positions, num_positions], dim=2)
    return ClassAttention(positions, prefix, features.grid)


class _LastAttention(TorchFunctionMode):
    """While it is active, ``weights`` are those of the first query in the latest attention, ``(V, heads, tokens)``."""

    weights: Optional[Tensor] = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            self.weights = _first_row(*args, **kwargs)
        return func(*args, **kwargs)


def _first_row(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """The first query's weights. Causal attention has no class token in front that would look at anything."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    logits = query[..., :1, :].float() @ key.float().transpose(-2, -1) * scale
    if attn_mask is not None:
        mask = attn_mask[..., :1, :]
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return logits.softmax(dim=-1)[..., 0, :]
