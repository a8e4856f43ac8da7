"""A simple decoder of transformer blocks."""

from typing import Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS

from .decoder import Decoder


@MODELS.register_module()
class TransformerDecoder(Decoder):
    """Transformer blocks over the positions, each of which then gives a square of pixels (as in MAE, arXiv 2111.06377).

    Where positions lie is told by sines and cosines of their rows and columns, so that no parameter depends on the
    grid. The poster says "simple transformer decoder"; the layout and the sizes are ours.

    Args:
        in_channels (int): Channels of the backbone.
        embed_dims (int): Width of the blocks, a multiple of 4 and of ``num_heads``. Defaults to 256, ours.
        depth (int): Number of blocks. Defaults to 2, ours.
        num_heads (int): Attention heads of a block. Defaults to 8, ours.
        patch_size (int): Side of the square of pixels that a position gives. The squares together are resized to
            the image, which does nothing if this is the patch size, or the stride, of the backbone. Defaults to 16.
        init_cfg (dict, optional): Initialisation of the weights. Defaults to None.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int = 256,
        depth: int = 2,
        num_heads: int = 8,
        patch_size: int = 16,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(in_channels, init_cfg)
        self.check(
            in_channels=in_channels, embed_dims=embed_dims, depth=depth, num_heads=num_heads, patch_size=patch_size
        )
        if embed_dims % 4 or embed_dims % num_heads:
            raise UserError(
                f'TransformerDecoder: embed_dims={embed_dims} must be a multiple of 4 and of num_heads={num_heads}'
            )
        self.embed_dims = embed_dims
        self.patch_size = patch_size
        self.embed = nn.Linear(in_channels, embed_dims)
        block = dict(dropout=0.0, activation='gelu', batch_first=True, norm_first=True)
        self.blocks = nn.Sequential(
            *(nn.TransformerEncoderLayer(embed_dims, num_heads, 4 * embed_dims, **block) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(embed_dims)
        self.to_pixels = nn.Linear(embed_dims, 3 * patch_size**2)

    def decode(self, feature_map: Tensor, image_size: Tuple[int, int]) -> Tensor:
        """Squares of pixels, put together."""
        grid = feature_map.shape[2:]
        tokens = self.embed(feature_map.flatten(2).transpose(1, 2))
        tokens = self.blocks(tokens + position_embedding(grid, self.embed_dims, tokens.device).to(tokens))
        squares = self.to_pixels(self.norm(tokens)).transpose(1, 2).unflatten(2, grid)
        return pixel_shuffle(squares, self.patch_size)


def position_embedding(grid: Sequence[int], channels: int, device: Union[str, torch.device] = 'cpu') -> Tensor:
    """Sines and cosines of the row and of the column of every position, a quarter of the channels each.

    mmpretrain's function of this purpose counts along columns first, which does not fit a grid that is not square.

    Args:
        grid (Sequence[int]): Rows and columns.
        channels (int): A multiple of 4.
        device (str or torch.device): Where to compute. Defaults to 'cpu'.

    Returns:
        Tensor: Row-major, shape ``(rows * columns, channels)``, float32.

    References:
        Vaswani et al., arXiv 1706.03762, section 3.5, in two dimensions.
    """
    cells = torch.cartesian_prod(*(torch.arange(length, device=device, dtype=torch.float32) for length in grid))
    frequencies = 10000.0 ** -torch.linspace(0, 1, channels // 4 + 1, device=device)[:-1]
    angles = (cells[:, :, None] * frequencies).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
