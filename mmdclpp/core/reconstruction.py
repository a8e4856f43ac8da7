"""How far a reconstruction is from its image."""

import torch
from torch import Tensor

from mmdclpp.errors import UserError

from .precision import full_precision


def reconstruction_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """``L_r = ‖x - x̂‖ / √n``, mean over this process's views, where ``n`` is the number of values of a view.

    The poster has the norm alone, which grows with the side of the view. Divided by ``√n`` it is the root mean square
    error of a view, in units of its normalised values, so that the weight ``γ`` means the same at every resolution.

    The norm has no gradient at ``x = x̂``; there it is taken as 0, which is one of its subgradients.

    Args:
        prediction (Tensor): ``x̂``, shape ``(V, ...)``.
        target (Tensor): ``x``, of the same shape.

    Returns:
        Tensor: The loss, a scalar in float32, or in float64 where an argument is.

    Raises:
        UserError: If the shapes differ.

    References:
        Iskender et al., arXiv 2210.05063, the poster's "Reconstruction as an Auxiliary Task".
    """
    if prediction.shape != target.shape:
        raise UserError(
            f'prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must have one shape: let the '
            "decoder give images of the views' size"
        )
    with full_precision(prediction, target) as (prediction, target):
        errors = (prediction - target).flatten(1)
        # Not a root of a mean of squares, whose gradient at 0 is 0/0: this norm's is 0.
        return torch.linalg.vector_norm(errors, dim=1).mean() / errors.shape[1] ** 0.5
