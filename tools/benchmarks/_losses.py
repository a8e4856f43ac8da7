"""What loss_cost.py compares: our losses, the same with full logits or recomputation, and those of other libraries."""

import argparse
import math
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from _report import Spread, progress, time_interleaved
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.utils.checkpoint import checkpoint

from mmdclpp.core import (
    AllNegatives,
    CrossViewNegatives,
    DenseViews,
    Draws,
    GuidedNegatives,
    NegativeGroup,
    NegativeSampler,
    RandomNegatives,
    dense_loss,
    global_loss,
    match_positions,
    siblings,
)
from mmdclpp.core.memory import buffer_bytes, chunks
from mmdclpp.utils.measure import peak_memory
from mmdclpp.utils.torchvision_heal import heal_torchvision

Loss = Callable[[], Tensor]

DENSE_TEMPERATURE, GLOBAL_TEMPERATURE = 0.2, 0.1
BARE_BYTES = 2**30  # of similarities that the bare products hold at a time
WARMUP = 1  # besides the calls that check the results and measure memory
# Relative errors. Under autocast the other libraries multiply in bfloat16, which has 8 bits.
TOLERANCES = {'float32': 1e-4, 'bfloat16': 3e-2}


def _cross_view(num_positions: int) -> CrossViewNegatives:
    """With the poster's 64 negatives, or two thirds of the positions where those are fewer."""
    return CrossViewNegatives(min(64, num_positions * 2 // 3))


NEGATIVES: Dict[str, Callable[[int], List[NegativeSampler]]] = {
    'all': lambda num_positions: [AllNegatives()],
    'random': lambda num_positions: [RandomNegatives()],
    'guided': lambda num_positions: [GuidedNegatives(256)],
    'guided-beta': lambda num_positions: [GuidedNegatives(256, 0.5)],
    'cross-view': lambda num_positions: [_cross_view(num_positions)],
    'densecl_pp_star': lambda num_positions: [GuidedNegatives(256, 0.5), _cross_view(num_positions)],
}


class Setting(NamedTuple):
    """One point of the grid. The global loss has one position a view."""

    part: str
    negatives: str
    dim: int
    dtype: str
    views: int
    positions: int


class Contest(NamedTuple):
    """The losses of one setting.

    Attributes:
        projections (Tensor): The leaf that all losses take.
        losses (Dict[str, Optional[Loss]]): By name; None is not to be had here, or too large.
        bare (Callable, optional): The matrix products that no implementation can spare.
    """

    projections: Tensor
    losses: Dict[str, Optional[Loss]]
    bare: Optional[Callable[[], None]]


def dense_contest(setting: Setting, args: argparse.Namespace) -> Contest:
    """The dense losses. Matching and choosing negatives are the same code in all of them."""
    projections = _leaf(setting, args.device)
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randn(setting.views, setting.positions, args.pair_channels, generator=generator).to(projections)
    samplers = NEGATIVES[setting.negatives](setting.positions)

    def ours(budget: Optional[float]) -> Tensor:
        return dense_loss(projections, pairs, samplers, DENSE_TEMPERATURE, memory_budget=budget).loss

    def inputs(budget: Optional[float]) -> Tuple[Tensor, Tensor, List[NegativeGroup]]:
        views = DenseViews(projections, match_positions(pairs, budget), Draws(), budget)
        groups = [sampler(views, f'{index}/{type(sampler).__name__}') for index, sampler in enumerate(samplers)]
        return views.features, views.positives, groups

    def recompute(budget: Optional[float]) -> Tensor:
        return recomputed_info_nce(*inputs(budget), DENSE_TEMPERATURE, budget)

    def plain() -> Tensor:
        return full_logits_info_nce(*inputs(args.memory_budget[0]), DENSE_TEMPERATURE)

    with torch.no_grad():
        groups = inputs(args.memory_budget[0])[2]
    num_anchors = setting.views * setting.positions
    fits = _fits(num_anchors, sum(group.num_candidates for group in groups), args)
    losses = {**_by_budget('ours', ours, args), **_by_budget('recompute', recompute, args), 'plain': fits and plain}
    shared = len(groups) == 1 and groups[0].index is None
    bare = BareProducts(num_anchors, groups[0].num_candidates, setting.dim, args.device) if shared else None
    return Contest(projections, losses, bare)


def global_contest(setting: Setting, args: argparse.Namespace) -> Contest:
    """The global losses, ours and those of other libraries."""
    projections = _leaf(setting, args.device).detach()[:, 0].requires_grad_()
    fits = _fits(setting.views, setting.views, args)

    def ours(budget: Optional[float]) -> Tensor:
        return global_loss(projections, GLOBAL_TEMPERATURE, memory_budget=budget).loss

    losses = {**_by_budget('ours', ours, args), 'plain': fits and partial(full_logits_nt_xent, projections)}
    for name, library in LIBRARIES.items():
        too_large = name != 'inf_cl' and not fits  # all but inf_cl hold the full logits
        losses[name] = None if too_large or missing(name, setting.dim, args.device) else library(projections)
    return Contest(projections, losses, BareProducts(setting.views, setting.views, setting.dim, args.device))


def _leaf(setting: Setting, device: str) -> Tensor:
    size = (setting.views, setting.positions, setting.dim)
    projections = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return projections.to(device, getattr(torch, setting.dtype)).requires_grad_()


def _by_budget(name: str, loss: Callable[[Optional[float]], Tensor], args: argparse.Namespace) -> Dict[str, Loss]:
    labels = [name if budget is None else f'{name}, {budget:g} MiB' for budget in args.memory_budget]
    return {label: partial(loss, budget) for label, budget in zip(labels, args.memory_budget)}


def _fits(num_anchors: int, num_candidates: int, args: argparse.Namespace) -> Optional[bool]:
    """True, or None where full logits are larger than the user wants them to be."""
    return num_anchors * num_candidates * 4 <= args.max_plain_gib * 2**30 or None


def full_logits_info_nce(
    anchors: Tensor, positives: Tensor, groups: Sequence[NegativeGroup], temperature: float
) -> Tensor:
    """:func:`mmdclpp.core.info_nce` as one writes it without streaming. Of several ways to, the one of least memory."""
    with torch.autocast(anchors.device.type, enabled=False):
        scaled = anchors / temperature
        positive = (scaled * positives).sum(2, keepdim=True)
        # In one expression, which lets go of the parts before the softmax.
        logits = torch.cat([positive, *(_logits(scaled, group) for group in groups)], dim=2).flatten(0, 1)
        return cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def _logits(scaled: Tensor, group: NegativeGroup) -> Tensor:
    candidates = group.features if group.index is None else group.features[group.index]
    size = (*group.excluded.shape[:2], group.num_candidates // group.block_size)
    excluded = torch.zeros(size, dtype=torch.bool, device=scaled.device).scatter_(2, group.excluded, True)
    return (scaled @ candidates.mT).masked_fill_(excluded.repeat_interleave(group.block_size, 2), -math.inf)


def recomputed_info_nce(
    anchors: Tensor,
    positives: Tensor,
    groups: Sequence[NegativeGroup],
    temperature: float,
    memory_budget: Optional[float],
) -> Tensor:
    """The same a chunk of anchors at a time, computed again in the backward pass: a fourth matrix product."""
    num_views, num_positions, _ = anchors.shape
    available = buffer_bytes(memory_budget, anchors.device)
    bytes_of_anchor = anchors.element_size() * sum(group.num_candidates for group in groups)
    loss = anchors.new_zeros(())
    views = chunks(num_views, num_positions * bytes_of_anchor, available)
    # Splits, because the gradient of a slice has the size of the whole.
    for view, of_views in zip(views, _split((anchors, positives), views, 0)):
        positions = chunks(num_positions, len(of_views[0]) * bytes_of_anchor, available)
        for position, chunk in zip(positions, _split(of_views, positions, 1)):
            of_chunk = [_of_chunk(group, view, position) for group in groups]
            part = checkpoint(full_logits_info_nce, *chunk, of_chunk, temperature, use_reentrant=False)
            loss = loss + part * (chunk[0].shape[:2].numel() / (num_views * num_positions))
    return loss


def _split(tensors: Sequence[Tensor], slices: Sequence[slice], dim: int) -> List[Tuple[Tensor, ...]]:
    sizes = [part.stop - part.start for part in slices]
    return list(zip(*(tensor.split(sizes, dim) for tensor in tensors)))


def _of_chunk(group: NegativeGroup, views: slice, positions: slice) -> NegativeGroup:
    excluded = group.excluded[views] if group.excluded.shape[1] == 1 else group.excluded[views, positions]
    return group._replace(excluded=excluded, index=None if group.index is None else group.index[views])


def full_logits_nt_xent(projections: Tensor) -> Tensor:
    """:func:`mmdclpp.core.global_loss` as one writes it without streaming."""
    with torch.autocast(projections.device.type, enabled=False):
        features = normalize(projections.float(), dim=1)
        logits = (features / GLOBAL_TEMPERATURE) @ features.T
        logits.fill_diagonal_(-math.inf)
        return cross_entropy(logits, siblings(torch.arange(len(logits), device=logits.device)))


class BareProducts:
    """The three matrix products that the loss needs at least: logits, and gradients of anchors and of candidates."""

    def __init__(self, num_anchors: int, num_candidates: int, dim: int, device: str) -> None:
        self.anchors, self.to_anchors = torch.randn(2, num_anchors, dim, device=device)
        self.candidates, self.to_candidates = torch.randn(2, num_candidates, dim, device=device)
        self.rows = chunks(num_anchors, num_candidates * 4, BARE_BYTES)
        self.logits = torch.empty(max(rows.stop - rows.start for rows in self.rows), num_candidates, device=device)

    def __call__(self) -> None:
        for rows in self.rows:
            logits = self.logits[: rows.stop - rows.start]
            torch.mm(self.anchors[rows], self.candidates.T, out=logits)
            torch.mm(logits, self.candidates, out=self.to_anchors[rows])
            torch.mm(logits.T, self.anchors[rows], out=self.to_candidates)


def _lightly(projections: Tensor) -> Loss:
    heal_torchvision()
    from lightly.loss import NTXentLoss

    loss = NTXentLoss(GLOBAL_TEMPERATURE)
    return lambda: loss(*projections.chunk(2))


def _mmpretrain(projections: Tensor) -> Loss:
    import_module('mmdclpp.registry')  # first: it heals what mmpretrain imports
    from mmpretrain.models import SimCLR

    head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=GLOBAL_TEMPERATURE)
    model = SimCLR(backbone=nn.Flatten(), neck=_AsTuple(), head=head)
    return lambda: model.loss(list(projections[..., None, None].chunk(2)), None)['loss']


class _AsTuple(nn.Module):
    def forward(self, features: Tensor) -> Tuple[Tensor]:
        return (features,)


def _inf_cl(projections: Tensor) -> Loss:
    """It excludes nothing, so that every view is its own negative too: the same work to another value."""
    from inf_cl import cal_inf_loss

    labels = siblings(torch.arange(len(projections), device=projections.device))

    def loss() -> Tensor:
        features = normalize(projections.float(), dim=1)
        return cal_inf_loss(features / GLOBAL_TEMPERATURE, features, labels, head_dim=min(features.shape[1], 256))

    return loss


LIBRARIES = {'lightly': _lightly, 'mmpretrain': _mmpretrain, 'inf_cl': _inf_cl}


def missing(library: str, dim: int, device: str) -> Optional[str]:
    """Why a library's loss cannot be measured here, None if it can."""
    if library == 'inf_cl' and device != 'cuda':
        return 'inf_cl runs on CUDA only'
    if find_spec(library) is None:
        return f'{library} is not installed: pip install -r requirements/benchmarks.txt'
    if library == 'inf_cl' and (dim < 16 or dim & (dim - 1)):
        return f'inf_cl needs a power of two from 16 as --dim, not {dim}'
    return None


def measure(setting: Setting, args: argparse.Namespace, label: str) -> List[dict]:
    """Check that the losses of a setting agree, then measure them.

    Returns:
        List[dict]: One row a loss: the setting, ``loss`` (its name), ``median``, ``lower`` and ``upper`` in
        milliseconds, ``peak_bytes``, and these relative to the plain version and to the bare products. None where
        there is nothing to measure or to compare with.
    """
    contest = (dense_contest if setting.part == 'dense' else global_contest)(setting, args)
    precision = partial(torch.autocast, args.device, torch.bfloat16, enabled=setting.dtype == 'bfloat16')

    def step(loss: Loss) -> Tuple[Tensor, Tensor]:
        with precision():
            value = loss()
        value.backward()
        gradient, contest.projections.grad = contest.projections.grad, None
        return value.detach(), gradient

    cases = {name: partial(step, loss) for name, loss in contest.losses.items() if loss is not None}
    results, peaks = {}, {}
    for name, case in progress(cases.items(), f'{label}: memory'):
        results[name], peaks[name] = case(), peak_memory(case, args.device)
    check_agreement(results, TOLERANCES[setting.dtype])
    if contest.bare is not None:
        cases['bare'] = contest.bare
    times = time_interleaved(cases, args.rounds, WARMUP, args.device, f'{label}: time')
    spreads = {name: Spread.of(milliseconds) for name, milliseconds in times.items()}
    medians = {name: spread.median for name, spread in spreads.items()}
    return [
        dict(
            **setting._asdict(),
            loss=name,
            **(spreads[name]._asdict() if name in spreads else dict.fromkeys(Spread._fields)),
            to_plain=_ratio(medians, name, 'plain'),
            to_bare=_ratio(medians, name, 'bare'),
            peak_bytes=peaks.get(name),
            memory_to_plain=_ratio(peaks, name, 'plain'),
        )
        for name in (*contest.losses, 'bare')
    ]


def _ratio(values: Dict[str, float], name: str, reference: str) -> Optional[float]:
    return values[name] / values[reference] if name in values and reference in values else None


def check_agreement(results: Dict[str, Tuple[Tensor, Tensor]], tolerance: float) -> None:
    """Raise an AssertionError unless all losses, and their gradients, are those of the plain version.

    Args:
        results (Dict[str, Tuple[Tensor, Tensor]]): Value and gradient by name. Where ``'plain'`` was too large, ours
            stands for it. ``'inf_cl'`` may differ.
        tolerance (float): Of the value and of the gradient's norm, relative.
    """
    reference = 'plain' if 'plain' in results else next(iter(results))
    for name, result in results.items():
        if name == 'inf_cl':
            continue
        for what, found, expected in zip(('value', 'gradient'), result, results[reference]):
            error = ((found.float() - expected.float()).norm() / expected.float().norm()).item()
            if not error <= tolerance:
                raise AssertionError(f'{name} and {reference} differ in their {what} by {error:.1e} of it')
