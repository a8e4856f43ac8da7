"""Dense correspondences between the two views of an image."""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from .layout import ViewLayout
from .memory import buffer_bytes, chunks
from .precision import full_precision


@torch.no_grad()
def match_positions(pair_features: Tensor, memory_budget: Optional[float] = None) -> Tensor:
    """For every position the most similar one of the sibling view, without gradient.

    ``k⁺(v, k) = argmax_m cos(p[v, k], p[s(v), m])`` (DenseCL, arXiv 2011.09157, section 3.3). One table of
    similarities an image serves both of its views; a few images' tables are held at a time.

    Args:
        pair_features (Tensor): ``p``, shape ``(2·B, K, C)``, first views then second views.
        memory_budget (float, optional): MiB for the similarities held at a time, beside one image's features.
            Defaults to None, which takes a size that is fast on the device.

    Returns:
        Tensor: Index of the match in the sibling view, shape ``(2·B, K)``.
    """
    num_images = ViewLayout.of(pair_features).num_images
    return torch.cat(_match(pair_features[:num_images], pair_features[num_images:], memory_budget))


class Matches(NamedTuple):
    """What :func:`mutual_matches` finds, each of shape ``(N, K)``.

    Attributes:
        target (Tensor): Index of the most similar position of the second view.
        similarity (Tensor): Their cosine similarity.
        mutual (Tensor): Boolean, whether the position is in turn the most similar one to its target.
    """

    target: Tensor
    similarity: Tensor
    mutual: Tensor


@torch.no_grad()
def mutual_matches(positions_a: Tensor, positions_b: Tensor, memory_budget: Optional[float] = None) -> Matches:
    """Match each position of the first views with the most similar one of the second views, without gradient.

    Args:
        positions_a (Tensor): Dense features of ``N`` first views, shape ``(N, K, C)``; need not be normalised.
        positions_b (Tensor): Those of the second views, shape ``(N, L, C)``.
        memory_budget (float, optional): See :func:`~mmdclpp.core.match_positions`. Defaults to None.

    Returns:
        Matches: Targets, similarities, and which matches are mutual.
    """
    forth, back = _match(positions_a, positions_b, memory_budget)
    targets = positions_b.gather(1, forth[..., None].expand(-1, -1, positions_b.shape[2]))
    similarity = cosine_similarity(positions_a, targets, dim=-1)
    mutual = back.gather(1, forth) == torch.arange(forth.shape[1], device=forth.device)
    return Matches(forth, similarity, mutual)


def _match(first: Tensor, second: Tensor, memory_budget: Optional[float]) -> Tuple[Tensor, Tensor]:
    """Of ``(N, K, C)`` and ``(N, L, C)`` the most similar position of the other, shapes ``(N, K)`` and ``(N, L)``."""
    (num_images, num_first, channels), num_second = first.shape, second.shape[1]
    to_second, to_first = (
        torch.empty(view.shape[:2], dtype=torch.long, device=first.device) for view in (first, second)
    )
    bytes_each = max(first.element_size(), 4)
    available = buffer_bytes(memory_budget, first.device)
    bytes_of_image = (num_first * num_second + (num_first + num_second) * channels) * bytes_each
    for images in chunks(num_images, bytes_of_image, available):
        with full_precision(first[images], second[images]) as pair:
            one, other = (normalize(view, dim=-1) for view in pair)
            best = None
            for rows in chunks(num_first, len(one) * num_second * bytes_each, available):
                similarity = torch.bmm(one[:, rows], other.transpose(1, 2))
                to_second[images, rows] = similarity.argmax(dim=2)
                highest, position = similarity.max(dim=1)
                del similarity  # before the next one is made
                if best is None:
                    best, to_first[images] = highest, position
                else:
                    to_first[images] = torch.where(highest > best, position + rows.start, to_first[images])
                    best = torch.maximum(highest, best)
    return to_second, to_first
