"""Triton kernels. Only what uses them imports this module, so that the core works where Triton is not installed."""

import os
from typing import Dict, Tuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from mmdclpp.errors import UserError

from .memory import chunks

_INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'  # kernels run on the CPU, one program after another
_TAIL = 16  # the narrowest tile that tensor cores take
# Candidates and anchors a tile, and warps, for H100 and A100. Tuning passes over what shared memory has no room for;
# the last ones fit every GPU since Ampere.
_TILES = ((256, 64, 8), (128, 64, 8), (128, 32, 4), (128, 32, 8), (64, 32, 4), (64, 16, 4))
_CONFIGS = [
    triton.Config(dict(BLOCK_R=block_r, BLOCK_K=block_k, VIEWS=8), num_warps=num_warps, num_stages=2)
    for block_r, block_k, num_warps in _TILES
]


@torch.compiler.disable  # tuning cannot be traced, and one kernel has nothing to gain from it
def thresholded_mean_triton(anchors: Tensor, candidates: Tensor, threshold: float, available: int) -> Tensor:
    """The fused form of :func:`mmdclpp.core.thresholded_mean.thresholded_mean`: writes the means and nothing larger.

    At the threshold a rounding error becomes a step, so similarities have to be as exact as float32's, which single
    TF32 or float16 products are not. Every input is split into the sum of two float16, which keep 22 bits of it
    (errors below 2⁻²⁵ aside). Three of the four products are summed in float32 on tensor cores; the fourth is below
    2⁻²² of the first. That takes half the time of TF32x3 or BF16x6 (``tl.dot``'s ``input_precision``), to the same
    end, and asks that features fit float16, as those of unit length do.

    Args:
        anchors (Tensor): Shape ``(c, K, D)``, float32.
        candidates (Tensor): Shape ``(R, D)``, float32.
        threshold (float): ``β``.
        available (int): Bytes that the split candidates may take at a time.

    Returns:
        Tensor: Shape ``(c, R)``.
    """
    if anchors.dtype != torch.float32 or not (anchors.is_cuda or _INTERPRETED):
        raise UserError(
            f"backend='triton' takes float32 on a GPU, not {anchors.dtype} on {anchors.device}: use backend='torch'"
        )
    num_views, num_anchors, depth = anchors.shape
    means = anchors.new_empty(num_views, len(candidates))
    if not means.numel():
        return means
    anchor_halves = _split(anchors.flatten(0, 1), _room(num_views * num_anchors, anchors))
    columns = chunks(len(candidates), depth * candidates.element_size(), available)
    room = _room(max(column.stop - column.start for column in columns), candidates)
    with torch.cuda.device_of(anchors):
        for column in columns:
            some = candidates[column]
            _thresholded_mean[_programs](
                *anchor_halves,
                *_split(some, room[:, : len(some)]),
                means[:, column],
                num_views,
                num_anchors,
                len(some),
                means.stride(0),
                float(threshold),
                D=depth,
                # Of deeper features the tiles would not fit in shared memory: they come in parts.
                BLOCK_D=max(triton.next_power_of_2(depth), _TAIL) if depth <= 256 else 64,
                TAIL=_TAIL,
            )
    return means


def _room(length: int, values: Tensor) -> Tensor:
    return values.new_empty((2, length, values.shape[-1]), dtype=torch.float16)


def _split(values: Tensor, room: Tensor) -> Tensor:
    """Write ``values ≈ high + low`` into ``room``, as two float16 matrices."""
    high, low = room
    high.copy_(values)
    torch.sub(values, high, out=low)  # subtracted in float32, then rounded
    return room


def _programs(arguments: Dict[str, object]) -> Tuple[int]:
    tiles = triton.cdiv(arguments['R'], arguments['BLOCK_R'])
    return (tiles * triton.cdiv(arguments['c'], arguments['VIEWS']),)


@triton.autotune(_CONFIGS[:1] if _INTERPRETED else _CONFIGS, key=['K', 'D'])
@triton.jit
def _thresholded_mean(
    anchors_high,
    anchors_low,
    candidates_high,
    candidates_low,
    means,
    c,
    K,
    R,
    stride,
    threshold,
    D: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    TAIL: tl.constexpr,
    VIEWS: tl.constexpr,
):
    """A tile of candidates stays in shared memory while the anchors of some views stream past it.

    Programs that run at a time share few tiles of candidates and go through all views: candidates are read from memory
    once, anchors from the L2 cache. Narrow tiles take the anchors that do not fill a wide one: 196 positions cost as
    much as 208 would, not as 256.
    """
    groups = tl.cdiv(c, VIEWS)
    program = tl.program_id(0)
    rows = (program // groups).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    first = program % groups * VIEWS
    depth = tl.arange(0, BLOCK_D)
    high = _load(candidates_high, rows[:, None], depth[None, :], R, D)
    low = _load(candidates_low, rows[:, None], depth[None, :], R, D)
    whole = K // BLOCK_K * BLOCK_K
    for offset in range(0, tl.minimum(VIEWS, c - first)):
        view = first.to(tl.int64) + offset
        skip = view * K * D
        sums = tl.zeros([BLOCK_R], tl.float32)
        for start in range(0, whole, BLOCK_K):
            positions = start + tl.arange(0, BLOCK_K)
            q = _similarity(
                high, low, candidates_high, candidates_low, rows, R,
                anchors_high + skip, anchors_low + skip, positions, K, D, BLOCK_D,
            )  # fmt: skip
            sums += tl.sum(tl.where(q <= threshold, -1.0, q), axis=1)
        for start in range(whole, K, TAIL):
            positions = start + tl.arange(0, TAIL)
            q = _similarity(
                high, low, candidates_high, candidates_low, rows, R,
                anchors_high + skip, anchors_low + skip, positions, K, D, BLOCK_D,
            )  # fmt: skip
            # What fills up the tile must count nothing, whatever a similarity of 0 would count.
            sums += tl.sum(tl.where(positions[None, :] < K, tl.where(q <= threshold, -1.0, q), 0.0), axis=1)
        tl.store(means + view * stride + rows, sums / K, mask=rows < R)


@triton.jit
def _similarity(
    high, low, candidates_high, candidates_low, rows, R,
    anchors_high, anchors_low, positions, K, D: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Products of a tile of candidates, whose first ``BLOCK_D`` columns are loaded already, and a tile of anchors."""
    depth = tl.arange(0, BLOCK_D)
    anchor_high = _load(anchors_high, positions[None, :], depth[:, None], K, D)
    anchor_low = _load(anchors_low, positions[None, :], depth[:, None], K, D)
    q = tl.dot(low, anchor_high)  # the small terms first: float32 then rounds them at their own size
    q = tl.dot(high, anchor_low, q)
    q = tl.dot(high, anchor_high, q)
    for start in range(BLOCK_D, D, BLOCK_D):
        depth = start + tl.arange(0, BLOCK_D)
        high = _load(candidates_high, rows[:, None], depth[None, :], R, D)
        low = _load(candidates_low, rows[:, None], depth[None, :], R, D)
        anchor_high = _load(anchors_high, positions[None, :], depth[:, None], K, D)
        anchor_low = _load(anchors_low, positions[None, :], depth[:, None], K, D)
        q = tl.dot(low, anchor_high, q)
        q = tl.dot(high, anchor_low, q)
        q = tl.dot(high, anchor_high, q)
    return q


@triton.jit
def _load(matrix, rows, columns, num_rows, D: tl.constexpr):
    return tl.load(matrix + rows * D + columns, mask=(rows < num_rows) & (columns < D), other=0.0)
