"""A simple decoder of convolutions."""

from typing import Optional, Sequence, Tuple

from torch import Tensor, nn

from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS

from .decoder import Decoder, resize


@MODELS.register_module()
class ConvDecoder(Decoder):
    """Convolutions, each of which doubles the resolution by sub-pixels (arXiv 1609.05158), from the grid to the image.

    The stages lead to the image's size in equal ratios: what is doubled is resized to that, which does nothing where
    there are as many stages as doublings, four for patches of 16 px. The norm is one of a view by itself, so that a
    view is decoded alike in any batch. The poster says "simple convolutional decoder"; layout and sizes are ours.

    Args:
        in_channels (int): Channels of the backbone.
        widths (Sequence[int]): Channels after each stage. Defaults to (128, 64, 32, 16), ours: a quarter of the
            operations of a ViT-S/16.
        init_cfg (dict, optional): Initialisation of the weights. Defaults to None.

    Raises:
        UserError: If there is no stage, or a number is below 1.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int] = (128, 64, 32, 16), init_cfg: Optional[dict] = None
    ) -> None:
        super().__init__(in_channels, init_cfg)
        if not isinstance(widths, (list, tuple)) or not widths:
            raise UserError(f'ConvDecoder: widths={widths!r} must be a list of one width or more')
        self.check(in_channels=in_channels, **{f'widths[{index}]': width for index, width in enumerate(widths)})
        # Four times the width: interpolated features alone would hold too little of what lies within a position.
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, 4 * width, 3, padding=1), nn.GroupNorm(1, 4 * width), nn.GELU(), nn.PixelShuffle(2)
            )
            for before, width in zip((in_channels, *widths), widths)
        )
        self.to_pixels = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def decode(self, feature_map: Tensor, image_size: Tuple[int, int]) -> Tensor:
        """Convolve and enlarge, stage by stage."""
        grid = feature_map.shape[2:]
        for number, stage in enumerate(self.stages, start=1):
            share = number / len(self.stages)
            size = [round(cells * (side / cells) ** share) for cells, side in zip(grid, image_size)]
            feature_map = resize(stage(feature_map), size)
        return self.to_pixels(feature_map)
