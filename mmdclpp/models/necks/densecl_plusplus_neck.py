"""From backbone features to the global and the dense projections."""

from typing import NamedTuple, Optional

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures, check_aggregate
from mmdclpp.registry import MODELS


class Projections(NamedTuple):
    """What the heads see of ``V`` views.

    Attributes:
        global_projections (Tensor, optional): ``g``, not normalised, shape ``(V, D)``.
        dense_projections (Tensor, optional): ``h``, not normalised, shape ``(V, K, D)``.
        positions (Tensor): Backbone features on the grid of the dense projections, shape ``(V, K, C)``.
    """

    global_projections: Optional[Tensor]
    dense_projections: Optional[Tensor]
    positions: Tensor


@MODELS.register_module()
class DenseCLPlusPlusNeck(BaseModule):
    """A global projector for the aggregate and a dense one for the positions (DenseCL, arXiv 2011.09157).

    Args:
        in_channels (int): Channels of the backbone, ``C``.
        aggregate (str): Global feature: ``'cls'``, the class token, or ``'gap'``, the mean of the
            positions. Defaults to 'gap'.
        num_grid (int, optional): Pool the positions to a ``num_grid × num_grid`` grid before projecting;
            matching then works on this grid. None keeps the backbone's. Defaults to None.
        global_projector (dict): Config of the global projector without ``in_channels``; None builds none.
            Defaults to ``dict(type='MLPProjector')``.
        dense_projector (dict): The same for the dense projector. Defaults to ``dict(type='MLPProjector')``.
        init_cfg (dict, optional): Initialisation of the weights. Defaults to None.
    """

    def __init__(
        self,
        in_channels: int,
        aggregate: str = 'gap',
        num_grid: Optional[int] = None,
        global_projector: Optional[dict] = dict(type='MLPProjector'),  # noqa: B006  (never changed)
        dense_projector: Optional[dict] = dict(type='MLPProjector'),  # noqa: B006
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        check_aggregate(aggregate)
        if num_grid is not None and (not isinstance(num_grid, int) or num_grid < 1):
            raise UserError(f'neck: num_grid={num_grid!r} must be a whole number of 1 or more, or None')
        self.in_channels = in_channels
        self.aggregate = aggregate
        self.num_grid = num_grid
        self.global_projector = self._build(global_projector)
        self.dense_projector = self._build(dense_projector)

    def _build(self, projector: Optional[dict]) -> Optional[BaseModule]:
        return projector and MODELS.build({'in_channels': self.in_channels, **projector})

    def forward(self, features: BackboneFeatures) -> Projections:
        """Project.

        Args:
            features (BackboneFeatures): Of ``V`` views.

        Returns:
            Projections: Of the same views.
        """
        channels = features.positions.shape[-1]
        if channels != self.in_channels:
            raise UserError(f'neck: in_channels={self.in_channels} but the backbone gives {channels}: set them equal')
        positions = self._pool(features)
        return Projections(
            self.global_projector and self.global_projector(features.aggregate(self.aggregate)),
            self.dense_projector and self.dense_projector(positions),
            positions,
        )

    def _pool(self, features: BackboneFeatures) -> Tensor:
        if self.num_grid is None:
            return features.positions
        if self.num_grid > min(features.grid):
            raise UserError(
                f'neck: num_grid={self.num_grid} but the backbone gives {features.grid[0]} x {features.grid[1]} '
                'positions: pooling cannot add any, use a smaller num_grid or None'
            )
        feature_map = features.positions.transpose(1, 2).unflatten(2, features.grid)
        return adaptive_avg_pool2d(feature_map, self.num_grid).flatten(2).transpose(1, 2)
