"""One adapter from any supported backbone to (global, positions, grid)."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from mmdclpp.errors import UserError

AGGREGATES = ('cls', 'gap')


class BackboneFeatures(NamedTuple):
    """What a backbone says of a batch of ``V`` images.

    Attributes:
        cls (Tensor, optional): The class token, shape ``(V, C)``. None for
            backbones without one.
        positions (Tensor): The patch tokens, or the cells of the last feature
            map in row-major order, shape ``(V, K, C)``.
        grid (Tuple[int, int]): Rows and columns, ``rows * columns == K``.
    """

    cls: Optional[Tensor]
    positions: Tensor
    grid: Tuple[int, int]

    def aggregate(self, kind: str) -> Tensor:
        """The global feature, shape ``(V, C)``.

        Args:
            kind (str): ``'cls'``, the class token, or ``'gap'``, the mean of
                the positions.

        Raises:
            UserError: If ``kind`` is unknown, or ``'cls'`` is asked of a
                backbone that has no class token.
        """
        check_aggregate(kind)
        if kind == 'gap':
            return self.positions.mean(dim=1)
        if self.cls is None:
            raise UserError(
                "aggregate='cls' needs a class token, which this backbone does not give: use aggregate='gap' "
                "(for mmpretrain's VisionTransformer, set out_type='raw' to keep the token)"
            )
        return self.cls


def check_aggregate(kind: str) -> None:
    """Raise a UserError unless ``kind`` names an aggregate."""
    if kind not in AGGREGATES:
        raise UserError(f'aggregate={kind!r} is unknown: use one of {", ".join(map(repr, AGGREGATES))}')


def extract_features(backbone: nn.Module, images: Tensor) -> BackboneFeatures:
    """Run a backbone and bring its output into one form.

    Understands mmpretrain's ``VisionTransformer`` with ``out_type='raw'`` (class token and
    patches) or ``'featmap'`` (patches), every mmpretrain or timm CNN, and timm's vision
    transformers through mmpretrain's ``TIMMBackbone``.

    Args:
        backbone (nn.Module): The backbone; of several outputs the last counts.
        images (Tensor): Shape ``(V, 3, H, W)``.

    Returns:
        BackboneFeatures: Class token, positions and grid.

    Raises:
        UserError: If the output is neither tokens nor a feature map.
    """
    # timm's distilled transformers average their two special tokens, whatever pooling they are set to.
    timm_model = getattr(backbone, 'timm_model', None)
    output = timm_model.forward_features(images) if hasattr(timm_model, 'dist_token') else backbone(images)
    return as_features(backbone, output[-1] if isinstance(output, (list, tuple)) else output, images.shape[2:])


def as_features(backbone: nn.Module, output: Tensor, image_size: torch.Size) -> BackboneFeatures:
    """Bring one output of a backbone, or of one of its layers, into the common form.

    Args:
        backbone (nn.Module): Tells which tokens are no patches, and how maps are laid out.
        output (Tensor): Tokens of shape ``(V, L, C)``, or a feature map of shape ``(V, C, rows, columns)``.
        image_size (torch.Size): Height and width of the images.

    Raises:
        UserError: If the output is neither tokens nor a feature map.
    """
    if output.dim() == 4:
        if getattr(getattr(backbone, 'timm_model', None), 'output_fmt', 'NCHW') == 'NHWC':
            output = output.permute(0, 3, 1, 2)
        return BackboneFeatures(None, output.flatten(2).transpose(1, 2), tuple(output.shape[2:]))
    if output.dim() == 3:
        num_prefix, has_cls = _prefix_tokens(backbone)
        positions = output[:, num_prefix:]
        grid = _token_grid(backbone, image_size, positions.shape[1])
        return BackboneFeatures(output[:, 0] if has_cls else None, positions, grid)
    timm_model = getattr(backbone, 'timm_model', None)
    if timm_model is not None:
        remedy = 'use another model, or, of one that can, the feature maps alone (features_only=True)'
    else:
        remedy = "set out_type='raw' (vision transformers) or keep the last feature map (CNNs)"
    raise UserError(
        f'{type(timm_model or backbone).__name__} gives an output of shape {tuple(output.shape)}, which has no '
        f'positions: {remedy}'
    )


def _prefix_tokens(backbone: nn.Module) -> Tuple[int, bool]:
    """How many tokens stand before the patches, and whether the first is the class token."""
    timm_model = getattr(backbone, 'timm_model', None)
    if timm_model is not None:
        has_cls = getattr(timm_model, 'cls_token', None) is not None
        return getattr(timm_model, 'num_prefix_tokens', int(has_cls)), has_cls
    has_cls = getattr(backbone, 'cls_token', None) is not None
    return getattr(backbone, 'num_extra_tokens', int(has_cls)), has_cls


def patch_size(backbone: nn.Module) -> int:
    """Side of the patches that a vision transformer makes of an image, in px; 1 for CNNs, which take any size."""
    projection = _patch_projection(backbone)
    return projection.stride[0] if projection is not None else 1


def _patch_projection(backbone: nn.Module) -> Optional[nn.Conv2d]:
    patch_embed = getattr(getattr(backbone, 'timm_model', backbone), 'patch_embed', None)
    projection = getattr(patch_embed, 'projection', getattr(patch_embed, 'proj', None))
    return projection if isinstance(projection, nn.Conv2d) else None


def _token_grid(backbone: nn.Module, image_size: torch.Size, num_positions: int) -> Tuple[int, int]:
    projection = _patch_projection(backbone)
    if projection is not None:
        rows, columns = (size // stride for size, stride in zip(image_size, projection.stride, strict=True))
        if rows * columns == num_positions:
            return rows, columns
    side = int(num_positions**0.5)
    if side * side == num_positions:
        return side, side
    raise UserError(
        f'{type(backbone).__name__} gives {num_positions} positions for images of {tuple(image_size)} px, which form '
        'no known grid: use a square crop'
    )
