"""Semantic masks drawn from COCO-style object annotations."""

import io
import math
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from PIL import Image

from mmdclpp.datasets.coco_json import check_annotations, column, ids, load_coco
from mmdclpp.datasets.decode_image import MAX_PIXELS
from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, write_whole

from .progress import apply_to_all

IGNORE = 255


def draw_objects(annotations: Sequence[Mapping], height: int, width: int, values: Mapping[int, int]) -> np.ndarray:
    """Draw one image's mask.

    Where objects overlap, the smaller one (by the pixels of its own outline; of two as large, the later one) is on
    top: what lies on or before something larger is mostly annotated as the smaller object. Crowd regions
    (``iscrowd: 1``) and ignored objects (``ignore: 1``) are below all objects, and to be ignored, for they say that
    there are objects without saying where each pixel belongs. So is the box of an annotation without an outline.
    Outlines are rasterised as pycocotools does it, whose evaluation the field uses.

    Args:
        annotations (Sequence[Mapping]): COCO-style annotations of the image: ``category_id`` and ``segmentation``, a
            list of polygons ``[x0, y0, x1, y1, ...]`` in pixels or a run-length encoding with compressed or
            uncompressed ``counts``; with ``segmentation`` missing or empty, ``bbox``, ``[x, y, width, height]``.
        height (int): Height of the image.
        width (int): Width of the image.
        values (Mapping[int, int]): Mask value by category id, in 1 ... 254.

    Returns:
        np.ndarray: uint8 of shape ``(height, width)``; 0 is background, 255 to be ignored.

    Raises:
        UserError: If an annotation's outline is malformed or its category unknown, or pycocotools is not installed.
    """
    mask = np.zeros((height, width), np.uint8)
    objects = []
    for annotation in annotations:
        region = _region(annotation, height, width)
        if annotation.get('iscrowd') or annotation.get('ignore') or not annotation.get('segmentation'):
            mask[region] = IGNORE
        elif annotation['category_id'] not in values:
            raise _malformed(annotation, f'category_id {annotation["category_id"]} is not among the categories')
        else:
            objects.append((region, values[annotation['category_id']]))
    for region, value in sorted(objects, key=lambda item: -np.count_nonzero(item[0])):
        mask[region] = value
    return mask


def _region(annotation: Mapping, height: int, width: int) -> np.ndarray:
    """The pixels of an annotation, bool of shape ``(height, width)``."""
    try:
        if not annotation.get('segmentation'):
            return _box(annotation, height, width)
        return _outlined(annotation, height, width)
    except UserError:
        raise
    except Exception as error:  # pycocotools takes values of any type until it stumbles over one
        raise _malformed(annotation, f'its segmentation or bbox is none ({error})') from error


def _outlined(annotation: Mapping, height: int, width: int) -> np.ndarray:
    outline, coco = annotation['segmentation'], _pycocotools()
    if isinstance(outline, dict):
        if list(outline.get('size', ())) != [height, width] or not outline.get('counts'):
            raise _malformed(annotation, f'its run-length encoding is not one of {height} x {width} pixels')
        if isinstance(outline['counts'], list):
            if min(outline['counts']) < 0 or sum(outline['counts']) != height * width:
                raise _malformed(annotation, f'its counts do not add up to {height} x {width} pixels')
            outline = coco.frPyObjects(outline, height, width)
        return coco.decode(outline).astype(bool)
    if not all(isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in outline):
        raise _malformed(annotation, 'a polygon is not a list of three or more points')
    side = max(height, width)
    # Pixels on the way from point to point take memory, whether they are in the image or not.
    if not all(-side <= float(value) <= 2 * side for polygon in outline for value in polygon):
        raise _malformed(annotation, f'a point of a polygon is far outside of {height} x {width} pixels')
    return coco.decode(coco.merge(coco.frPyObjects(outline, height, width))).astype(bool)


def _box(annotation: Mapping, height: int, width: int) -> np.ndarray:
    box = annotation.get('bbox') or ()
    if len(box) != 4 or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in box):
        raise _malformed(annotation, 'it has neither a segmentation nor a bbox')
    x, y, box_width, box_height = box
    region = np.zeros((height, width), bool)
    rows = slice(max(0, math.floor(y)), max(0, math.ceil(y + box_height)))
    region[rows, max(0, math.floor(x)) : max(0, math.ceil(x + box_width))] = True
    return region


def _malformed(annotation: Mapping, what: str) -> UserError:
    return UserError(f'annotation {annotation.get("id")}: {what}: repair the annotation file, or take it out')


def _pycocotools():
    try:
        from pycocotools import mask
    except ImportError:
        raise UserError('masks are drawn by pycocotools, which is not installed: pip install pycocotools') from None
    return mask


def colour_map() -> np.ndarray:
    """VOC's colours of the values 0 ... 255, uint8 of shape ``(256, 3)``.

    The devkit's ``VOClabelcolormap``: a value's bits, from the lowest, go to red, green, blue, red ..., each filling
    its channel from the highest bit down.
    """
    values, colours = np.arange(256, dtype=np.uint8), np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= (values >> bit & 1) << (7 - bit // 3)
    return colours


def encode_mask(mask: np.ndarray) -> bytes:
    """A palette PNG of a mask.

    Args:
        mask (np.ndarray): uint8 of shape ``(H, W)``.
    """
    image = Image.fromarray(mask)
    image.putpalette(colour_map().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


class _Job(NamedTuple):
    path: Path
    annotations: List[Dict[str, Any]]
    height: int
    width: int
    values: Dict[int, int]


def mask_values(categories: Sequence[Mapping], source: PathLike) -> Dict[int, int]:
    """Mask value by category id: 1, 2, ... by ascending id.

    Args:
        categories (Sequence[Mapping]): The categories of a COCO-style file.
        source (str or PathLike): The file, for messages.

    Raises:
        UserError: If there are more than 254, which a mask of one byte a pixel cannot tell apart.
    """
    category_ids = sorted(ids(source, dict(categories=categories), 'categories'))
    if len(category_ids) >= IGNORE:
        raise UserError(
            f'{source} has {len(category_ids)} categories: leave at most {IGNORE - 1} for masks of one byte a pixel'
        )
    return {category_id: value for value, category_id in enumerate(category_ids, start=1)}


def mask_name(file_name: str) -> str:
    """Path of an image's mask below the folder of masks: the image's with another extension."""
    return str(PurePosixPath(file_name).with_suffix('.png'))


def write_object_masks(annotations: PathLike, out: PathLike, workers: Optional[int] = None) -> int:
    """Write a palette PNG (:func:`draw_objects`) for every image of a COCO-style file.

    Masks that are there are left as they are, so that an interrupted run is continued.

    Args:
        annotations (str or PathLike): The COCO-style JSON.
        out (str or PathLike): Folder of the masks, made where missing.
        workers (int, optional): Number of processes. Defaults to None, which means one a core.

    Returns:
        int: Number of masks written.

    Raises:
        UserError: If the file is malformed, two of its images would share a mask, or pycocotools is not installed.
    """
    annotations, out = Path(annotations), Path(out)
    content = load_coco(str(annotations), ('images', 'annotations', 'categories'))
    check_annotations(str(annotations), content)
    values = mask_values(content['categories'], annotations)
    of_image = defaultdict(list)
    for annotation in content['annotations']:
        of_image[annotation['image_id']].append(annotation)
    jobs, image_of_mask = [], {}
    columns = [column(annotations, content, 'images', key) for key in ('id', 'file_name', 'height', 'width')]
    for image_id, file_name, height, width in zip(*columns):
        name = PurePosixPath(file_name)
        if name.is_absolute() or '..' in name.parts or not name.name:
            raise UserError(f'{annotations}: file_name {file_name!r} names no file below {out}: correct it')
        if height * width > MAX_PIXELS:
            raise UserError(
                f'{annotations}: {file_name!r} has height {height} and width {width}, more than {MAX_PIXELS:,} pixels: '
                'correct it'
            )
        path = out / mask_name(file_name)
        if path in image_of_mask:
            raise UserError(
                f'{annotations}: file_name {image_of_mask[path]!r} and {file_name!r} have the same mask {path}: '
                'rename one, or take it out'
            )
        image_of_mask[path] = file_name
        if not path.exists():
            jobs.append(_Job(path, of_image[image_id], height, width, values))
    if not jobs:
        return 0
    _pycocotools()  # told before the work begins
    for _ in apply_to_all(_write_mask, jobs, f'masks of {annotations.stem}', workers):
        pass
    return len(jobs)


def _write_mask(job: _Job) -> None:
    write_whole(job.path, encode_mask(draw_objects(job.annotations, job.height, job.width, job.values)))
