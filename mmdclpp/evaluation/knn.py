"""Multi-label classification by the nearest training images."""

from typing import Optional

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.core.memory import buffer_bytes, chunks
from mmdclpp.errors import UserError

from .feature_checks import check_features


@torch.no_grad()
def knn_scores(
    train_features: Tensor,
    train_targets: Tensor,
    features: Tensor,
    k: int = 20,
    temperature: float = 0.07,
    memory_budget: Optional[float] = None,
) -> Tensor:
    """Score images by a weighted vote of their nearest training images.

    Nearest by cosine similarity; a vote weighs ``exp(similarity / temperature)``, as in the k-NN evaluation of
    instance discrimination (arXiv 1805.01978) and DINO (arXiv 2104.14294), here over each class by itself. A neighbour
    in which a class is ignored has no vote on it.

    Args:
        train_features (Tensor): Shape ``(N, D)``.
        train_targets (Tensor): Shape ``(N, C)``; 1, 0, or -1 for ignored entries.
        features (Tensor): Of the images to score, shape ``(M, D)``.
        k (int): How many neighbours vote. Defaults to 20, or all training images if they are fewer.
        temperature (float): Defaults to 0.07, DINO's.
        memory_budget (float, optional): MiB that similarities may take at a time. Defaults to None, as in
            ``mmdclpp.core.memory``.

    Returns:
        Tensor: Shape ``(M, C)``, float32 in [0, 1]; 0 where no neighbour has a vote.

    Raises:
        UserError: If ``k`` or ``temperature`` is not positive, there is no training image, shapes do not fit, or a
            feature is not finite.
    """
    if k < 1 or not temperature > 0:
        raise UserError(f'k={k}, temperature={temperature}: both must be positive')
    if len(train_features) == 0:
        raise UserError('train_features is empty: there is no neighbour to vote')
    check_features(train_features, train_targets, features)
    k = min(k, len(train_features))
    keys, queries = (normalize(each.float(), dim=1) for each in (train_features, features))
    labelled, positive = train_targets >= 0, (train_targets > 0).to(keys)
    scores = keys.new_zeros(len(queries), train_targets.shape[1])
    # Of each image: its similarities, and what its neighbours say of every class.
    bytes_each = 4 * (len(keys) + 3 * k * train_targets.shape[1])
    for part in chunks(len(queries), bytes_each, buffer_bytes(memory_budget, keys.device)):
        similarity, nearest = (queries[part] @ keys.T).topk(k, dim=1)
        votes = (similarity / temperature)[:, :, None].where(labelled[nearest], torch.finfo(keys.dtype).min)
        # Relative to the class's nearest vote: at a low temperature the exponentials overflow, or all vanish.
        weight = (votes - votes.amax(dim=1, keepdim=True)).exp()
        scores[part] = (weight * positive[nearest]).sum(dim=1) / weight.sum(dim=1)
    return scores
