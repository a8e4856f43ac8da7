"""The images that are looked at, and two views of each."""

from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np
from PIL import Image

from mmdclpp.datasets.decode_image import IMAGE_EXTENSIONS
from mmdclpp.datasets.unlabelled_images import UnlabelledImages
from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike
from mmdclpp.visualization.match_page import Place

LONGEST = 448  # px of an image in a picture or page
_VIEW_SIDE = (0.55, 0.9)  # of the image's; above a half, so that two views always overlap


def is_images(name: str) -> bool:
    """Whether an argument of a command line names images, not a model: a folder, a list, or by its extension."""
    return Path(name).is_dir() or name.lower().endswith(('.txt', *IMAGE_EXTENSIONS))


def find_images(images: Sequence[PathLike], num_images: int, seed: int) -> List[Path]:
    """The images to look at: files as given, then as many of the folders' as there is room for, drawn from ``seed``.

    Args:
        images (Sequence[str or PathLike]): Image files, folders of images, and text files with one path a line.
        num_images (int): So many at most.
        seed (int): Decides which images of folders and lists.

    Returns:
        List[Path]: Files, none twice.

    Raises:
        UserError: If there is none, or a file or folder does not exist.
    """
    files: List[Path] = []
    drawn: List[Path] = []
    for place in map(Path, images):
        if not place.exists():
            raise UserError(f'images: {place} does not exist: give image files or a folder')
        if place.is_dir():
            drawn += _listed(place, data_root=str(place))
        elif place.suffix == '.txt':
            drawn += _listed(place, data_root=str(place.parent), ann_file=place.name)
        else:
            files.append(place)
    if not files and not drawn:
        raise UserError('images: none given: give image files or a folder')
    order = np.random.default_rng(seed).permutation(len(drawn))
    unique = {file.resolve(): file for file in [*files, *(drawn[index] for index in order)]}
    return list(unique.values())[:num_images]


def _listed(place: Path, **where: str) -> List[Path]:
    try:
        entries = UnlabelledImages(**where, lazy_init=True).load_data_list()
    except UserError as error:  # which speaks of the keys of a config
        problem = 'holds no image' if place.is_dir() else 'lists no image, or first one that does not exist'
        raise UserError(f'images: {place} {problem}: give image files, a folder or a list of them') from error
    return [Path(entry['img_path']) for entry in entries]


def middle_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle of an image."""
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side))


def displayed(image: Image.Image, longest: int = LONGEST) -> np.ndarray:
    """An image for the eye, uint8 RGB: no larger than it need be."""
    image = image.copy()
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.array(image)


def two_views(image: Image.Image, seed: Sequence[int]) -> Tuple[Tuple[Image.Image, Image.Image], Tuple[Place, Place]]:
    """Two random square crops of an image, the second one mirrored, and where in it they lie.

    Args:
        image (PIL.Image.Image): A square, RGB.
        seed (Sequence[int]): Decides the crops.

    Returns:
        tuple: The views, and the place of each, its box in px.
    """
    rng = np.random.default_rng(seed)
    boxes = [_crop(image.size[0], rng) for _ in range(2)]
    first, second = (image.crop(box) for box in boxes)
    views = (first, second.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    return views, (Place(boxes[0], False), Place(boxes[1], True))


def _crop(length: int, rng: np.random.Generator) -> Tuple[int, int, int, int]:
    """Edges ``(x0, y0, x1, y1)`` of a crop within a square."""
    side = max(1, round(length * rng.uniform(*_VIEW_SIDE)))
    left, top = rng.integers(length - side, size=2, endpoint=True).tolist()
    return left, top, left + side, top + side
