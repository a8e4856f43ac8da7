"""What all pictures of one call are made from; each thing is computed when it is first asked for."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image
from torch import Tensor

from mmdclpp.apis._images import rgb_image
from mmdclpp.apis.embedding import PretrainedBackbone, extract
from mmdclpp.apis.visualizing.gallery import Gallery, search_gallery
from mmdclpp.apis.visualizing.images import displayed, middle_square

_THUMBNAIL = 160  # px


class File(NamedTuple):
    """One file that was written, and what it shows."""

    path: Path
    caption: str


def slug(name: str) -> str:
    """A name as part of a file's."""
    return re.sub(r'[^0-9A-Za-z]+', '_', name.replace('+', 'p').replace('*', '_star')).strip('_').lower() or 'model'


def slugs(names: Iterable[str]) -> Dict[str, str]:
    """The same of several names, no two equal: later ones end in a number."""
    found: Dict[str, str] = {}
    for name in names:
        part, number = slug(name), 1
        while part in found.values():
            number += 1
            part = f'{slug(name)}_{number}'
        found[name] = part
    return found


@dataclass(frozen=True)
class Options:
    """What the caller chose; see :func:`~mmdclpp.apis.visualizing.visualize.visualize`."""

    size: Optional[int]
    pairs: str
    num_clusters: int
    num_neighbours: int
    embedding: str
    seed: int


@dataclass(frozen=True)
class Job:
    """Models, images, and what the former make of the latter.

    Attributes:
        models (Dict[str, PretrainedBackbone]): By name, in the order of the columns.
        paths (List[Path]): All images; the first ``num_shown`` are shown.
        num_shown (int): How many.
        folder (Path): Where pictures go.
        options (Options): The rest.
    """

    models: Dict[str, PretrainedBackbone]
    paths: List[Path]
    num_shown: int
    folder: Path
    options: Options

    @cached_property
    def slugs(self) -> Dict[str, str]:
        """The models' names as parts of names of files."""
        return slugs(self.models)

    @property
    def shown(self) -> List[Path]:
        """The files of the images that are shown."""
        return self.paths[: self.num_shown]

    @cached_property
    def squares(self) -> List[Image.Image]:
        """The middle of each image that is shown: what dense features are computed of."""
        return [middle_square(rgb_image(path)) for path in self.shown]

    @cached_property
    def pictures(self) -> List[np.ndarray]:
        """The same for the eye, uint8 RGB."""
        return [displayed(square) for square in self.squares]

    def size(self, model: PretrainedBackbone) -> int:
        """Side of the input of dense features, in px: by default twice that of pretraining, as for segmentation."""
        return self.options.size or 2 * model.source.image_size

    def thumbnail(self, index: int) -> np.ndarray:
        """One of all images, whole, small, uint8 RGB."""
        return displayed(rgb_image(self.paths[index]), _THUMBNAIL)

    @cached_property
    def dense(self) -> Tuple[Dict[str, Tensor], Dict[str, Tuple[int, int]]]:
        """Dense features of the images that are shown, ``(N, K, C)`` by model, and their grids."""
        return self.dense_of(self.squares)

    def dense_of(self, images: list) -> Tuple[Dict[str, Tensor], Dict[str, Tuple[int, int]]]:
        """The same of any images."""
        maps = {name: extract(model, images, size=self.size(model)).dense for name, model in self.models.items()}
        positions = {name: values.flatten(2).transpose(1, 2) for name, values in maps.items()}
        return positions, {name: tuple(values.shape[2:]) for name, values in maps.items()}

    @cached_property
    def galleries(self) -> Dict[str, Gallery]:
        """What each model finds among all images."""
        return {
            name: search_gallery(model, self.paths, len(self.shown), f'{name}, {len(self.paths)} images')
            for name, model in self.models.items()
        }
