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
        memory_budget (float, optional): MiB for what is held at a time, at least one image's. Defaults to None,
            which takes a size that is fast on the device.

    Returns:
        Tensor: Index of the match in the sibling view, shape ``(2·B, K)``.
    """
    num_images = ViewLayout.of(pair_features).num_images
    num_positions, channels = pair_features.shape[1:]
    first, second = pair_features[:num_images], pair_features[num_images:]
    matches = torch.empty(pair_features.shape[:2], dtype=torch.long, device=pair_features.device)
    bytes_of_image = num_positions * (num_positions + 2 * channels) * max(pair_features.element_size(), 4)
    for images in chunks(num_images, bytes_of_image, buffer_bytes(memory_budget, pair_features.device)):
        with full_precision(first[images], second[images]) as pair:
            one, other = (normalize(view, dim=-1) for view in pair)
            similarity = torch.bmm(one, other.transpose(1, 2))
        matches[:num_images][images] = similarity.argmax(dim=2)
        matches[num_images:][images] = similarity.argmax(dim=1)
    return matches
