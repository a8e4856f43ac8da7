"""Dense correspondences between the two views of an image."""

from typing import Optional

import torch
from torch import Tensor
from torch.nn.functional import normalize

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
    num_positions, channels = pair_features.shape[1:]
    first, second = pair_features[:num_images], pair_features[num_images:]
    matches = torch.empty(pair_features.shape[:2], dtype=torch.long, device=pair_features.device)
    to_second, to_first = matches[:num_images], matches[num_images:]
    bytes_each = max(pair_features.element_size(), 4)
    available = buffer_bytes(memory_budget, pair_features.device)
    for images in chunks(num_images, num_positions * (num_positions + 2 * channels) * bytes_each, available):
        with full_precision(first[images], second[images]) as pair:
            one, other = (normalize(view, dim=-1) for view in pair)
            best = None
            for rows in chunks(num_positions, len(one) * num_positions * bytes_each, available):
                similarity = torch.bmm(one[:, rows], other.transpose(1, 2))
                to_second[images, rows] = similarity.argmax(dim=2)
                highest, position = similarity.max(dim=1)
                del similarity  # before the next one is made
                if best is None:
                    best, to_first[images] = highest, position
                else:
                    to_first[images] = torch.where(highest > best, position + rows.start, to_first[images])
                    best = torch.maximum(highest, best)
    return matches
