"""Clusters of dense features, seen as colours."""

from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Union

import cv2
import numpy as np
import torch
from matplotlib.colors import to_rgb
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.errors import UserError

from .inputs import check_images, check_positions
from .rows import Grids, grid_of, image_rows, over_grey
from .style import COLOURS, PathLike

# More clusters than colours differ in lightness.
_LIGHTNESS = (1.0, 0.55, 1.6)
MOST_CLUSTERS = len(COLOURS) * len(_LIGHTNESS)
_ATTEMPTS = 5
_RASTER = 48  # cells a side, on which clusters of different grids are compared


def cluster_positions(positions: Tensor, num_clusters: int, seed: int = 0) -> Tensor:
    """K-means over the directions of features: OpenCV's, the best of five starts by k-means++.

    Args:
        positions (Tensor): Shape ``(..., C)``; they are normalised to unit length first.
        num_clusters (int): 2 or more, at most as many as positions.
        seed (int): Decides the starts. Defaults to 0.

    Returns:
        Tensor: The cluster of each position, int64 of shape ``(...)``; cluster 0 is the largest.

    Raises:
        UserError: If there are fewer positions than clusters, or fewer than two clusters.
    """
    flat = normalize(positions.detach().to('cpu', torch.float32).flatten(0, -2), dim=1).numpy()
    if not 2 <= num_clusters <= len(flat):
        raise UserError(f'num_clusters={num_clusters}: give 2 to {len(flat)}, the number of positions')
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    _, labels, _ = cv2.kmeans(flat, num_clusters, None, stop, _ATTEMPTS, cv2.KMEANS_PP_CENTERS)
    labels = torch.from_numpy(labels).long().view(-1)
    sizes = torch.bincount(labels, minlength=num_clusters)
    rank = sizes.argsort(descending=True, stable=True).argsort()
    return rank[labels].view(positions.shape[:-1])


def feature_clusters(
    images: Sequence[np.ndarray],
    positions: Union[Tensor, Mapping[str, Tensor]],
    grid: Grids,
    out_png: PathLike,
    num_clusters: int = 6,
    seed: int = 0,
) -> Path:
    """Draw, one image a row: the image, and the clusters of its features as colours.

    The positions of all images are clustered together, so that equal colours mean similar features. Of several models
    each has its own clusters, in the colours of those of the first model which they overlap most.

    Args:
        images (Sequence[np.ndarray]): Each uint8 RGB of shape ``(H, W, 3)``.
        positions (Tensor or Mapping): Dense features, shape ``(N, K, C)``; or several models' as name -> features.
        grid (Tuple[int, int] or Mapping): Rows and columns of the positions; of several models name -> its own.
        out_png (str or PathLike): The picture to write.
        num_clusters (int): 2 to 18. Defaults to 6.
        seed (int): Decides where k-means starts. Defaults to 0.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If the images, features and grid do not belong together, or there are too many clusters.
    """
    images = check_images(images, 'images')
    if num_clusters > MOST_CLUSTERS:
        raise UserError(f'num_clusters={num_clusters} are more than can be told apart: give 2 to {MOST_CLUSTERS}')
    palette = _palette()
    maps: Dict[str, np.ndarray] = {}
    for name, features in (positions if isinstance(positions, Mapping) else {'clusters': positions}).items():
        cells = grid_of(grid, name)
        checked = check_positions(features, cells, len(images), f'positions ({name})')
        labels = cluster_positions(checked, num_clusters, seed).view(len(images), *cells).numpy()
        maps[name] = labels if not maps else _renamed(labels, next(iter(maps.values())), num_clusters)
    columns = [
        (name, [over_grey(image, palette[label]) for image, label in zip(images, labels)])
        for name, labels in maps.items()
    ]
    return image_rows(images, columns, out_png, f'colours: {num_clusters} clusters\nof the positions of all rows')


def _renamed(labels: np.ndarray, reference: np.ndarray, num_clusters: int) -> np.ndarray:
    """Other numbers for clusters: those of the clusters of the reference that they overlap most, one to one."""
    overlap = np.zeros((num_clusters, num_clusters))
    np.add.at(overlap, (_raster(labels), _raster(reference)), 1)
    names = np.zeros(num_clusters, dtype=int)
    for _ in range(num_clusters):
        own, other = np.unravel_index(overlap.argmax(), overlap.shape)
        names[own] = other
        overlap[own, :] = overlap[:, other] = -1
    return names[labels]


def _raster(labels: np.ndarray) -> np.ndarray:
    rows, columns = (np.arange(_RASTER) * size // _RASTER for size in labels.shape[1:])
    return labels[:, rows[:, None], columns]


def _palette() -> np.ndarray:
    """RGB of each cluster, 0 to 1."""
    colours: List[np.ndarray] = []
    for lightness in _LIGHTNESS:
        for colour in COLOURS:
            rgb = np.array(to_rgb(colour))
            colours.append(rgb * lightness if lightness <= 1 else 1 - (1 - rgb) / lightness)
    return np.array(colours)
