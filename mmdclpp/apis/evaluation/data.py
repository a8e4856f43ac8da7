"""Where the data of an evaluation lie below the data root."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple


class Split(NamedTuple):
    """One part of a data set, below its root.

    Attributes:
        ann_file (str): COCO-style JSON, or for segmentation a list of names or nothing.
        images (str): Folder of the images.
        masks (str): Folder of the masks. Empty for classification.
    """

    ann_file: str
    images: str
    masks: str = ''


class DataSource(NamedTuple):
    """A data set that is there.

    Attributes:
        name (str): The data set, for tables.
        root (Path): Its folder.
        train (Split): For fitting.
        test (Split): For measuring.
        full (bool): Whether it is the published data set, not a reduced one.
    """

    name: str
    root: Path
    train: Split
    test: Split
    full: bool = True

    def options(self, split: str) -> Dict[str, Any]:
        """The keys of an mm* data set's config that point it to ``'train'`` or ``'test'``."""
        part: Split = getattr(self, split)
        prefix = dict(img_path=part.images)
        if part.masks:
            prefix['seg_map_path'] = part.masks
        return dict(data_root=f'{self.root}/', ann_file=part.ann_file, data_prefix=prefix)

    @property
    def protocol(self) -> str:
        """Whose definition of average precision is the data's own: ``'voc'`` or ``'coco'``."""
        return 'voc' if self.name.lower().startswith('voc') else 'coco'

    def identity(self) -> str:
        """A hash of what is evaluated on: annotations, images and masks. Where the data lie does not matter."""
        digest = hashlib.sha256(self.name.encode())
        for part in (self.train, self.test):
            content = (self.root / part.ann_file).read_bytes() if part.ann_file else b''
            digest.update(f'{len(content)} bytes: '.encode() + content)
            for folder in filter(None, (part.images, part.masks)):
                digest.update(json.dumps(_files(self.root / folder)).encode())
        return digest.hexdigest()


def _files(folder: Path) -> List[Tuple[str, int, int]]:
    """Names, sizes and times of a folder's files, which tell cheaply whether one was replaced."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat()) for entry in entries]
    return sorted((name, status.st_size, int(status.st_mtime)) for name, status in found)


def _multi_label(name: str, folder: str, ann_file: str, splits: Tuple[str, str], images: str, full: bool) -> DataSource:
    parts = (Split(ann_file.format(split), images.format(split)) for split in splits)
    return DataSource(name, Path(folder), *parts, full)


def _segmentation(name: str, folder: str, lists: str, images: str, masks: str, full: bool) -> DataSource:
    parts = (Split(lists.format(split), images.format(split), masks.format(split)) for split in ('train', 'val'))
    return DataSource(name, Path(folder), *parts, full)


# Of each, the published layout (docs/data.md), then that of a reduced set; the first that is there is taken.
_VOC_LISTS = ('ImageSets/Segmentation/{}.txt', 'JPEGImages', 'SegmentationClass')
_KNOWN = {
    'coco': (
        _multi_label('COCO 2017', 'coco', 'annotations/instances_{}2017.json', ('train', 'val'), '{}2017/', full=True),
        _multi_label(
            'coco_mini', 'coco_mini', 'annotations/instances_{}.json', ('train', 'val'), 'images/', full=False
        ),
    ),
    'voc': (
        _multi_label(
            'VOC2007', 'VOCdevkit/VOC2007', 'annotations/pascal_{}2007.json', ('trainval', 'test'), 'JPEGImages/', True
        ),
        _multi_label('voc2007', 'voc2007', 'annotations/instances_{}.json', ('train', 'val'), 'images/', full=False),
    ),
    'voc-masks': (
        _segmentation('VOC2012', 'VOCdevkit/VOC2012', *_VOC_LISTS, full=True),
        _segmentation('voc_seg', 'voc_seg', *_VOC_LISTS, full=False),
    ),
    'coco-masks': (_segmentation('COCO objects', 'coco', '', '{}2017', 'annotations/objects_{}2017', full=True),),
    'coco-stuff-masks': (
        _segmentation('COCO-Stuff 164k', 'coco_stuff164k', '', 'images/{}2017', 'annotations/{}2017', full=True),
    ),
    'scenes': (
        _multi_label('scenes', 'scenes', 'annotations/instances_{}.json', ('train', 'val'), 'images/{}/', full=False),
    ),
    'scenes-masks': (_segmentation('scenes', 'scenes', '', 'images/{}', 'masks/{}', full=False),),
}
BUILT_IN = ('scenes', 'scenes-masks')  # evaluated where they are asked for, or there is nothing else
# With SBD's masks, where they are there. (The config adds VOC2012's own training images to SBD's.)
_KNOWN['voc-aug-masks'] = (
    DataSource(
        'VOC2012Aug',
        Path('VOCdevkit/VOC2012'),
        Split('ImageSets/Segmentation/aug.txt', 'JPEGImages', 'SegmentationClassAug'),
        Split('ImageSets/Segmentation/val.txt', 'JPEGImages', 'SegmentationClass'),
    ),
    *_KNOWN['voc-masks'],
)


def find_data(kind: str, data_root: Path) -> Optional[DataSource]:
    """The data set of a kind below ``data_root``, None if it is not there."""
    for known in _KNOWN[kind]:
        source = known._replace(root=data_root / known.root)
        parts = (source.train, source.test)
        needed = (source.root / name for part in parts for name in part if name)
        if all(path.exists() for path in needed):
            return source
    return None


def missing_data(kind: str, data_root: Path) -> str:
    """What to tell of a data set that is not there."""
    first = _KNOWN[kind][0]
    paths = (data_root / first.root / name for part in (first.train, first.test) for name in part if name)
    wanted = next((path for path in paths if not path.exists()), first.root)
    if kind in BUILT_IN:
        command = f'tools/make_scenes.py --out {data_root / first.root}'
    else:
        converter = 'voc.py' if kind.startswith('voc') else 'coco.py'
        command = f'tools/dataset_converters/{converter} --data-root {data_root} --download'
    return f'no {first.name} below {data_root} ({wanted} does not exist): python {command}'
