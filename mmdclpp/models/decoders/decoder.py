"""What decoders have in common."""

from abc import ABC, abstractmethod
from typing import Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import interpolate

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures


class Decoder(BaseModule, ABC):
    """From the positions of a backbone back to the images, of any size and on any grid.

    Args:
        in_channels (int): Channels of the backbone, ``C``.
        init_cfg (dict, optional): Initialisation of the weights. Defaults to None.
    """

    def __init__(self, in_channels: int, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels

    def forward(self, features: BackboneFeatures, image_size: Tuple[int, int]) -> Tensor:
        """Reconstruct.

        Args:
            features (BackboneFeatures): Of ``V`` images; the class token is not used.
            image_size (Tuple[int, int]): Height and width of the images in px.

        Returns:
            Tensor: The images as the data preprocessor normalised them, shape ``(V, 3, H, W)``.

        Raises:
            UserError: If the backbone has other than ``in_channels`` channels.
        """
        channels = features.positions.shape[-1]
        if channels != self.in_channels:
            raise UserError(
                f'decoder: in_channels={self.in_channels} but the backbone gives {channels}: set them equal, or leave '
                "decoder.in_channels out to take the neck's"
            )
        feature_map = features.positions.transpose(1, 2).unflatten(2, features.grid)
        return resize(self.decode(feature_map, tuple(image_size)), image_size)

    @abstractmethod
    def decode(self, feature_map: Tensor, image_size: Tuple[int, int]) -> Tensor:
        """From a map ``(V, C, rows, columns)`` to images ``(V, 3, ., .)``, which are then resized to ``image_size``."""

    def check(self, **values: int) -> None:
        """Raise a UserError unless each value is a whole number of 1 or more."""
        for key, value in values.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f'{type(self).__name__}: {key}={value!r} must be a whole number of 1 or more')


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps ``(V, C, ., .)``, interpolated to ``size``."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return interpolate(maps, tuple(size), mode='bilinear')
