"""Write the built-in data set once: images, COCO annotations and masks."""

import fcntl
import json
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Iterator, Optional, Union

import cv2
import numpy as np
from PIL import Image

from mmdclpp.errors import UserError
from mmdclpp.utils.files import write_whole
from mmdclpp.utils.progress import ProgressBar

from .scene import CLASSES, PALETTE, draw_scene

_VERSION = 1  # of the pictures: raise it whenever the same arguments would draw other bytes
_RECORD = 'scenes.json'
_SPLITS = ('train', 'val')


def generate_scenes(
    root: Union[str, os.PathLike],
    num_train: int = 3000,
    num_val: int = 1000,
    size: int = 96,
    seed: int = 0,
    workers: Optional[int] = None,
    progress: bool = True,
) -> Path:
    """Write the synthetic scenes below ``root``, or reuse those that are there.

    The bytes depend on the arguments alone, not on ``workers``. Laid out as::

        root/images/{train,val}/000000.jpg
        root/annotations/instances_{train,val}.json   COCO: boxes and areas of what is visible
        root/masks/{train,val}/000000.png             palette PNG: 0 background, 1..C the classes
        root/scenes.json                              the arguments, and whether the set is complete

    A set is complete once ``scenes.json`` says so, which is written last: one that was
    interrupted, or made with other arguments, is replaced.

    Args:
        root (str | PathLike): Folder of the data set, made where missing.
        num_train (int): Number of training images. Defaults to 3000.
        num_val (int): Number of validation images. Defaults to 1000.
        size (int): Side of the square images in pixels. Defaults to 96.
        seed (int): Seed of all draws. Defaults to 0.
        workers (int, optional): Number of processes; 0 or 1 draws in this one. Defaults to None,
            which means one a core.
        progress (bool): Whether to show a progress bar with the time left. Defaults to True.

    Returns:
        Path: ``root``.

    Raises:
        UserError: If an argument is out of range, or ``root`` holds files that are not such a set.
    """
    root = Path(root).expanduser()
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    least = dict(num_train=1, num_val=1, size=32, seed=0, workers=0)
    for name, value in zip(least, (num_train, num_val, size, seed, workers)):
        if value < least[name]:
            raise UserError(f'{name}={value} is too small: use at least {least[name]}')
    record = dict(version=_VERSION, num_train=num_train, num_val=num_val, size=size, seed=seed, classes=list(CLASSES))
    with _alone_in(root.parent):
        if _read_record(root) != dict(record, complete=True):
            _generate(root, record, workers, progress)
    return root


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process generates scenes in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _generate(root: Path, record: dict, workers: int, progress: bool) -> None:
    num_train, num_val, size, seed = (record[key] for key in ('num_train', 'num_val', 'size', 'seed'))
    _clear(root)
    write_whole(root / _RECORD, json.dumps(dict(record, complete=False)))
    with ProgressBar('drawing scenes', num_train + num_val, visible=progress, unit='file') as bar:
        for split, count in zip(_SPLITS, (num_train, num_val)):
            for folder in ('images', 'masks'):
                (root / folder / split).mkdir(parents=True)
            objects = []
            for found in _map(partial(_write_scene, root, split, size, seed), count, workers):
                objects.append(found)
                bar.advance()
            annotations = json.dumps(_coco(split, size, objects))
            write_whole(root / 'annotations' / f'instances_{split}.json', annotations)
    write_whole(root / _RECORD, json.dumps(dict(record, complete=True)))


def _map(function, count, workers):
    if workers <= 1:
        yield from map(function, range(count))
        return
    # Forked: a fresh interpreter would import the whole package again, which takes longer than the drawing.
    with ProcessPoolExecutor(workers, multiprocessing.get_context('fork'), cv2.setNumThreads, (0,)) as pool:
        yield from pool.map(function, range(count), chunksize=16)


def _write_scene(root, split, size, seed, index):
    """Draw and write one image and mask; return the (class, box, area) of its objects."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, _SPLITS.index(split), index)))
    scene = draw_scene(rng, size)
    name = f'{index:06d}'
    _, jpeg = cv2.imencode('.jpg', scene.image, (cv2.IMWRITE_JPEG_QUALITY, 92))
    (root / 'images' / split / f'{name}.jpg').write_bytes(jpeg.tobytes())
    mask = Image.fromarray(scene.mask)
    mask.putpalette(np.array(PALETTE, np.uint8).tobytes())
    mask.save(root / 'masks' / split / f'{name}.png')
    return scene.objects


def _coco(split, size, objects):
    images = [dict(id=i, file_name=f'{i:06d}.jpg', width=size, height=size) for i in range(len(objects))]
    flat = [(i, *found) for i, many in enumerate(objects) for found in many]
    annotations = [
        dict(id=n, image_id=i, category_id=label, bbox=box, area=area, iscrowd=0)
        for n, (i, label, box, area) in enumerate(flat, start=1)
    ]
    categories = [dict(id=n, name=name) for n, name in enumerate(CLASSES, start=1)]
    return dict(
        info=dict(description=f'mmdclpp synthetic scenes, {split}'),
        images=images,
        annotations=annotations,
        categories=categories,
    )


def _read_record(root):
    try:
        return json.loads((root / _RECORD).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _clear(root):
    """Make ``root`` an empty folder; refuse where it holds what this module did not write."""
    if root.exists() and not root.is_dir():
        raise UserError(f'{root} is a file: choose a folder for the scenes')
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()) and not (root / _RECORD).exists():
        raise UserError(f'{root} holds other files and no {_RECORD}: choose a new or empty folder for the scenes')
    for folder in ('images', 'annotations', 'masks'):
        shutil.rmtree(root / folder, ignore_errors=True)
