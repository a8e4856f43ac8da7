"""How similar positions of one image are to each other, and to those of other images."""

from typing import NamedTuple, Optional, Union

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.core.layout import ViewLayout
from mmdclpp.core.memory import buffer_bytes, chunks
from mmdclpp.core.precision import full_precision
from mmdclpp.errors import UserError

# What float32, in which histograms count, holds exactly.
_MOST_PAIRS = 2**24


class Similarities(NamedTuple):
    """Something about the cosine similarities of three kinds of pairs of positions, of ``B`` images in two views.

    Attributes:
        intra (float | Tensor): Two different positions of one view: ``B·K·(K - 1)`` pairs.
        cross_view (float | Tensor): A position of each view of an image: ``B·K²`` pairs.
        inter (float | Tensor): Positions of views of different images: ``2·B·(B - 1)·K²`` pairs.
    """

    intra: Union[float, Tensor]
    cross_view: Union[float, Tensor]
    inter: Union[float, Tensor]


@torch.no_grad()
def similarity_means(dense: Tensor) -> Similarities:
    """The mean similarity of all pairs of each kind, exactly, in a single pass over the features.

    The mean over the pairs of two sets of unit vectors is the product of the sets' means, so that no pair is formed.

    Args:
        dense (Tensor): Dense features, shape ``(2·B, K, C)``, first views then second views.

    Returns:
        Similarities: Means, in [-1, 1]. NaN for ``intra`` if there is but one position.

    Raises:
        UserError: If the features are not those of two views of at least two images.
    """
    unit = _unit(dense)
    num_views, num_positions = unit.shape[:2]
    num_images = num_views // 2
    views = unit.sum(dim=1).double()
    first, second = views.chunk(2)
    intra = views.square().sum() - unit.double().square().sum()
    inter = views.sum(dim=0).square().sum() - (first + second).square().sum()
    pairs = num_positions**2
    return Similarities(
        float(intra) / (num_views * (pairs - num_positions)) if num_positions > 1 else float('nan'),
        float((first * second).sum()) / (num_images * pairs),
        float(inter) / (4 * num_images * (num_images - 1) * pairs),
    )


@torch.no_grad()
def similarity_histograms(dense: Tensor, num_bins: int = 100, memory_budget: Optional[float] = None) -> Similarities:
    """How the similarities of all pairs of each kind are distributed over equal bins of [-1, 1].

    Every pair is counted once; a few images' pairs are held at a time.

    Args:
        dense (Tensor): Dense features, shape ``(2·B, K, C)``, first views then second views.
        num_bins (int): Number of bins. Defaults to 100.
        memory_budget (float, optional): MiB for the similarities held at a time. Defaults to None, which takes a size
            that is fast on the device.

    Returns:
        Similarities: Densities, float64 on the CPU, of shape ``(num_bins,)``: they sum to ``num_bins / 2``.

    Raises:
        UserError: If the features are not those of two views of at least two images, or there is no bin.
    """
    if num_bins < 1:
        raise UserError(f'num_bins={num_bins} must be 1 or more')
    unit = _unit(dense)
    num_positions = unit.shape[1]
    images = torch.cat(unit.chunk(2), dim=1)  # (B, 2·K, C), the views of an image together
    available = min(buffer_bytes(memory_budget, unit.device), _MOST_PAIRS * unit.element_size())
    counts = torch.zeros(3, num_bins, dtype=torch.float64, device=unit.device)

    def count(kind: int, similarities: Tensor) -> None:
        # Rounding may leave the interval.
        counts[kind] += torch.histc(similarities.clamp(-1, 1), num_bins, -1, 1)

    row, column = torch.triu_indices(num_positions, num_positions, offset=1, device=unit.device)
    for index, image in enumerate(images):
        first, second = image.chunk(2)
        for view in (first, second):
            count(0, (view @ view.T)[row, column])
        count(1, first @ second.T)
        others = images[index + 1 :].flatten(end_dim=1)
        for part in chunks(len(others), len(image) * image.element_size(), available):
            count(2, image @ others[part].T)
    return Similarities(*(counts / counts.sum(dim=1, keepdim=True) * num_bins / 2).cpu())


def _unit(dense: Tensor) -> Tensor:
    """The features, each of length one, float32 at least."""
    if dense.dim() != 3 or ViewLayout.of(dense).num_images < 2:
        raise UserError(f'dense features {tuple(dense.shape)} must be (2·B, K, C), of two views of 2 images or more')
    with full_precision(dense) as (dense,):
        return normalize(dense, dim=-1)
