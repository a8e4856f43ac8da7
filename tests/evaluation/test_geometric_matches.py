"""Geometric matches against a loop from the definition, and on views whose matches are evident."""

import math

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mmdclpp.errors import UserError
from mmdclpp.evaluation.geometric_matches import ViewGeometry, geometric_matches

WHOLE = (0.0, 0.0, 1.0, 1.0)


def geometry(boxes, flips) -> ViewGeometry:
    return ViewGeometry(torch.tensor(boxes, dtype=torch.float64), torch.tensor(flips))


def by_loops(matches: Tensor, views: ViewGeometry, grid):
    """Every cell of the sibling that shows the place of the anchor's centre; the nearest is where it lies inside."""
    rows, columns = grid
    exact, near, reachable = [], [], []

    def cell_in_image(view: int, cell: int):
        """Edges of a cell in the image, left to right."""
        x0, y0, x1, y1 = views.boxes[view].tolist()
        row, column = divmod(cell, columns)
        if views.flips[view]:
            column = columns - 1 - column
        width, height = (x1 - x0) / columns, (y1 - y0) / rows
        return x0 + column * width, y0 + row * height, x0 + (column + 1) * width, y0 + (row + 1) * height

    number = len(matches) // 2
    for view in range(2 * number):
        sibling = (view + number) % (2 * number)
        for anchor in range(rows * columns):
            left, top, right, bottom = cell_in_image(view, anchor)
            x, y = (left + right) / 2, (top + bottom) / 2
            cells = [cell_in_image(sibling, cell) for cell in range(rows * columns)]
            holds = [x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in cells]
            if not any(holds):
                continue
            true = holds.index(True)
            neighbours = [
                cell
                for cell in range(rows * columns)
                if abs(cell // columns - true // columns) <= 1 and abs(cell % columns - true % columns) <= 1
            ]
            match = int(matches[view, anchor])
            exact.append(match == true)
            near.append(match in neighbours)
            reachable.append(len(neighbours) / (rows * columns))
    return np.mean(exact), np.mean(near), 1 / (rows * columns), np.mean(reachable), len(exact)


@pytest.mark.parametrize('seed', range(8))
def test_shares_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    grid = (3, 5)
    corners = rng.uniform(0, 0.4, (8, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.3, 0.6, (8, 2))], axis=1)
    views = geometry(boxes, rng.random(8) < 0.5)
    matches = torch.from_numpy(rng.integers(0, 15, (8, 15)))
    assert geometric_matches(matches, views, grid) == pytest.approx(by_loops(matches, views, grid))


@pytest.mark.parametrize('flips', [(False, False), (True, True), (False, True), (True, False)])
def test_true_matches_of_two_whole_views_are_all_exact(flips):
    cells = torch.arange(12).view(3, 4)
    true = cells.flip(1) if flips[0] != flips[1] else cells
    found = geometric_matches(true.reshape(1, 12).repeat(2, 1), geometry([WHOLE, WHOLE], flips), (3, 4))
    assert (found.exact, found.near, found.num_anchors) == (1, 1, 24)


def test_random_matches_reach_the_chance_level():
    views = geometry([(0, 0, 0.8, 0.8), (0.1, 0.2, 0.9, 1)] * 1000, [False, True] * 1000)
    random = torch.randint(36, (2000, 36), generator=torch.Generator().manual_seed(0))
    found = geometric_matches(random, views, (6, 6))
    assert found.exact == pytest.approx(found.exact_chance, rel=0.05)
    assert found.near == pytest.approx(found.near_chance, rel=0.05)


def test_views_that_do_not_overlap_have_no_anchor():
    apart = geometry([(0, 0, 0.5, 1), (0.5, 0, 1, 1)], [False, False])
    found = geometric_matches(torch.zeros(2, 4, dtype=torch.long), apart, (2, 2))
    assert found.num_anchors == 0 and math.isnan(found.exact)


def test_geometry_is_read_from_data_samples_in_the_canonical_order():
    boxes = [(0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3), (0, 0, 4, 4)]
    samples = [
        DataSample(metainfo=dict(view_boxes=[boxes[0], boxes[2]], view_flips=[False, True])),
        DataSample(metainfo=dict(view_boxes=[boxes[1], boxes[3]], view_flips=[False, False])),
    ]
    views = ViewGeometry.of(samples)
    assert views.boxes[:, 2].tolist() == [1, 2, 3, 4] and views.flips.tolist() == [False, False, True, False]
    assert ViewGeometry.of([*samples, DataSample()]) is None and ViewGeometry.of(None) is None


def test_a_grid_that_is_not_that_of_the_matches_is_refused():
    with pytest.raises(UserError, match='2 x 2 cells'):
        geometric_matches(torch.zeros(2, 6, dtype=torch.long), geometry([WHOLE, WHOLE], [False, False]), (2, 2))
