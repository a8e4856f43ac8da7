"""The dense features of a step, of this process and of the others."""

from typing import Optional

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .draws import Draws
from .gather import gather_views
from .layout import ViewLayout, siblings
from .precision import full_precision


class DenseViews:
    """What samplers may look at: this process's dense features, and of everyone's as much as they need.

    Args:
        projections (Tensor): ``h``, not normalised, shape ``(2·B, K, D)``, first views then second.
        matches (Tensor): ``k⁺``, shape ``(2·B, K)``.
        draws (Draws): Source of randomness, the same on every process.
        memory_budget (float, optional): MiB for what a computation holds at a time. Defaults to None, by device.
    """

    def __init__(
        self, projections: Tensor, matches: Tensor, draws: Draws, memory_budget: Optional[float] = None
    ) -> None:
        self.layout = ViewLayout.of(projections)
        self.features = _normalized(projections)
        self.projections = projections
        self.matches = matches
        self.draws = draws
        self.memory_budget = memory_budget

    @property
    def num_positions(self) -> int:
        """Positions of a view, ``K``."""
        return self.features.shape[1]

    @property
    def positives(self) -> Tensor:
        """The matched feature of the sibling view for every anchor, shape ``(2·B, K, D)``."""
        index = self.matches[..., None].expand_as(self.features)
        return siblings(self.features).gather(1, index)

    @property
    def own_image(self) -> Tensor:
        """The two views of the global batch that are no negatives of a local view, shape ``(2·B, 1, 2)``.

        Raises:
            UserError: If the global batch holds one image only.
        """
        return self.layout.own_image(self.features.device)[:, None]

    @torch.no_grad()
    def gathered(self, positions: Optional[Tensor] = None) -> Tensor:
        """Every view's normalised features without gradient, sent in the precision of the projections.

        Args:
            positions (Tensor, optional): Of each view, shape ``(V, P)``; None takes all ``K``. Defaults to None.

        Returns:
            Tensor: Shape ``(V, P, D)``.
        """
        if self.layout.world_size == 1:
            return self.features.detach() if positions is None else take(self.features.detach(), positions)
        local = self.projections.detach()
        local = local if positions is None else take(local, self._of_local_views(positions))
        return _normalized(gather_views(local, self.layout))

    def gathered_with_gradient(self, positions: Optional[Tensor] = None, known: Optional[Tensor] = None) -> Tensor:
        """Every view's normalised features with gradient; the gradients of these positions alone are sent back.

        Args:
            positions (Tensor, optional): Of each view, shape ``(V, P)``; None takes all ``K``. Defaults to None.
            known (Tensor, optional): What :meth:`gathered` gave for them, which then is not sent again.
                Defaults to None.

        Returns:
            Tensor: Shape ``(V, P, D)``.
        """
        local = self.features if positions is None else take(self.features, self._of_local_views(positions))
        if self.layout.world_size > 1 and known is None:
            known = self.gathered(positions)
        return gather_views(local, self.layout, known)

    def _of_local_views(self, positions: Tensor) -> Tensor:
        return positions[self.layout.local(positions.device)]


def _normalized(features: Tensor) -> Tensor:
    with full_precision(features) as (features,):
        return normalize(features, dim=-1)


def take(features: Tensor, positions: Tensor) -> Tensor:
    """``features[v, positions[v, p]]``: of ``(v, K, D)`` and ``(v, P)`` to ``(v, P, D)``."""
    return features[torch.arange(len(positions), device=features.device)[:, None], positions]
