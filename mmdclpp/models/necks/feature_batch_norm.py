"""Batch norm between a frozen backbone and a linear head."""

from typing import Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdclpp.registry import MODELS


@MODELS.register_module()
class FeatureBatchNorm(BaseModule):
    """Normalise the channels of the last feature map over images and positions.

    A linear layer then learns alike from features of any scale, as DINOv2's linear segmentation does. The norm has
    no weights of its own: the linear layer's make them superfluous.

    Args:
        in_channels (int): Width of the map.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels, affine=False, eps=1e-6)

    def forward(self, feats: Sequence[Tensor]) -> Tuple[Tensor]:
        """The last of ``feats``, shape ``(B, in_channels, H, W)``, normalised, in a tuple."""
        return (self.norm(feats[-1]),)
