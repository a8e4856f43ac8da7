"""Where the data of an evaluation lie below the data root."""

import hashlib
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

from mmdclpp.errors import UserError


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

    def identity(self) -> str:
        """A hash of what is evaluated on: names and annotations. Where the data lie does not matter."""
        digest = hashlib.sha256(self.name.encode())
        for part in (self.train, self.test):
            if part.ann_file:
                digest.update((self.root / part.ann_file).read_bytes())
            else:
                digest.update('\n'.join(sorted(path.name for path in (self.root / part.images).iterdir())).encode())
        return digest.hexdigest()


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
}


def find_data(kind: str, data_root: Path) -> Optional[DataSource]:
    """The data set of a kind below ``data_root``, None if it is not there."""
    for known in _KNOWN[kind]:
        source = known._replace(root=data_root / known.root)
        parts = (source.train, source.test)
        if all((source.root / (part.ann_file or part.masks)).exists() for part in parts):
            return source
    return None


def require_data(kind: str, data_root: Path) -> DataSource:
    """As :func:`find_data`.

    Raises:
        UserError: If it is not there; the message names what was looked for and how to get it.
    """
    found = find_data(kind, data_root)
    if found is None:
        raise UserError(f'data_root: {missing_data(kind, data_root)}')
    return found


def missing_data(kind: str, data_root: Path) -> str:
    """What to tell of a data set that is not there."""
    first = _KNOWN[kind][0]
    wanted = data_root / first.root / (first.train.ann_file or first.train.masks)
    converter = 'voc.py' if kind.startswith('voc') else 'coco.py'
    return (
        f'no {first.name} below {data_root} ({wanted} does not exist): python tools/dataset_converters/{converter} '
        f'--data-root {data_root} --download'
    )
