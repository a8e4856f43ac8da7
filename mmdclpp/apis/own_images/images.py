"""A user's images in the place of a config's data set."""

import os
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models.selfsup import BaseSelfSupervisor

from mmdclpp.datasets.coco_json import column, load_coco
from mmdclpp.datasets.decode_image import IMAGE_EXTENSIONS
from mmdclpp.datasets.unlabelled_images import UnlabelledImages
from mmdclpp.datasets.walk_files import walk_files
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS, MODELS
from mmdclpp.utils.files import PathLike

_LOADERS = ('LoadViews', 'LoadImage', 'LoadImageFromFile')
_CROPS = ('RandomResizedCrop', 'RandomResizedCropWithBox')


def dataset_of(data: PathLike) -> Dict[str, str]:
    """The arguments of :class:`~mmdclpp.datasets.UnlabelledImages` for a user's images.

    Args:
        data (str or PathLike): A folder, of which every image is taken, those of its subfolders included; a text file
            with one path a line, absolute or relative to the file's folder; or COCO-style JSON, whose images are
            looked for in its folder, beside it and in ``images``, as the usual layouts have them.

    Raises:
        UserError: If it is none of these, or the JSON's images are in none of these places.
    """
    path = Path(data).expanduser()
    if path.is_dir():
        return dict(data_root=str(path))
    if not path.is_file():
        raise UserError(f'data: {data} does not exist: give a folder of images, a list of paths, or COCO-style JSON')
    folder = str(path.parent)
    if path.suffix.lower() == '.json':
        first = column(str(path), load_coco(str(path), ('images',)), 'images', 'file_name')[0]
        return dict(data_root=folder, ann_file=path.name, data_prefix=_folder_of(first, path))
    if path.suffix.lower() == '.lmdb':
        raise UserError(
            f'data: {data} is a packed data set, which is not surveyed: name it in a config, or by --cfg-options '
            f'train_dataloader.dataset.type=PackedImages train_dataloader.dataset.data_root={folder} '
            f'train_dataloader.dataset.ann_file={path.name}'
        )
    if path.suffix.lower() in IMAGE_EXTENSIONS or b'\0' in path.open('rb').read(1024):
        raise UserError(f'data: {data} is no text: give a folder of images, a list of paths, or COCO-style JSON')
    return dict(data_root=folder, ann_file=path.name)


def _folder_of(first: str, annotations: Path) -> str:
    """The folder with the image named ``first``, relative to the annotations."""
    split = annotations.stem.rpartition('_')[2]  # instances_train2017.json and train2017/
    places = ('', 'images', '..', '../images', f'../{split}', f'../images/{split}')
    for place in places:
        if (annotations.parent / place / first).is_file():
            return place
    raise UserError(
        f'data: {annotations} lists {first}, which is not in {", ".join(place or "its folder" for place in places)}: '
        'move it beside the images, or list their paths in a text file'
    )


def require_pretraining(cfg: Config, argument: str) -> None:
    """Raise a UserError, which begins with ``argument``, unless the config trains without labels."""
    kind = (cfg.get('model') or {}).get('type')
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        model = None if kind is None else MODELS.get(kind)
    if not (isinstance(model, type) and issubclass(model, BaseSelfSupervisor)):
        raise UserError(
            f'{argument}: config {cfg.filename or ""} trains {kind}, which needs labels: give a pretraining config, '
            'such as configs/densecl_pp/vit-s16_folder.py'
        )


def set_images(cfg: Config, arguments: Dict[str, str]) -> None:
    """Let a config train on other images by its own pipeline; another takes the place of a broken one, which is told.

    Args:
        cfg (Config): A pretraining config, changed in place.
        arguments (Dict[str, str]): As :func:`dataset_of` gives them.
    """
    dataset = cfg.train_dataloader.get('dataset') or {}
    while not dataset.get('pipeline') and (dataset.get('datasets') or dataset.get('dataset')):  # wrappers
        dataset = dataset['datasets'][0] if dataset.get('datasets') else dataset['dataset']
    pipeline = list(dataset.get('pipeline') or ())
    if not pipeline or _name(pipeline[0]) not in _LOADERS:
        raise UserError(
            'data: train_dataloader.dataset.pipeline does not begin with LoadViews or LoadImage: only pipelines that '
            'read image files work with --data'
        )
    if _name(pipeline[0]) == 'LoadImageFromFile':  # whose errors do not name the file
        pipeline[0] = dict(type='mmdclpp.LoadImage')
    cfg.train_dataloader.dataset = dict(
        type='mmdclpp.UnlabelledImages', **arguments, skip_broken=True, pipeline=pipeline
    )
    # mmpretrain's own configs have none.
    cfg.setdefault('default_hooks', {}).setdefault('broken_images', dict(type='mmdclpp.BrokenImagesHook'))


def list_images(arguments: Dict[str, str]) -> UnlabelledImages:
    """The data set of a user's images, without pipeline."""
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        return DATASETS.build(dict(type='UnlabelledImages', **arguments))


def other_files(arguments: Dict[str, str]) -> Dict[str, int]:
    """How many files of each extension a folder has that are not images by their name; none for a list."""
    if 'ann_file' in arguments:
        return {}
    extensions = Counter(os.path.splitext(path)[1].lower() for path in walk_files(arguments['data_root']))
    return {extension: count for extension, count in extensions.items() if extension not in IMAGE_EXTENSIONS}


def random_crops(cfg: Config) -> List[Tuple[str, Dict[str, Any]]]:
    """The random crops of a config's views: dotted key and transform."""
    return list(_crops_in(cfg.train_dataloader.dataset, 'train_dataloader.dataset'))


def _crops_in(part: Any, key: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    if isinstance(part, dict):
        if _name(part) in _CROPS:
            yield key, part
        for name, value in part.items():
            yield from _crops_in(value, f'{key}.{name}')
    elif isinstance(part, (list, tuple)):
        for index, value in enumerate(part):
            yield from _crops_in(value, f'{key}.{index}')


def _name(transform: Dict[str, Any]) -> str:
    return str(transform.get('type')).rpartition('.')[2]
