"""Any backbone as one that gives a feature map, as segmentation heads need it."""

from contextlib import nullcontext
from typing import Tuple

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmdclpp.registry import MODELS

from .features import extract_features


@MODELS.register_module()
class FeatureMap(BaseModule):
    """The positions of a backbone, laid out as a map.

    Lets mmseg's heads work on every backbone that :func:`~mmdclpp.models.backbones.features.extract_features`
    understands, timm's vision transformers included, in the very form in which it was pretrained.

    Args:
        backbone (dict): Config of the backbone.
        frozen (bool): Whether the backbone stays as it is: no gradient, and eval mode, batch statistics
            included. Defaults to False.
    """

    def __init__(self, backbone: dict, frozen: bool = False):
        super().__init__()
        # Built here, since mmseg's registry does not know our names.
        self.backbone = MODELS.build(backbone)
        self.frozen = frozen
        if frozen:
            self.backbone.requires_grad_(False)
            self.backbone.eval()

    def train(self, mode: bool = True) -> 'FeatureMap':
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tuple[Tensor]:
        """The map ``(B, C, rows, columns)`` of images ``(B, 3, H, W)``, in a tuple."""
        with torch.no_grad() if self.frozen else nullcontext():
            features = extract_features(self.backbone, images)
            return (features.positions.transpose(1, 2).unflatten(2, features.grid),)
