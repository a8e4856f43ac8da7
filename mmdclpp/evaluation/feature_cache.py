"""Features on disk: in shards, each there whole or not at all, below a key of all that they depend on."""

import hashlib
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, write_whole

Rows = Dict[str, Tensor]  # by aggregate, float32 on the CPU, a row an image
_VERSION = 1  # of what a shard holds: raise it whenever the same key would stand for other values


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def read_annotations(dataset: Dataset, key: str) -> List[Any]:
    """What the annotations of a data set say under ``key``, an entry an image; no image is loaded.

    Args:
        dataset (Dataset): mmengine's ``BaseDataset``, or a wrapper that passes on its ``get_data_info``.
        key (str): The key of an image's information.

    Raises:
        UserError: If the data set does not tell its annotations, or they lack the key.
    """
    name = type(dataset).__name__
    if not hasattr(dataset, 'get_data_info'):
        raise UserError(
            f'dataset: {name} does not tell its annotations (get_data_info): use a data set of mmengine, '
            'whose argument indices takes a part of it'
        )
    values = [dataset.get_data_info(index).get(key) for index in range(len(dataset))]
    if any(value is None for value in values):
        raise UserError(f'dataset: the annotations of {name} have no {key!r}: use another type, such as CocoMultiLabel')
    return values


def describe_features(dataset: Dataset, fingerprint: str, shard_size: int) -> Dict[str, Any]:
    """All that cached features depend on, in terms that JSON knows.

    An image file is known by its size, the second of its last change, and its path below the folder that all images
    have in common: a data set may be moved, or copied with its times kept.

    Args:
        dataset (Dataset): See :func:`read_annotations`; its pipeline counts by its transforms' ``repr``.
        fingerprint (str): What the backbone and its input depend on.
        shard_size (int): Images a shard.

    Raises:
        UserError: If an image is no local file, or a transform does not tell its settings.
    """
    paths = [str(path) for path in read_annotations(dataset, 'img_path')]
    remote = next((path for path in paths if '://' in path), None)
    if remote is not None:
        raise UserError(f'cache_dir: image {remote} is no local file, whose changes could be seen: leave cache_dir out')
    paths = [os.path.abspath(path) for path in paths]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    files = hashlib.sha256()
    for path in paths:
        try:
            stat = os.stat(path)
        except OSError as error:
            raise UserError(
                f'cannot read image {path} ({error.strerror}): restore the file, or check data_root and data_prefix'
            ) from None
        files.update(os.fsencode(f'{path[len(folder) :]}\t{stat.st_size}\t{int(stat.st_mtime)}\n'))
    return {
        'version': _VERSION,
        'fingerprint': fingerprint,
        'transforms': _transforms(dataset),
        'images': len(paths),
        'first_image': os.path.relpath(paths[0], folder),
        'files_sha256': files.hexdigest(),
        'shard_size': shard_size,
    }


def _transforms(dataset: Dataset) -> List[Union[str, list]]:
    """The transforms of a data set, one by one; of a wrapper those of each data set in it."""
    if hasattr(dataset, 'pipeline'):
        transforms = [repr(transform) for transform in dataset.pipeline.transforms]
        for transform in transforms:
            if re.search(r' at 0x[0-9a-f]+>', transform):  # Python's repr, another one in every process
                raise UserError(
                    f'cache_dir: the transform {transform} does not tell its settings: give it a __repr__ that does, '
                    'or leave cache_dir out'
                )
        return transforms
    return [_transforms(wrapped) for wrapped in getattr(dataset, 'datasets', None) or [dataset.dataset]]


class FeatureCache:
    """Shards of features below ``root/<key>/``, beside ``key.json``, which tells what the key stands for.

    Args:
        root (PathLike): The folder of all caches, made where missing.
        description (dict): What the features depend on, see :func:`describe_features`.
    """

    def __init__(self, root: PathLike, description: Dict[str, Any]) -> None:
        self.description = description
        self.key = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = Path(root).expanduser() / self.key

    def write_description(self) -> None:
        """Write ``key.json``; a UserError tells if the folder cannot be written."""
        write_whole(self.folder / 'key.json', json.dumps(self.description, indent=2) + '\n')

    def write(self, shard: range, rows: Rows) -> None:
        """Keep the features of the images ``shard``."""
        write_whole(self._path(shard), save(rows, self._metadata(shard, rows)))

    def read(self, shard: range) -> Optional[Rows]:
        """The features of the images ``shard``; None if there are none or, with a warning, if they are damaged."""
        path = self._path(shard)
        if not path.exists():
            return None
        try:
            with safe_open(path, 'pt') as file:
                rows = {name: file.get_tensor(name) for name in file.keys()}
                if file.metadata() == self._metadata(shard, rows):
                    return rows
                fault = 'changed, or of other images'
        except (SafetensorError, OSError) as error:
            fault = str(error)
        warnings.warn(f'{path} is damaged ({fault}): its features are extracted again', stacklevel=2)
        return None

    def _path(self, shard: range) -> Path:
        return self.folder / f'images_{shard.start:08d}-{shard.stop - 1:08d}.safetensors'

    def _metadata(self, shard: range, rows: Rows) -> Dict[str, str]:
        return {'key': self.key, 'images': f'{shard.start} to {shard.stop - 1}', 'sha256': tensors_digest(rows)}
