"""The method as its definition reads: loops over views, positions and sets, in float64.

Written from the formulas, not from the code under test, for the whole global batch in canonical order:
view ``v`` of ``V``, whose sibling is ``v ± V/2``. Only the random draws come from outside, since they must
be shared. Slow by intent; differentiable, so that gradients can be compared too.
"""

from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor


class Result(NamedTuple):
    """Means over all anchors of the global batch, and the logarithm of every anchor's denominator."""

    loss: Tensor
    positive_similarity: Tensor
    negative_similarity: Tensor
    num_negatives: Tensor
    log_sum_exp: Tensor


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def sibling(view: int, num_views: int) -> int:
    return (view + num_views // 2) % num_views


def others(view: int, num_views: int) -> List[int]:
    """The views of other images."""
    return [j for j in range(num_views) if j not in (view, sibling(view, num_views))]


def denominator(anchor: Tensor, positive: Tensor, negatives: Sequence[Tensor], temperature: float) -> Tensor:
    return sum(torch.exp(anchor @ other / temperature) for other in (positive, *negatives))


def info_nce(anchor: Tensor, positive: Tensor, negatives: Sequence[Tensor], temperature: float) -> Tensor:
    return -torch.log(
        torch.exp(anchor @ positive / temperature) / denominator(anchor, positive, negatives, temperature)
    )


def global_loss(projections: Tensor, temperature: float) -> Result:
    """NT-Xent of ``(V, D)``: the sum over ``j ≠ v`` is the positive and the views of other images."""
    g = [unit(row) for row in projections]
    num_views = len(g)
    return _collect(
        ((g[v], g[sibling(v, num_views)], [g[j] for j in others(v, num_views)]) for v in range(num_views)), temperature
    )


def match(pair_features: Tensor) -> List[List[int]]:
    """``k⁺[v][k]`` of ``(V, K, C)``."""
    num_views, num_positions, _ = pair_features.shape
    p = [[unit(row) for row in view] for view in pair_features.detach()]
    matches = []
    for v in range(num_views):
        facing = p[sibling(v, num_views)]
        matches.append([max(range(num_positions), key=lambda m: p[v][k] @ facing[m]) for k in range(num_positions)])
    return matches


class Views(NamedTuple):
    """A global batch: ``h``, ``z`` indexed as ``[view][position]``, the matches and the draws."""

    h: Tensor
    z: List[List[Tensor]]
    k_plus: List[List[int]]
    draws: object


# A kind of negatives: (views, stream of draws) -> (v, k) -> negatives of that anchor.
Kind = Callable[[Views, str], Callable[[int, int], List[Tensor]]]


def mean_of_view(views: Views, stream: str):
    u = [unit(h.mean(dim=0)) for h in views.h]
    return lambda v, k: [u[j] for j in others(v, len(u))]


def random_position(views: Views, stream: str):
    num_views, num_positions, _ = views.h.shape
    (m,) = views.draws.positions(stream, 1, num_views, num_positions).tolist()
    return lambda v, k: [views.z[j][m[j]] for j in others(v, num_views)]


def every_position(views: Views, stream: str):
    return lambda v, k: [z for j in others(v, len(views.z)) for z in views.z[j]]


def set_score(views: Views, v: int, chosen: Sequence[int], threshold: Optional[float]) -> float:
    """``mean_{k,j} q̄(z[v,k]·z[j, m_j])`` of one set for one anchor view."""
    similarities = [(anchor @ views.z[j][chosen[j]]).item() for anchor in views.z[v] for j in others(v, len(views.z))]
    quantised = [-1.0 if threshold is not None and q <= threshold else q for q in similarities]
    return sum(quantised) / len(quantised)


def guided(num_sets: int, threshold: Optional[float] = None) -> Kind:
    def kind(views: Views, stream: str):
        num_views, num_positions, _ = views.h.shape
        sets = views.draws.positions(stream, num_sets, num_views, num_positions).tolist()
        best = [max(sets, key=lambda m: set_score(views, v, m, threshold)) for v in range(num_views)]
        return lambda v, k: [views.z[j][best[v][j]] for j in others(v, num_views)]

    return kind


def cross_view(num_negatives: int) -> Kind:
    """Of the ``N + 1`` positions drawn for the anchor's view the first ``N`` that are not the match, in the sibling."""

    def kind(views: Views, stream: str):
        num_views, num_positions, _ = views.h.shape
        drawn = views.draws.subsets(stream, num_negatives + 1, num_views, num_positions).tolist()

        def negatives(v: int, k: int) -> List[Tensor]:
            facing = sibling(v, num_views)
            kept = [m for m in drawn[v] if m != views.k_plus[v][k]][:num_negatives]
            return [views.z[facing][m] for m in kept]

        return negatives

    return kind


def dense_loss(
    projections: Tensor,
    pair_features: Tensor,
    kinds: Sequence[Tuple[Kind, str]],
    temperature: float,
    draws,
) -> Result:
    """Dense InfoNCE of ``(V, K, D)`` under the union of the kinds, each with its stream of draws."""
    num_views, num_positions, _ = projections.shape
    z = [[unit(h) for h in view] for view in projections]
    views = Views(projections, z, match(pair_features), draws)
    sources = [kind(views, stream) for kind, stream in kinds]
    return _collect(
        (
            (z[v][k], z[sibling(v, num_views)][views.k_plus[v][k]], [n for source in sources for n in source(v, k)])
            for v in range(num_views)
            for k in range(num_positions)
        ),
        temperature,
    )


def _collect(anchors, temperature: float) -> Result:
    losses, positives, similarities, counts, logarithms = [], [], [], [], []
    for anchor, positive, negatives in anchors:
        losses.append(info_nce(anchor, positive, negatives, temperature))
        positives.append((anchor @ positive).detach())
        similarities.extend((anchor @ n).detach() for n in negatives)
        counts.append(torch.tensor(len(negatives), dtype=torch.float64))
        logarithms.append(denominator(anchor, positive, negatives, temperature).log().detach())
    means = (torch.stack(values).mean() for values in (losses, positives, similarities, counts))
    return Result(*means, torch.stack(logarithms))
