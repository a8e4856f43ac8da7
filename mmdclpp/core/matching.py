"""Dense correspondences between the two views of an image."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .layout import siblings
from .precision import full_precision


@torch.no_grad()
def match_positions(pair_features: Tensor) -> Tensor:
    """For every position the most similar one of the sibling view, without gradient.

    ``k⁺(v, k) = argmax_m cos(p[v, k], p[s(v), m])`` (DenseCL, arXiv 2011.09157, section 3.3).

    Args:
        pair_features (Tensor): ``p``, shape ``(2·B, K, C)``, first views then second views.

    Returns:
        Tensor: Index of the match in the sibling view, shape ``(2·B, K)``.
    """
    with full_precision(pair_features) as (features,):
        features = normalize(features, dim=-1)
        return torch.bmm(features, siblings(features).transpose(1, 2)).argmax(dim=2)
