"""PASCAL VOC 2007 and 2012 as the devkit lays them out, COCO-style annotations, and SBD's additional masks."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple
from xml.etree import ElementTree

from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, write_whole

from .archives import Archive, obtain
from .object_masks import encode_mask
from .progress import apply_to_all
from .verification import Check, check_coco_json, check_images, check_masks, count_check, repeated

YEARS = ('2007', '2012')
CLASSES = (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog'),
    *('horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
)

# MD5: torchvision, torchvision/datasets/{voc,sbd}.py. Sizes: what the servers say, as noted in many logs.
_HOST = 'http://host.robots.ox.ac.uk/pascal/VOC'
TRAINVAL_2007 = Archive(
    url=f'{_HOST}/voc2007/VOCtrainval_06-Nov-2007.tar',
    prefix='VOCdevkit/VOC2007',
    target='VOCdevkit/VOC2007',
    gives=('VOCdevkit/VOC2007/ImageSets/Main/trainval.txt',),
    size=460032000,
    md5='c52e279531787c972589f7e41ab4ae64',
    unpacked=500_000_000,
)
TEST_2007 = Archive(
    url=f'{_HOST}/voc2007/VOCtest_06-Nov-2007.tar',
    prefix='VOCdevkit/VOC2007',
    target='VOCdevkit/VOC2007',
    gives=('VOCdevkit/VOC2007/ImageSets/Main/test.txt',),
    size=451020800,
    md5='b6e924de25625d8de591ea690078ad9f',
    unpacked=490_000_000,
)
TRAINVAL_2012 = Archive(
    url=f'{_HOST}/voc2012/VOCtrainval_11-May-2012.tar',
    prefix='VOCdevkit/VOC2012',
    target='VOCdevkit/VOC2012',
    gives=('VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt', 'VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt'),
    size=1999639040,
    md5='6cd6e144f989b92b3379bac3b3de84fd',
    unpacked=2_100_000_000,
)
SBD = Archive(
    url='https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz',
    prefix='benchmark_RELEASE/dataset',
    only=('cls/*.mat', 'train.txt', 'val.txt'),  # the images are VOC's
    target='VOCdevkit/VOCaug/dataset',
    gives=('VOCdevkit/VOCaug/dataset/train.txt', 'VOCdevkit/VOCaug/dataset/val.txt'),
    size=1419539633,
    md5='82b4d87ceb2ed10f6038a1cba92111cb',
    unpacked=300_000_000,
)
# VOC2007's objects without the difficult ones: 24,640 on its web page, of which 12,608 in trainval and 12,032 in test.
NUM_2007 = dict(trainval=5011, test=4952)
NUM_OBJECTS_2007 = dict(trainval=12608, test=12032)
NUM_2012 = dict(train=1464, val=1449)
NUM_AUGMENTED = 10582  # VOC2012's train and SBD's images that are not in VOC2012's val; mmseg's converter has it too


def voc_archives(years: Sequence[str] = YEARS, aug: bool = True) -> List[Archive]:
    """The archives of the given years.

    Args:
        years (Sequence[str]): Of ``'2007'`` and ``'2012'``. Defaults to both.
        aug (bool): Whether SBD's masks are wanted, which go with 2012. Defaults to True.
    """
    for year in years:
        if year not in YEARS:
            raise UserError(f'years: {year!r} is unknown: use some of {", ".join(YEARS)}')
    return [
        *([TRAINVAL_2007, TEST_2007] if '2007' in years else ()),
        *([TRAINVAL_2012] if '2012' in years else ()),
        *([SBD] if '2012' in years and aug else ()),
    ]


def prepare_voc(
    data_root: PathLike = 'data',
    years: Sequence[str] = YEARS,
    aug: bool = True,
    download: bool = False,
    mirror: Optional[str] = None,
    delete_archives: bool = False,
    workers: Optional[int] = None,
) -> None:
    """Bring VOC2007 and VOC2012 into the layout that mmdet's, mmseg's and our configs expect.

    What is there is left as it is, so that an interrupted call can be repeated, and parts may be links to elsewhere::

        VOCdevkit/VOC2007/{Annotations,ImageSets,JPEGImages,...}
        VOCdevkit/VOC2007/annotations/pascal_{trainval,test}2007.json      COCO-style, difficult objects: ignore 1
        VOCdevkit/VOC2012/{Annotations,ImageSets,JPEGImages,SegmentationClass,...}
        VOCdevkit/VOC2012/SegmentationClassAug/*.png                       SBD's masks
        VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt                   SBD's images that are not in train or val
        VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt              those and train: 10,582 images
        VOCdevkit/VOCaug/dataset/{cls,train.txt,val.txt}                   SBD as published

    Args:
        data_root (str or PathLike): Folder of all data. Defaults to 'data'.
        years (Sequence[str]): As in :func:`voc_archives`. Defaults to both.
        aug (bool): As in :func:`voc_archives`. Defaults to True.
        download (bool): Whether archives that are missing are downloaded. Defaults to False.
        mirror (str, optional): URL of a folder that holds the archives. Defaults to None: where each is published.
        delete_archives (bool): Whether archives are deleted once unpacked. Defaults to False.
        workers (int, optional): Number of processes that convert. Defaults to None, which means one a core.

    Raises:
        UserError: If something is missing, cannot be downloaded or read, or the disk is too small.
    """
    data_root = Path(data_root).expanduser()
    archives = voc_archives(years, aug)
    devkit = data_root / 'VOCdevkit'
    if SBD in archives and _augmentation_list(devkit).exists():
        archives.remove(SBD)  # by mmseg's converter, perhaps
    obtain(archives, data_root, download, mirror, delete_archives)
    if '2007' in years:
        for split in NUM_2007:
            write_coco_json(devkit / 'VOC2007', split)
    if SBD in archives:
        _augment(devkit, data_root / SBD.target, workers)


def verify_voc(
    data_root: PathLike = 'data',
    years: Sequence[str] = YEARS,
    aug: bool = True,
    full: bool = False,
    workers: Optional[int] = None,
) -> List[Check]:
    """Compare what is there with the official numbers, decode a sample, and see whether the annotations are consistent.

    Args:
        data_root (str or PathLike): As in :func:`prepare_voc`. Defaults to 'data'.
        years (Sequence[str]): As in :func:`voc_archives`. Defaults to both.
        aug (bool): As in :func:`voc_archives`. Defaults to True.
        full (bool): Whether to decode everything. Defaults to False.
        workers (int, optional): Number of processes that decode. Defaults to None, which means one a core.

    Returns:
        List[Check]: One for each part.
    """
    devkit, checks = Path(data_root).expanduser() / 'VOCdevkit', []
    if '2007' in years:
        root = devkit / 'VOC2007'
        for split, number in NUM_2007.items():
            images = [root / 'JPEGImages' / f'{name}.jpg' for name in _names(root, 'Main', split)]
            checks.append(check_images(f'VOC2007 {split}: images', images, number, full, workers))
            path = root / 'annotations' / f'pascal_{split}2007.json'
            checks += check_coco_json(path, root / 'JPEGImages', number, NUM_OBJECTS_2007[split], len(CLASSES))
    if '2012' in years:
        root = devkit / 'VOC2012'
        parts = [(split, number, 'SegmentationClass') for split, number in NUM_2012.items()]
        if aug:
            parts.append(('aug', NUM_AUGMENTED - NUM_2012['train'], 'SegmentationClassAug'))
        names = {split: _names(root, 'Segmentation', split) for split, *_ in parts}
        for split, number, folder in parts:
            images = [root / 'JPEGImages' / f'{name}.jpg' for name in names[split]]
            checks.append(check_images(f'VOC2012 {split}: images', images, number, full, workers))
            pairs = [(path, root / folder / f'{path.stem}.png') for path in images]
            checks.append(check_masks(f'VOC2012 {split}: masks', pairs, len(CLASSES) + 1, number, full, workers))
        if aug:
            # One image in two of them would be trained on twice, or be trained and evaluated on.
            twice = repeated([name for split in names for name in names[split]])
            problems = [f'{root}: {name} is twice in the lists of {", ".join(names)}' for name in twice]
            checks.append(
                count_check('VOC2012 train and aug', len({*names['train'], *names['aug']}), NUM_AUGMENTED, problems)
            )
    return checks


def write_coco_json(root: Path, split: str) -> Path:
    """Write COCO-style annotations of VOC2007, unless they are there.

    Image ids are the numbers that name the images, category ids 1 ... 20 follow the alphabet. VOC's corners count
    pixels from 1 and belong to the box; COCO's box begins at 0, and its width is the number of pixels. Objects marked
    difficult have ``ignore: 1``.

    Args:
        root (Path): The folder ``VOC2007``.
        split (str): ``'trainval'`` or ``'test'``.

    Returns:
        Path: The file, ``annotations/pascal_{split}2007.json``.

    Raises:
        UserError: If an annotation is missing, no XML of VOC's form, or declares a document type.
    """
    out = root / 'annotations' / f'pascal_{split}2007.json'
    if out.exists():
        return out
    images, annotations = [], []
    for name in _names(root, 'Main', split):
        if not (name.isascii() and name.isdecimal()):
            raise UserError(
                f'{root}: ImageSets/Main/{split}.txt lists {name[:60]!r}, which is no number as of VOC2007: unpack the '
                'archive again'
            )
        image, objects = _read_xml(root / 'Annotations' / f'{name}.xml', int(name))
        images.append(image)
        annotations += objects
    content = dict(
        info=dict(description=f'PASCAL VOC2007 {split}'),
        images=images,
        annotations=[dict(id=number, **annotation) for number, annotation in enumerate(annotations, start=1)],
        categories=[dict(id=number, name=name) for number, name in enumerate(CLASSES, start=1)],
    )
    return write_whole(out, json.dumps(content))


class _TreeWithoutDoctype(ElementTree.TreeBuilder):
    """Refuses document types before their entities are read: VOC has none, and nested ones can fill the memory."""

    def doctype(self, name: str, pubid: Optional[str], system: Optional[str]) -> None:
        raise ValueError(f'it declares the document type {name!r}')


def _read_xml(path: Path, image_id: int) -> Tuple[Dict[str, Any], List[Dict[str, Any]]]:
    """The COCO-style image and annotations, without ids, of an annotation file."""
    try:
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_TreeWithoutDoctype())).getroot()
        size = root.find('size')
        image = dict(
            id=image_id,
            file_name=f'{path.stem}.jpg',
            width=int(size.findtext('width')),
            height=int(size.findtext('height')),
        )
        if min(image['width'], image['height']) < 1:
            raise ValueError(f'its size is {image["width"]} x {image["height"]}')
        return image, [_annotation(element, image_id) for element in root.iterfind('object')]
    except FileNotFoundError:
        raise UserError(f'{path} does not exist: unpack the archive again') from None
    except (ElementTree.ParseError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f'{path} is no annotation of VOC ({error}): unpack the archive again') from error


def _annotation(element: ElementTree.Element, image_id: int) -> Dict[str, Any]:
    box = element.find('bndbox')
    left, top, right, bottom = (int(box.findtext(name)) for name in ('xmin', 'ymin', 'xmax', 'ymax'))
    width, height = right - left + 1, bottom - top + 1
    return dict(
        image_id=image_id,
        category_id=CLASSES.index(element.findtext('name')) + 1,
        bbox=[left - 1, top - 1, width, height],
        area=width * height,
        iscrowd=0,
        ignore=int(element.findtext('difficult', '0')),
        segmentation=[],
    )


def _names(root: Path, kind: str, split: str) -> List[str]:
    path = root / 'ImageSets' / kind / f'{split}.txt'
    return _words(path) if path.is_file() else []


def _words(path: Path) -> List[str]:
    try:
        return path.read_text(encoding='utf-8').split()
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is no text ({error}): unpack the archive again') from error


def _augmentation_list(devkit: Path) -> Path:
    return devkit / 'VOC2012' / 'ImageSets' / 'Segmentation' / 'aug.txt'


def _augment(devkit: Path, sbd: Path, workers: Optional[int]) -> None:
    """Turn SBD's masks into PNGs, and list its images; the list of them is written last."""
    root = devkit / 'VOC2012'
    names = {name for split in ('train', 'val') for name in _words(sbd / f'{split}.txt')}
    outs = {path: root / 'SegmentationClassAug' / f'{path.stem}.png' for path in sorted((sbd / 'cls').glob('*.mat'))}
    todo = [(path, out) for path, out in outs.items() if not out.exists()]
    for _ in apply_to_all(_convert_mat, todo, "SBD's masks", workers):
        pass
    train, val = (set(_names(root, 'Segmentation', split)) for split in ('train', 'val'))
    for split, chosen in (('trainaug', (names | train) - val), ('aug', names - train - val)):
        out = _augmentation_list(devkit).with_name(f'{split}.txt')
        if not out.exists():
            write_whole(out, ''.join(f'{name}\n' for name in sorted(chosen)))


def _convert_mat(paths: Tuple[Path, Path]) -> None:
    from scipy.io import loadmat  # not among the package's own dependencies

    source, out = paths
    try:
        mask = encode_mask(loadmat(source)['GTcls'][0, 0]['Segmentation'])
    except Exception as error:  # SciPy's reader raises whatever a broken file makes it stumble over
        raise UserError(f'{source} is no mask of SBD ({error}): unpack the archive again') from error
    write_whole(out, mask)
