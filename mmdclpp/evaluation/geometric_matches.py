"""Whether positions are matched with those that show the same place of the image."""

import math
from typing import NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmdclpp.core.layout import siblings
from mmdclpp.errors import UserError


class ViewGeometry(NamedTuple):
    """Where in their images ``2·B`` views lie, first views then second views.

    Attributes:
        boxes (Tensor): Edges ``(x0, y0, x1, y1)`` of the crops, shape ``(2·B, 4)``, in units that are the same for
            both views of an image.
        flips (Tensor): Whether a view was mirrored left to right after it was cropped, boolean, shape ``(2·B,)``.
    """

    boxes: Tensor
    flips: Tensor

    @classmethod
    def of(cls, samples: Optional[Sequence[BaseDataElement]]) -> Optional['ViewGeometry']:
        """What a batch's data samples have of it, as ``MultiViewWithGeometry`` records it: None if one has nothing."""
        if not samples or any('view_boxes' not in sample or 'view_flips' not in sample for sample in samples):
            return None
        boxes = torch.tensor([sample.view_boxes for sample in samples], dtype=torch.float64)
        flips = torch.tensor([sample.view_flips for sample in samples])
        return cls(boxes.transpose(0, 1).flatten(end_dim=1), flips.T.flatten())


class GeometricMatches(NamedTuple):
    """Shares of the anchors that lie in the overlap of both views, and what random matches would give.

    Attributes:
        exact (float): Matched with the cell that holds the anchor's place, which is the nearest one.
        near (float): Matched with that cell or one of its up to eight neighbours.
        exact_chance (float): ``exact`` of matches drawn uniformly from all positions, ``1 / K``.
        near_chance (float): ``near`` of such matches: the mean number of those cells, over ``K``.
        num_anchors (int): How many anchors that were. With none, all shares are NaN.
    """

    exact: float
    near: float
    exact_chance: float
    near_chance: float
    num_anchors: int


def geometric_matches(matches: Tensor, geometry: ViewGeometry, grid: Tuple[int, int]) -> GeometricMatches:
    """Compare matches with where in the image the positions lie.

    The centre of an anchor's cell is a place in the image. If the sibling view shows it, the anchor counts, and one
    cell of the sibling holds it.

    Args:
        matches (Tensor): Index of each position's match in the sibling view, as from
            :func:`~mmdclpp.core.match_positions`, shape ``(2·B, K)``.
        geometry (ViewGeometry): Of the same views.
        grid (Tuple[int, int]): Rows and columns of the positions, which are in row-major order.

    Returns:
        GeometricMatches: Shares, in [0, 1].

    Raises:
        UserError: If the matches, the geometry and the grid do not belong together.
    """
    rows, columns = grid
    if matches.shape != (len(geometry.boxes), rows * columns):
        raise UserError(
            f'matches {tuple(matches.shape)} do not belong to {len(geometry.boxes)} views of {rows} x {columns} cells'
        )
    x, y = _places(geometry, grid)
    sibling = ViewGeometry(*map(siblings, geometry))
    x0, y0, x1, y1 = sibling.boxes.double()[:, :, None].unbind(1)
    along = (x - x0) / (x1 - x0)
    along = torch.where(sibling.flips[:, None], 1 - along, along)
    down = (y - y0) / (y1 - y0)
    counted = (along >= 0) & (along < 1) & (down >= 0) & (down < 1)
    num_anchors = int(counted.sum())
    if num_anchors == 0:
        return GeometricMatches(*[math.nan] * 4, num_anchors)
    row, column = (down[counted] * rows).long(), (along[counted] * columns).long()
    chosen = matches.to(row.device)[counted]
    away = torch.maximum((chosen // columns - row).abs(), (chosen % columns - column).abs())
    neighbours = _in_reach(row, rows) * _in_reach(column, columns)
    return GeometricMatches(
        float((away == 0).double().mean()),
        float((away <= 1).double().mean()),
        1 / (rows * columns),
        float(neighbours.double().mean()) / (rows * columns),
        num_anchors,
    )


def _places(geometry: ViewGeometry, grid: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
    """Where in the image the cells' centres lie: ``x`` and ``y``, each of shape ``(2·B, K)``."""
    rows, columns = grid
    x0, y0, x1, y1 = geometry.boxes.double()[:, :, None].unbind(1)
    options = dict(dtype=torch.float64, device=geometry.boxes.device)
    down = ((torch.arange(rows, **options) + 0.5) / rows).repeat_interleave(columns)
    along = ((torch.arange(columns, **options) + 0.5) / columns).repeat(rows)
    along = torch.where(geometry.flips[:, None], 1 - along, along)
    return x0 + along * (x1 - x0), y0 + down * (y1 - y0)


def _in_reach(index: Tensor, size: int) -> Tensor:
    """How many of ``size`` rows or columns are at most one away from each of ``index``."""
    return (index + 1).clamp(max=size - 1) - (index - 1).clamp(min=0) + 1
