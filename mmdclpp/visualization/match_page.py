"""Dense correspondences as an interactive HTML page."""

import math
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.colors import to_hex
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from mmdclpp.errors import UserError
from mmdclpp.utils.files import write_whole

from .inputs import check_images, check_positions
from .pages import inlined, packed, render
from .rows import HEAT
from .style import PathLike

# What a page may hold of similarities, one byte each: 12 pairs of 28 × 28 positions of one model fit.
BUDGET = 8 * 2**20
LEVELS = 255
_HEAT_STOPS = 17


class Place(NamedTuple):
    """Where in its image a view lies.

    Attributes:
        box (Tuple[float, float, float, float]): Edges ``(x0, y0, x1, y1)``, in units that both views of a pair share.
        flip (bool): Whether the view was then mirrored left to right.
    """

    box: Tuple[float, float, float, float]
    flip: bool


class Pair(NamedTuple):
    """Two images to match, or two views of one.

    Attributes:
        title (str): What they are.
        images (Tuple[np.ndarray, np.ndarray]): Each uint8 RGB of shape ``(H, W, 3)``.
        places (Tuple[Place, Place], optional): Of two views of one image, where in it each lies: the page then shows
            the true match. Defaults to None.
    """

    title: str
    images: Tuple[np.ndarray, np.ndarray]
    places: Optional[Tuple[Place, Place]] = None


class DensePairs(NamedTuple):
    """A model's dense features of ``P`` pairs.

    Attributes:
        first (Tensor): Of the first images, shape ``(P, K, C)``.
        second (Tensor): Of the second ones, same shape.
        grid (Tuple[int, int]): Rows and columns of the positions.
    """

    first: Tensor
    second: Tensor
    grid: Tuple[int, int]


def match_page(
    pairs: Sequence[Pair], models: Mapping[str, DensePairs], out_html: PathLike, budget: int = BUDGET
) -> Path:
    """Write a page on which pointing at a patch shows where it matches, and how strongly each patch does.

    The page needs no other file and no network. It holds every cosine similarity of a pair in one byte, exact to
    ``(highest - lowest) / 510`` of the pair's, and of the best matches the place and the float32 similarity. Where that
    would be more than ``budget`` bytes, the positions are pooled to a coarser grid first, and the page says so.

    Args:
        pairs (Sequence[Pair]): What is matched.
        models (Mapping[str, DensePairs]): Name of the model -> its features of all pairs.
        out_html (str or PathLike): The page to write.
        budget (int): Bytes of similarities. Defaults to 8 MiB.

    Returns:
        Path: ``out_html``.

    Raises:
        UserError: If there is no pair or no model, or the pairs, features and grids do not belong together.
    """
    if not models:
        raise UserError('models is empty: give the features of at least one')
    for pair in pairs:
        check_images(pair.images, f'images of {pair.title!r}')
    most_cells = math.isqrt(budget // max(len(pairs) * len(models), 1))
    data = dict(
        pairs=[_pair(pair) for pair in pairs],
        models=[_model(name, dense, len(pairs), most_cells) for name, dense in models.items()],
        colours=[to_hex(HEAT(stop)) for stop in np.linspace(0, 1, _HEAT_STOPS)],
    )
    return write_whole(out_html, render('match_page.html.jinja', data=data))


def quantised(similarities: np.ndarray) -> Tuple[np.ndarray, float, float]:
    """Similarities as bytes: ``low + byte · (high - low) / 255`` is each, to half a step.

    Args:
        similarities (np.ndarray): Finite, of any shape.

    Returns:
        Tuple[np.ndarray, float, float]: uint8 of the same shape, and what 0 and 255 stand for: the lowest and the
        highest one.
    """
    low, high = float(similarities.min()), float(similarities.max())
    step = (high - low) / LEVELS or 1.0
    return np.round((similarities - low) / step).astype(np.uint8), low, high


def _pair(pair: Pair) -> Dict[str, Any]:
    return dict(
        title=pair.title,
        images=[inlined(image) for image in pair.images],
        sides=[[image.shape[1], image.shape[0]] for image in pair.images],
        places=pair.places and [dict(box=place.box, flip=bool(place.flip)) for place in pair.places],
    )


def _model(name: str, dense: DensePairs, num_pairs: int, most_cells: int) -> Dict[str, Any]:
    views = [
        check_positions(positions, dense.grid, num_pairs, f'positions ({name})')
        for positions in (dense.first, dense.second)
    ]
    grid = _fitting(dense.grid, most_cells)
    if grid != tuple(dense.grid):
        views = [_pooled(view, dense.grid, grid) for view in views]
    first, second = (normalize(view, dim=-1) for view in views)
    return dict(
        name=name, grid=grid, computed=tuple(dense.grid), matches=[_matches(*pair) for pair in zip(first, second)]
    )


def _matches(first: Tensor, second: Tensor) -> Dict[str, Any]:
    """Of one pair, from unit features: all similarities, and the best match of each position, in both directions."""
    similarities = (first @ second.T).numpy()
    levels, low, high = quantised(similarities)
    best = [similarities.argmax(axis=1), similarities.argmax(axis=0)]
    strongest = [similarities.max(axis=1), similarities.max(axis=0)]
    return dict(
        similarities=packed(levels),
        low=low,
        high=high,
        targets=[packed(target.astype(np.uint16)) for target in best],
        strengths=[packed(strength.astype(np.float32)) for strength in strongest],
    )


def _fitting(grid: Tuple[int, int], most_cells: int) -> Tuple[int, int]:
    """The grid, or one of about the same proportions with so many cells at most."""
    shrink = min(1.0, math.sqrt(most_cells / math.prod(grid)))
    return tuple(max(1, int(side * shrink)) for side in grid)


def _pooled(positions: Tensor, grid: Tuple[int, int], smaller: Tuple[int, int]) -> Tensor:
    maps = positions.transpose(1, 2).unflatten(2, grid)
    return adaptive_avg_pool2d(maps, smaller).flatten(2).transpose(1, 2)
