"""The two contrastive losses of DenseCL++, for any training loop."""

from typing import Optional, Sequence

from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.errors import UserError

from .dense_views import DenseViews
from .draws import Draws
from .gather import gather_views
from .info_nce import InfoNCE, NegativeGroup, info_nce
from .layout import ViewLayout, siblings
from .matching import match_positions
from .negatives import NegativeSampler
from .precision import full_precision


def global_loss(projections: Tensor, temperature: float = 0.1, memory_budget: Optional[float] = None) -> InfoNCE:
    """SimCLR's NT-Xent over the global batch.

    ``L_g[v] = -log( exp(g[v]·g[s(v)]/τ) / Σ_{j≠v} exp(g[v]·g[j]/τ) )``, mean over this process's views.

    Args:
        projections (Tensor): Not normalised, shape ``(2·B, D)``: the first views of this process's
            images, then the second.
        temperature (float): ``τ``. Defaults to 0.1.
        memory_budget (float, optional): See :func:`info_nce`. Defaults to None.

    Returns:
        InfoNCE: Loss and statistics.

    References:
        Chen et al., arXiv 2002.05709, eq. 1.
    """
    layout = ViewLayout.of(projections)
    with full_precision(projections) as (projections,):
        features = normalize(projections, dim=-1)
    negatives = NegativeGroup(gather_views(features, layout), layout.own_image(features.device)[:, None])
    return info_nce(features[:, None], siblings(features)[:, None], [negatives], temperature, memory_budget)


def dense_loss(
    projections: Tensor,
    pair_features: Tensor,
    negatives: Sequence[NegativeSampler],
    temperature: float = 0.2,
    draws: Draws = Draws(),  # noqa: B008  (immutable)
    memory_budget: Optional[float] = None,
) -> InfoNCE:
    """Dense InfoNCE: every position against its match in the sibling view and the samplers' negatives.

    The mean over positions stands where the poster has a sum, so that the weight ``λ`` means the same
    at every resolution.

    Args:
        projections (Tensor): Dense projections ``h``, not normalised, shape ``(2·B, K, D)``: the first
            views of this process's images, then the second.
        pair_features (Tensor): What is matched, shape ``(2·B, K, C)``: backbone features or projections.
        negatives (Sequence[NegativeSampler]): Together they give an anchor's negatives.
        temperature (float): ``τ_d``. Defaults to 0.2.
        draws (Draws): Randomness, keyed on seed and iteration. Defaults to ``Draws()``, the same draws
            at every call: give one for every training iteration.
        memory_budget (float, optional): MiB for what matching, scoring and loss each hold at a time. The result does
            not depend on it. Defaults to None, which takes a size that is fast on the device.

    Returns:
        InfoNCE: Loss and statistics.

    Raises:
        UserError: If there is no sampler, or the two features differ in views or positions.

    References:
        Iskender et al., arXiv 2210.05063.
    """
    if not negatives:
        raise UserError('negatives is empty: give at least one sampler, such as RandomNegatives()')
    if pair_features.shape[:2] != projections.shape[:2]:
        raise UserError(
            f'pair_features {tuple(pair_features.shape)} and projections {tuple(projections.shape)} must agree in '
            'views and positions: pool both to one grid'
        )
    views = DenseViews(projections, match_positions(pair_features, memory_budget), draws, memory_budget)
    groups = [sampler(views, f'{index}/{type(sampler).__name__}') for index, sampler in enumerate(negatives)]
    return info_nce(views.features, views.positives, groups, temperature, memory_budget)
