"""What a model finds similar among many images."""

from pathlib import Path
from typing import List, NamedTuple, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.apis.embedding import PretrainedBackbone, extract
from mmdclpp.utils.progress import ProgressBar
from mmdclpp.visualization.neighbours import Neighbours

_CHUNK = 32  # images whose maps are held at a time


class Gallery(NamedTuple):
    """Features of ``N`` images at the size of pretraining, and of the first ``Q`` of them the most similar patches.

    Attributes:
        global_ (Tensor): Global features, shape ``(N, C)``.
        query_box (np.ndarray): The middle patch, in shares of width and height: ``(x0, y0, x1, y1)``.
        similarity (Tensor): Of the middle patch of each query and the most similar patch of every image, ``(Q, N)``.
        boxes (np.ndarray): Where in the image that patch is, ``(Q, N, 4)``.
    """

    global_: Tensor
    query_box: np.ndarray
    similarity: Tensor
    boxes: np.ndarray


def search_gallery(model: PretrainedBackbone, images: Sequence[Path], num_queries: int, label: str) -> Gallery:
    """Go through the images once.

    Args:
        model (PretrainedBackbone): What computes features.
        images (Sequence[Path]): The images, the queries first.
        num_queries (int): How many of them are queries.
        label (str): Text before the progress bar.
    """
    images = list(images)
    maps = extract(model, images[:num_queries], progress=False).dense
    grid = tuple(maps.shape[2:])
    middle = tuple(side // 2 for side in grid)
    queries = normalize(maps[:, :, middle[0], middle[1]], dim=1)
    parts: List[Sequence[Tensor]] = []
    with ProgressBar(label, len(images)) as bar:
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            found = extract(model, chunk, progress=False)
            patches = normalize(found.dense.flatten(2), dim=1)
            parts.append((found.global_, *torch.einsum('qc,nck->qnk', queries, patches).max(dim=2)))
            bar.update(start + len(chunk))
    global_ = torch.cat([part[0] for part in parts])
    similarity, cells = (torch.cat([part[index] for part in parts], dim=1) for index in (1, 2))
    return Gallery(global_, _box(np.ravel_multi_index(middle, grid), grid), similarity, _box(cells.numpy(), grid))


def nearest_images(gallery: Gallery, num_queries: int, k: int) -> Neighbours:
    """The ``k`` images with the most similar global feature, by the cosine, of each query; itself is none."""
    unit = normalize(gallery.global_.double(), dim=1)
    similarity, index = _without_itself(unit[:num_queries] @ unit.T).topk(min(k, len(unit) - 1), dim=1)
    return Neighbours(index.numpy(), similarity.numpy())


def nearest_patches(gallery: Gallery, k: int) -> Neighbours:
    """The ``k`` images with the patch that is most similar to the middle patch of each query, and that patch."""
    similarity, index = _without_itself(gallery.similarity).topk(min(k, gallery.similarity.shape[1] - 1), dim=1)
    boxes = np.take_along_axis(gallery.boxes, index.numpy()[..., None], axis=1)
    return Neighbours(index.numpy(), similarity.numpy(), boxes)


def _without_itself(similarity: Tensor) -> Tensor:
    return similarity.clone().fill_diagonal_(-torch.inf)


def _box(cell: np.ndarray, grid: Sequence[int]) -> np.ndarray:
    """Edges of cells in shares of width and height, shape ``(..., 4)``."""
    row, column = np.divmod(cell, grid[1])
    edges = (column / grid[1], row / grid[0], (column + 1) / grid[1], (row + 1) / grid[0])
    return np.stack(edges, axis=-1)
