"""The configs of the two losses: temperatures, pair feature and negatives."""

from typing import Optional, Sequence

from mmengine.model import BaseModule
from torch import Tensor

from mmdclpp.core import Draws, InfoNCE, dense_loss, global_loss
from mmdclpp.core.info_nce import check_temperature
from mmdclpp.core.memory import check_memory_budget
from mmdclpp.errors import UserError
from mmdclpp.models.negatives import build_negatives
from mmdclpp.registry import MODELS

PAIR_FEATURES = ('backbone', 'projection')


@MODELS.register_module()
class GlobalInfoNCEHead(BaseModule):
    """SimCLR's loss on the global projections: :func:`mmdclpp.core.global_loss`.

    Args:
        temperature (float): ``τ``. Defaults to 0.1.
        memory_budget (float, optional): MiB for the similarities held at a time; the loss does not depend on it.
            Defaults to None, which takes a size that is fast on the device.
    """

    def __init__(self, temperature: float = 0.1, memory_budget: Optional[float] = None) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.memory_budget = check_memory_budget(memory_budget)

    def loss(self, projections: Tensor) -> InfoNCE:
        """Loss of global projections of shape ``(2·B, D)``."""
        return global_loss(projections, self.temperature, self.memory_budget)


@MODELS.register_module()
class DenseInfoNCEHead(BaseModule):
    """InfoNCE on the dense projections: :func:`mmdclpp.core.dense_loss`.

    Args:
        negatives (Sequence[dict]): Configs of negative samplers, together the negatives of an anchor.
            Defaults to ``[dict(type='RandomNegatives')]``, which is DenseCL++.
        pair_feature (str): What positives are matched by: ``'backbone'`` or ``'projection'``.
            Defaults to 'backbone'.
        temperature (float): ``τ_d``. Defaults to 0.2.
        memory_budget (float, optional): MiB for what matching, scoring and loss each hold at a time; the loss does
            not depend on it. Defaults to None, which takes a size that is fast on the device.
    """

    def __init__(
        self,
        negatives: Sequence[dict] = (dict(type='RandomNegatives'),),
        pair_feature: str = 'backbone',
        temperature: float = 0.2,
        memory_budget: Optional[float] = None,
    ) -> None:
        super().__init__()
        if pair_feature not in PAIR_FEATURES:
            raise UserError(
                f'dense_head: pair_feature={pair_feature!r} is unknown: use {" or ".join(map(repr, PAIR_FEATURES))}'
            )
        self.negatives = build_negatives(negatives)
        self.pair_feature = pair_feature
        self.temperature = check_temperature(temperature)
        self.memory_budget = check_memory_budget(memory_budget)

    def loss(self, projections: Tensor, positions: Tensor, draws: Draws) -> InfoNCE:
        """Loss of dense projections.

        Args:
            projections (Tensor): ``h``, shape ``(2·B, K, D)``.
            positions (Tensor): Backbone features on the same grid, shape ``(2·B, K, C)``.
            draws (Draws): Randomness of this iteration.
        """
        pair_features = positions if self.pair_feature == 'backbone' else projections
        return dense_loss(projections, pair_features, self.negatives, self.temperature, draws, self.memory_budget)
