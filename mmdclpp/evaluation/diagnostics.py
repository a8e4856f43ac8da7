"""Figures that tell, without labels, whether features have collapsed."""

import math
from typing import Dict, Optional, Tuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.core.layout import ViewLayout
from mmdclpp.core.matching import match_positions
from mmdclpp.core.precision import full_precision
from mmdclpp.errors import UserError

from .geometric_matches import ViewGeometry, geometric_matches
from .similarities import similarity_means


def global_figures(features: Tensor) -> Dict[str, float]:
    """All figures of global features: ``alignment``, ``uniformity``, ``global_rank`` and ``global_std``.

    Args:
        features (Tensor): Shape ``(2·B, C)``, first views then second views; need not be normalised.

    Raises:
        UserError: If they are not those of two views of at least two images.
    """
    return {
        'alignment': alignment(features),
        'uniformity': uniformity(features),
        'global_rank': effective_rank(features),
        'global_std': relative_std(features),
    }


def dense_figures(
    dense: Tensor,
    grid: Optional[Tuple[int, int]] = None,
    geometry: Optional[ViewGeometry] = None,
    max_rows: Optional[int] = None,
) -> Dict[str, float]:
    """All figures of dense features.

    They are the mean similarities ``intra``, ``cross_view`` and ``inter``, ``dense_rank`` and ``dense_std``; and with
    grid and geometry ``exact_matches``, ``near_matches``, and of both ``*_chance``.

    Args:
        dense (Tensor): Shape ``(2·B, K, C)``, first views then second views; need not be normalised.
        grid (Tuple[int, int], optional): Rows and columns of the positions. Defaults to None.
        geometry (ViewGeometry, optional): Where the views lie. Defaults to None.
        max_rows (int, optional): Take the rank of so many positions at most, evenly spread over all. Defaults to
            None, all.

    Raises:
        UserError: If they are not those of two views of at least two images, or the grid does not fit.
    """
    figures = similarity_means(dense)._asdict()
    rows = dense.detach().flatten(end_dim=1)
    if max_rows is not None and len(rows) > max_rows:
        rows = rows[torch.linspace(0, len(rows) - 1, max_rows, device=rows.device).long()]
    figures.update(dense_rank=effective_rank(rows), dense_std=relative_std(dense.detach().flatten(end_dim=1)))
    if grid is not None and geometry is not None:
        found = geometric_matches(match_positions(dense.detach()).cpu(), geometry, grid)
        figures.update(
            exact_matches=found.exact,
            exact_matches_chance=found.exact_chance,
            near_matches=found.near,
            near_matches_chance=found.near_chance,
        )
    return figures


@torch.no_grad()
def alignment(features: Tensor) -> float:
    """Mean squared distance of the two views of an image, ``E ‖g - g⁺‖²`` of normalised features.

    Wang and Isola 2020, arXiv 2005.10242, section 4.1.1, with α = 2. In [0, 4]; 0 if views do not matter.

    Args:
        features (Tensor): Shape ``(2·B, C)``, first views then second views.
    """
    first, second = _unit_views(features)
    return float((first - second).square().sum(dim=1).double().mean())


@torch.no_grad()
def uniformity(features: Tensor) -> float:
    """``log E exp(-2·‖g - g'‖²)`` over pairs of different images, of normalised features.

    Wang and Isola 2020, arXiv 2005.10242, section 4.1.2, with t = 2: the mean of that over first views and that over
    second views. In [-8, 0]: 0 if all features are the same, near -4 if they are spread evenly over a sphere of many
    dimensions.

    Args:
        features (Tensor): Shape ``(2·B, C)``, first views then second views.
    """
    values = []
    for view in _unit_views(features):
        distance = (2 - 2 * (view @ view.T)).clamp(min=0)
        kernel = (-2 * distance).exp().double()
        pairs = kernel.sum() - kernel.diagonal().sum()
        values.append(float((pairs / (len(view) * (len(view) - 1))).log()))
    return sum(values) / 2


@torch.no_grad()
def effective_rank(features: Tensor) -> float:
    """RankMe, ``exp(-Σ p·log p)`` with ``p = σ / Σσ + 1e-7`` of the singular values ``σ``.

    Garrido et al. 2022, arXiv 2210.02885, eq. 1 and 2. Features are neither centred nor normalised. Between 1, where
    all are multiples of one, and ``min(N, C)``. NaN if a feature is not finite.

    Args:
        features (Tensor): Shape ``(N, C)``.
    """
    with full_precision(features) as (rows,):
        rows = rows.double()
        if not rows.isfinite().all():
            return math.nan
        smaller = rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T
        singular = torch.linalg.eigvalsh(smaller).clamp(min=0).sqrt()
    share = singular / singular.sum().clamp(min=torch.finfo(singular.dtype).tiny) + 1e-7
    return float((-(share * share.log()).sum()).exp())


@torch.no_grad()
def relative_std(features: Tensor) -> float:
    """Standard deviation of normalised features, mean over dimensions, as a share of ``1 / √C``.

    Chen and He 2020, SimSiam, arXiv 2011.10566, section 4.1: 0 if all are the same, near 1 if they are spread evenly
    over the sphere. A share, so that it means the same for every ``C``.

    Args:
        features (Tensor): Shape ``(N, C)``.
    """
    with full_precision(features) as (features,):
        unit = normalize(features, dim=-1)
    return float(unit.std(dim=0, correction=0).mean()) * features.shape[1] ** 0.5


def _unit_views(features: Tensor) -> Tuple[Tensor, Tensor]:
    """The first and the second views, normalised."""
    if features.dim() != 2 or ViewLayout.of(features).num_images < 2:
        raise UserError(f'global features {tuple(features.shape)} must be (2·B, C), of two views of 2 images or more')
    with full_precision(features) as (features,):
        first, second = normalize(features, dim=-1).chunk(2)
    return first, second
