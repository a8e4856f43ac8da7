"""COCO 2017 in mmdet's layout, masks of its objects, and COCO-Stuff 164k in mmseg's layout."""

import os
from functools import partial
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np
from PIL import Image

from mmdclpp.datasets.coco_json import column, load_coco
from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, write_whole

from .archives import Archive, obtain
from .object_masks import encode_mask, mask_name, mask_values, write_object_masks
from .progress import apply_to_all
from .verification import Check, check_coco_json, check_images, check_masks

TASKS = ('images', 'instances', 'objects', 'stuff')
SPLITS = ('train', 'val')
_NEEDS = dict(images=(), instances=(), objects=('images', 'instances'), stuff=('images',))

# Sizes: what the servers say, as noted by keras.io's COCO example (val2017 and annotations) and by many others
# (train2017). MD5: PaddleDetection, ppdet/utils/download.py, and NVIDIA's DeepLearningExamples; COCO publishes none.
IMAGES = {
    'train': Archive(
        url='http://images.cocodataset.org/zips/train2017.zip',
        prefix='train2017',
        target='coco/train2017',
        gives=('coco/train2017',),
        size=19336861798,
        md5='cced6f7f71b7629ddf16f17bbcfab6b2',
        unpacked=20_000_000_000,
    ),
    'val': Archive(
        url='http://images.cocodataset.org/zips/val2017.zip',
        prefix='val2017',
        target='coco/val2017',
        gives=('coco/val2017',),
        size=815585330,
        md5='442b8da7639aecaf257c1dceb8ba8c80',
        unpacked=830_000_000,
    ),
}
ANNOTATIONS = Archive(
    url='http://images.cocodataset.org/annotations/annotations_trainval2017.zip',
    prefix='annotations',
    only=('instances_*.json',),  # not the captions and key points
    target='coco/annotations',
    gives=('coco/annotations/instances_train2017.json', 'coco/annotations/instances_val2017.json'),
    size=252907541,
    md5='f4bbac642086de4f52a3fdda2de5fa2c',
    unpacked=1_500_000_000,  # half a gigabyte of JSON, and the masks of objects
)
# Size: "659 MB" in the README of github.com/nightrome/cocostuff. A checksum is published nowhere that we know of.
STUFF = Archive(
    url='http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip',
    prefix='',
    target='coco_stuff164k/annotations',
    gives=('coco_stuff164k/annotations/train2017', 'coco_stuff164k/annotations/val2017'),
    size=691_000_000,
    unpacked=1_500_000_000,  # the maps as published, and the converted ones
)
NUM_IMAGES = dict(train=118287, val=5000)
NUM_ANNOTATIONS = dict(train=860001, val=36781)  # crowd regions included: github.com/cocodataset/cocoapi/issues/117
NUM_CATEGORIES = 80
NUM_STUFF_CLASSES = 171

# COCO-Stuff numbers its 182 classes from 0; these were never annotated: street sign, hat, shoe, eye glasses, plate,
# mirror, window, desk, door, blender, hair brush. mmseg's labels, and so its COCOStuffDataset, count without them.
_STUFF_UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
_STUFF_SUFFIX = '_labelTrainIds.png'
_NO_LABEL = 254


def coco_archives(tasks: Sequence[str] = TASKS, splits: Sequence[str] = SPLITS) -> List[Archive]:
    """The archives that tasks need.

    Args:
        tasks (Sequence[str]): Of ``'images'``, ``'instances'`` (the annotations as COCO has them), ``'objects'``
            (masks drawn from them) and ``'stuff'``. Defaults to all.
        splits (Sequence[str]): Of ``'train'`` and ``'val'``. Defaults to both.
    """
    tasks = _with_needs(tasks)
    return [
        *(IMAGES[split] for split in splits if 'images' in tasks),
        *([ANNOTATIONS] if 'instances' in tasks else ()),
        *([STUFF] if 'stuff' in tasks else ()),
    ]


def prepare_coco(
    data_root: PathLike = 'data',
    tasks: Sequence[str] = TASKS,
    splits: Sequence[str] = SPLITS,
    download: bool = False,
    mirror: Optional[str] = None,
    delete_archives: bool = False,
    workers: Optional[int] = None,
) -> None:
    """Bring COCO 2017 into the layout that mmdet's, mmseg's and our configs expect.

    What is there is left as it is, so that an interrupted call can be repeated, and parts may be links to elsewhere::

        coco/{train,val}2017/*.jpg
        coco/annotations/instances_{train,val}2017.json
        coco/annotations/objects_{train,val}2017/*.png               0 background, 1 ... 80 by category id, 255 ignore
        coco_stuff164k/images/{train,val}2017                        links to the folders above
        coco_stuff164k/annotations/{train,val}2017/*_labelTrainIds.png   0 ... 170, 255 ignore

    Args:
        data_root (str or PathLike): Folder of all data. Defaults to 'data'.
        tasks (Sequence[str]): As in :func:`coco_archives`. Defaults to all.
        splits (Sequence[str]): As in :func:`coco_archives`. Defaults to both.
        download (bool): Whether archives that are missing are downloaded. Defaults to False.
        mirror (str, optional): URL of a folder that holds the archives. Defaults to None: where each is published.
        delete_archives (bool): Whether archives are deleted once unpacked. Defaults to False.
        workers (int, optional): Number of processes that convert. Defaults to None, which means one a core.

    Raises:
        UserError: If something is missing, cannot be downloaded or read, or the disk is too small.
    """
    data_root = Path(data_root).expanduser()
    obtain(coco_archives(tasks, splits), data_root, download, mirror, delete_archives)
    for split in splits:
        annotations = data_root / 'coco' / 'annotations'
        if 'objects' in tasks:
            write_object_masks(
                annotations / f'instances_{split}2017.json', annotations / f'objects_{split}2017', workers
            )
        if 'stuff' in tasks:
            _link_images(data_root, split)
            _convert_stuff(data_root / 'coco_stuff164k' / 'annotations' / f'{split}2017', workers)


def verify_coco(
    data_root: PathLike = 'data',
    tasks: Sequence[str] = TASKS,
    splits: Sequence[str] = SPLITS,
    full: bool = False,
    workers: Optional[int] = None,
) -> List[Check]:
    """Compare what is there with the official numbers, decode a sample, and see whether the annotations are consistent.

    Args:
        data_root (str or PathLike): As in :func:`prepare_coco`. Defaults to 'data'.
        tasks (Sequence[str]): As in :func:`coco_archives`. Defaults to all.
        splits (Sequence[str]): As in :func:`coco_archives`. Defaults to both.
        full (bool): Whether to decode everything. Defaults to False.
        workers (int, optional): Number of processes that decode. Defaults to None, which means one a core.

    Returns:
        List[Check]: One for each part.
    """
    data_root, tasks = Path(data_root).expanduser(), _with_needs(tasks)
    coco, stuff, checks = data_root / 'coco', data_root / 'coco_stuff164k', []
    for split in splits:
        folder, number = f'{split}2017', NUM_IMAGES[split]
        images = sorted((coco / folder).glob('*.jpg'))
        annotations = coco / 'annotations'
        if 'images' in tasks:
            checks.append(check_images(folder, images, number, full, workers))
        if 'instances' in tasks:
            path = annotations / f'instances_{folder}.json'
            folder_of_images = coco / folder if 'images' in tasks else None
            checks += check_coco_json(path, folder_of_images, number, NUM_ANNOTATIONS[split], NUM_CATEGORIES)
        if 'objects' in tasks:
            pairs = [(path, annotations / f'objects_{folder}' / mask_name(path.name)) for path in images]
            checks.append(check_masks(f'objects_{folder}', pairs, NUM_CATEGORIES + 1, number, full, workers))
        if 'stuff' in tasks:
            linked = sorted((stuff / 'images' / folder).glob('*.jpg'))
            pairs = [(path, stuff / 'annotations' / folder / f'{path.stem}{_STUFF_SUFFIX}') for path in linked]
            checks.append(check_masks(f'COCO-Stuff {folder}', pairs, NUM_STUFF_CLASSES, number, full, workers))
    return checks


def verify_object_masks(
    annotations: PathLike, images: PathLike, masks: PathLike, full: bool = False, workers: Optional[int] = None
) -> List[Check]:
    """Check a COCO-style data set of one's own, and the masks drawn of it.

    Args:
        annotations (str or PathLike): The COCO-style JSON.
        images (str or PathLike): Folder of its images.
        masks (str or PathLike): Folder of the masks.
        full (bool): Whether to decode everything. Defaults to False.
        workers (int, optional): Number of processes that decode. Defaults to None, which means one a core.

    Returns:
        List[Check]: One for each part.
    """
    annotations, images, masks = Path(annotations), Path(images), Path(masks)
    checks = check_coco_json(annotations, images)
    if not any(check.problems for check in checks):
        content = load_coco(str(annotations), ('images', 'categories'))
        names = column(annotations, content, 'images', 'file_name')
        num_values = len(mask_values(content['categories'], annotations)) + 1
        checks.append(check_images('images', [images / name for name in names], None, full, workers))
        pairs = [(images / name, masks / mask_name(name)) for name in names]
        checks.append(check_masks('masks', pairs, num_values, len(names), full, workers))
    return checks


def _with_needs(tasks: Sequence[str]) -> set:
    for task in tasks:
        if task not in TASKS:
            raise UserError(f'tasks: {task!r} is unknown: use some of {", ".join(map(repr, TASKS))}')
    return {*tasks, *(need for task in tasks for need in _NEEDS[task])}


def _link_images(data_root: Path, split: str) -> None:
    link = data_root / 'coco_stuff164k' / 'images' / f'{split}2017'
    if not (link.exists() or link.is_symlink()):
        link.parent.mkdir(parents=True, exist_ok=True)
        images = data_root.resolve() / 'coco' / link.name
        link.symlink_to(os.path.relpath(images, link.parent.resolve()))  # relative: the data root may be moved


def stuff_labels() -> np.ndarray:
    """mmseg's label by COCO-Stuff's value, uint8 of shape ``(256, )``; 254 for values that no class has."""
    labels = np.full(256, _NO_LABEL, np.uint8)
    used = np.setdiff1d(np.arange(182), _STUFF_UNUSED)
    labels[used] = np.arange(NUM_STUFF_CLASSES)
    labels[255] = 255
    return labels


def _convert_stuff(folder: Path, workers: Optional[int]) -> None:
    maps = [path for path in sorted(folder.glob('*.png')) if not path.name.endswith(_STUFF_SUFFIX)]
    todo = [path for path in maps if not _converted(path).exists()]
    if todo:
        convert = partial(_convert_stuff_map, stuff_labels())
        for _ in apply_to_all(convert, todo, f'COCO-Stuff labels of {folder.name}', workers):
            pass


def _converted(path: Path) -> Path:
    return path.with_name(f'{path.stem}{_STUFF_SUFFIX}')


def _convert_stuff_map(labels: np.ndarray, path: Path) -> None:
    try:
        with Image.open(path) as file:
            values = np.asarray(file)
        mask = labels[values]
    except (OSError, SyntaxError, ValueError, IndexError) as error:  # SyntaxError: Pillow's answer to a broken PNG
        raise UserError(f'{path} is no map of COCO-Stuff ({error}): restore it') from error
    if (mask == _NO_LABEL).any():
        raise UserError(
            f'{path} holds the value {values[mask == _NO_LABEL][0]}, which is no class of COCO-Stuff: restore it'
        )
    write_whole(_converted(path), encode_mask(mask))
