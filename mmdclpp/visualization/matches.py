"""Dense correspondences between two views, drawn as lines."""

from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from torch import Tensor

from mmdclpp.core.matching import Matches, mutual_matches
from mmdclpp.errors import UserError

from .inputs import check_images, check_positions
from .style import COLOURS, INK, NOTE, TITLE, PathLike, bare, new_figure, save_figure

FAINTEST = 0.45
GAP = 0.06  # between the two views, of the first one's width


def correspondences(
    view_a: Sequence[np.ndarray],
    view_b: Sequence[np.ndarray],
    positions_a: Tensor,
    positions_b: Tensor,
    grid: Tuple[int, int],
    out_png: PathLike,
    num_lines: int = 16,
) -> Path:
    """Draw pairs of views, one pair a row, with lines between matched positions.

    Of each pair the ``num_lines`` most confident matches are shown: mutual nearest neighbours before others, spread
    over both views. A line is the more opaque the more similar its ends, which bear the same number.

    Args:
        view_a (Sequence[np.ndarray]): First views, each uint8 RGB of shape ``(H, W, 3)``.
        view_b (Sequence[np.ndarray]): Second views.
        positions_a (Tensor): Dense features of the first views, shape ``(N, K, C)``.
        positions_b (Tensor): Those of the second views, same shape.
        grid (Tuple[int, int]): Rows and columns of the positions.
        out_png (str or PathLike): The picture to write.
        num_lines (int): Matches shown for each pair. Defaults to 16.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If the images, features and grid do not belong together.
    """
    first, second = check_images(view_a, 'view_a'), check_images(view_b, 'view_b')
    if len(first) != len(second):
        raise UserError(f'view_a has {len(first)} images but view_b {len(second)}: give two views of each image')
    if num_lines < 1:
        raise UserError(f'num_lines={num_lines} shows nothing: give 1 or more')
    positions_a = check_positions(positions_a, grid, len(first), 'positions_a')
    positions_b = check_positions(positions_b, grid, len(first), 'positions_b')
    if positions_a.shape[2] != positions_b.shape[2]:
        raise UserError(
            f'positions_a have {positions_a.shape[2]} channels but positions_b have {positions_b.shape[2]}: '
            'give the features of one backbone'
        )
    matches = mutual_matches(positions_a, positions_b)

    width = 5.0
    aspects = [image.shape[0] / image.shape[1] / (2 + GAP) for image in first]
    figure = new_figure(width, sum(width * aspect + 0.27 for aspect in aspects) + 0.45)
    panels = figure.subplots(len(first), squeeze=False, height_ratios=aspects)[:, 0]
    for index, axes in enumerate(panels):
        match = Matches(*(values[index] for values in matches))
        chosen = _most_confident(match, grid, num_lines)
        _draw_pair(axes, first[index], second[index], match, chosen, grid)
    figure.suptitle('Most similar positions', **TITLE)
    figure.supxlabel('opacity: cosine similarity · filled: mutual nearest neighbours, open: one-way', **NOTE)
    return save_figure(figure, out_png)


def _most_confident(match: Matches, grid: Tuple[int, int], count: int) -> List[int]:
    """Mutual matches first; among equals, those whose ends keep their distance in both views, then the most similar."""
    rows, columns = grid
    cells = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
    ends = np.stack([cells, cells[match.target]], axis=1)  # (K, 2 views, row and column)
    order = match.similarity.argsort(descending=True, stable=True)
    mutual = match.mutual[order]
    chosen: List[int] = []
    for group in (order[mutual].tolist(), order[~mutual].tolist()):
        for spacing in np.sqrt(rows * columns / count) * np.array([1.0, 0.5, 0.0]):
            for cell in group:
                if len(chosen) == count:
                    return chosen
                distances = np.linalg.norm(ends[chosen] - ends[cell], axis=2)
                if cell not in chosen and (distances >= spacing).all():
                    chosen.append(cell)
    return chosen


def _draw_pair(
    axes: Axes, first: np.ndarray, second: np.ndarray, match: Matches, chosen: List[int], grid: Tuple[int, int]
) -> None:
    """Both views on common axes, in units of the first one's pixels; the second is scaled to its height."""
    height, width = first.shape[:2]
    second_width = second.shape[1] * height / second.shape[0]
    offset = width * (1 + GAP)
    for image, left, right in ((first, 0, width), (second, offset, offset + second_width)):
        axes.imshow(image, extent=(left, right, height, 0))
    axes.set(xlim=(0, offset + second_width), ylim=(height, 0))
    bare(axes)

    rows, columns = grid
    shown = match.similarity[chosen]
    low, high = shown.min().item(), shown.max().item()
    # From left to right neighbouring lines differ in colour, so that the eye can follow each.
    for rank, cell in enumerate(sorted(chosen, key=lambda cell: (cell % columns, cell // columns))):
        target = match.target[cell].item()
        x = ((cell % columns + 0.5) / columns * width, offset + (target % columns + 0.5) / columns * second_width)
        y = [(index // columns + 0.5) / rows * height for index in (cell, target)]
        strength = (match.similarity[cell].item() - low) / (high - low) if high > low else 1.0
        alpha = FAINTEST + (1 - FAINTEST) * strength
        colour = COLOURS[rank % len(COLOURS)]
        axes.plot(x, y, color=to_rgba('white', 0.7 * alpha), linewidth=2.2, solid_capstyle='round')
        axes.plot(x, y, color=to_rgba(colour, alpha), linewidth=1.2, solid_capstyle='round')
        fill, rim = (colour, 'white') if match.mutual[cell] else ('white', colour)
        axes.scatter(x, y, s=60, facecolor=fill, edgecolor=rim, linewidth=0.8, zorder=3, clip_on=False)
        # Lines along a row of the grid lie on one another: the number tells which ends belong together.
        for end in zip(x, y):
            ink = 'white' if np.mean(to_rgba(fill)[:3]) < 0.45 else INK
            axes.text(*end, str(rank + 1), color=ink, fontsize=5.5, ha='center', va='center_baseline', zorder=4)
    mutual = f'{int(match.mutual.sum())} of {rows * columns} positions mutual'
    axes.set_title(f'shown: cosine similarity {low:.2f} to {high:.2f} · in all: {mutual}', **NOTE)
