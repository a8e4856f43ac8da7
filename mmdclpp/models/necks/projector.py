"""Multi-layer perceptron that maps features to the space of the contrastive loss."""

from typing import Optional

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS

NORMS = ('BN', 'BN1d', 'SyncBN', 'LN')


@MODELS.register_module()
class MLPProjector(BaseModule):
    """Linear layers with ReLU, and optionally normalisation, between them (SimCLR, arXiv 2002.05709).

    Args:
        in_channels (int): Width of the features.
        hidden_channels (int): Width between the layers. Defaults to 2048.
        out_channels (int): Width of the projection, ``D``. Defaults to 128.
        num_layers (int): 2 or 3 linear layers. Defaults to 2.
        norm_cfg (dict, optional): Normalisation after each hidden layer, ``dict(type='BN')`` or
            ``dict(type='SyncBN')``; with BN each process has its own statistics. Defaults to None.
        init_cfg (dict, optional): Initialisation of the weights. Defaults to None.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 2048,
        out_channels: int = 128,
        num_layers: int = 2,
        norm_cfg: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_layers not in (2, 3):
            raise UserError(f'MLPProjector: num_layers={num_layers!r} must be 2 or 3')
        for name, width in (('hidden_channels', hidden_channels), ('out_channels', out_channels)):
            if not isinstance(width, int) or width < 1:
                raise UserError(f'MLPProjector: {name}={width!r} must be a whole number of 1 or more')
        if norm_cfg is not None and norm_cfg['type'] not in NORMS:
            raise UserError(
                f'MLPProjector: norm_cfg.type={norm_cfg["type"]!r} is unknown: use {", ".join(NORMS)} or None'
            )
        if norm_cfg is not None:
            # BN alone means images to mmcv; projections are rows.
            norm_cfg = {**norm_cfg, 'type': {'BN': 'BN1d'}.get(norm_cfg['type'], norm_cfg['type'])}
        self.in_channels = in_channels
        self.out_channels = out_channels
        layers, width = [], in_channels
        for _ in range(num_layers - 1):
            layers.append(nn.Linear(width, hidden_channels, bias=norm_cfg is None))
            if norm_cfg is not None:
                layers.append(build_norm_layer(norm_cfg, hidden_channels)[1])
            layers.append(nn.ReLU(inplace=True))
            width = hidden_channels
        self.layers = nn.Sequential(*layers, nn.Linear(width, out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Project ``(..., in_channels)`` to ``(..., out_channels)``; statistics run over all leading axes."""
        return self.layers(features.flatten(0, -2)).unflatten(0, features.shape[:-1])
