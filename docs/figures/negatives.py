"""Draw docs/images/negatives.png: which positions each kind of negatives takes, as `mmdclpp.core` itself chooses them.

Usage: python docs/figures/negatives.py [OUT.png]
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from PIL import Image
from torch import Tensor

from mmdclpp.core import (
    CrossViewNegatives,
    DenseViews,
    Draws,
    GlobalNegatives,
    GuidedNegatives,
    NegativeSampler,
    RandomNegatives,
    match_positions,
)
from mmdclpp.datasets.scenes import draw_scene
from mmdclpp.visualization.style import COLOURS, INK, LABEL, TITLE, bare, legend_below, new_figure, save_figure

OUT = Path(__file__).resolve().parents[1] / 'images/negatives.png'
GRID = 6
CELL = 32  # px
GAP = 20  # px, between views
ANCHOR_VIEW, ANCHOR = 0, 2 * GRID + 3
SETS = 3
# Left, top and side of each view in its scene of 12 × 12 cells, and whether it is flipped; in canonical order.
CROPS = ((2, 1, 8, False), (0, 2, 8, False), (3, 2, 8, True), (2, 2, 9, True))
POSITIVE, NEGATIVE = COLOURS[2], COLOURS[1]
PANELS = (
    ('GlobalNegatives (DenseCL):\nthe mean of each view of another image', GlobalNegatives()),
    ('RandomNegatives (DenseCL++):\na random position of each', RandomNegatives()),
    (f'GuidedNegatives: of {SETS} such sets\nthe one most like view v', GuidedNegatives(SETS)),
    ('CrossViewNegatives, beside others:\nN = 5 positions of the sibling, not k⁺', CrossViewNegatives(5)),
)


class View(NamedTuple):
    """A view: its pixels, and the place in its scene that each position shows, shape ``(K, 2)``, in [0, 1]."""

    pixels: np.ndarray
    places: Tensor


def cut(scene: np.ndarray, left: int, top: int, side: int, flip: bool) -> View:
    """A crop of a scene, enlarged to ``GRID`` × ``GRID`` cells."""
    pixel = np.arange(GRID * CELL) * side // GRID
    columns = pixel[::-1] if flip else pixel
    pixels = scene[np.ix_(top * CELL + pixel, left * CELL + columns)]
    centres = (torch.arange(GRID) + 0.5) * side / GRID
    x, y = left + (centres.flip(0) if flip else centres), top + centres
    return View(pixels, torch.cartesian_prod(y, x) * CELL / len(scene))


def dense_views(views: list[View]) -> DenseViews:
    """The views with features that know their place and their colour, and a mark of each position to know it again."""
    angles = torch.stack([view.places for view in views])
    pair_features = torch.cat([angles.cos(), angles.sin()], dim=2)  # similar where places are near
    cells = np.stack([view.pixels for view in views]).reshape(len(views), GRID, CELL, GRID, CELL, 3)
    colours = torch.from_numpy(cells.mean(axis=(2, 4)) / 255).float().flatten(1, 2)
    marks = torch.eye(len(views) * GRID**2).unflatten(0, (len(views), -1))
    projections = torch.cat([colours - colours.mean(dim=(0, 1)), 0.01 * marks], dim=2)
    return DenseViews(projections, match_positions(pair_features), Draws(seed=16))


def taken(views: DenseViews, sampler: NegativeSampler) -> Tensor:
    """Which positions are, or are part of, the anchor's negatives: booleans of shape ``(V, K)``."""
    group = sampler(views, 'figure')
    candidates = group.features if group.index is None else group.features[group.index[ANCHOR_VIEW]]
    excluded = group.excluded[ANCHOR_VIEW, ANCHOR % group.excluded.shape[1]]
    is_negative = torch.ones(len(candidates), dtype=torch.bool).index_fill(0, excluded, False)
    marks = candidates[is_negative][:, -views.layout.num_views * views.num_positions :]
    return (marks > 0).any(dim=0).unflatten(0, (-1, views.num_positions))


def corner(view: int, position: int = 0) -> tuple[float, float]:
    """Left and top of a position: images in rows, their two views side by side."""
    column, row = divmod(view, 2)
    step = GRID * CELL + GAP
    return column * step + position % GRID * CELL, row * step + position // GRID * CELL


def mark(axes: Axes, view: int, position: int, colour: str, fill: float = 0.0, text: str = '') -> None:
    left, top = corner(view, position)
    square = {'facecolor': (colour, fill), 'edgecolor': colour, 'linewidth': 2.2}
    axes.add_patch(Rectangle((left + 1.5, top + 1.5), CELL - 3, CELL - 3, **square))
    style = {'ha': 'center', 'va': 'center', 'fontsize': 9, 'color': 'white', 'fontweight': 'bold'}
    axes.text(left + CELL / 2, top + CELL / 2, text, **style)


def draw(axes: Axes, pictures: list[View], views: DenseViews, title: str, sampler: NegativeSampler) -> None:
    bare(axes)
    axes.set_title(title, **TITLE)
    for index, (picture, name) in enumerate(zip(pictures, ('view v', 'j', 'sibling s(v)', 'j, other view'))):
        left, top = corner(index)
        extent = (left, left + GRID * CELL, top + GRID * CELL, top)
        axes.imshow(picture.pixels, extent=extent, alpha=0.55, interpolation='bilinear')
        axes.text(left + GRID * CELL / 2, top - 4, name, ha='center', **LABEL)
        for line in range(GRID + 1):
            axes.plot([left, left + GRID * CELL], [top + line * CELL] * 2, color='white', linewidth=0.8)
            axes.plot([left + line * CELL] * 2, [top, top + GRID * CELL], color='white', linewidth=0.8)
    if isinstance(sampler, GuidedNegatives):
        for number, positions in enumerate(views.draws.positions('figure', SETS, len(pictures), GRID**2), start=1):
            for view in (1, 3):
                mark(axes, view, int(positions[view]), INK, fill=0.5, text=str(number))
    for view, position in taken(views, sampler).nonzero().tolist():
        mark(axes, view, position, NEGATIVE, fill=0.35 if isinstance(sampler, GlobalNegatives) else 0.8)
    mark(axes, ANCHOR_VIEW, ANCHOR, INK, fill=0.8, text='k')
    mark(axes, 2, int(views.matches[ANCHOR_VIEW, ANCHOR]), POSITIVE, fill=0.8, text='k⁺')
    end = 2 * GRID * CELL + GAP
    axes.set(xlim=(-2, end + 2), ylim=(end + 2, -22))


def main(out_png: Path) -> None:
    rng = np.random.default_rng(7)
    scenes = [draw_scene(rng, 12 * CELL).image[..., ::-1] for _ in range(2)] * 2
    pictures = [cut(scene, *crop) for scene, crop in zip(scenes, CROPS)]
    views = dense_views(pictures)
    figure = new_figure(7.6, 8.4)
    for axes, panel in zip(figure.subplots(2, 2).flat, PANELS):
        draw(axes, pictures, views, *panel)
    kinds = {'anchor (v, k)': INK, 'its positive (s(v), k⁺)': POSITIVE, 'a negative, or a part of one': NEGATIVE}
    legend_below(figure, [Patch(color=colour) for colour in kinds.values()], list(kinds))
    save_figure(figure, out_png)
    Image.open(out_png).convert('RGB').quantize(192).save(out_png, optimize=True)  # a quarter of the size


if __name__ == '__main__':
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
