"""Checkpoints in safetensors' form: tensors, and in the metadata what a checkpoint of mmengine tells besides them."""

import json
from typing import Any, Dict, Mapping, Sequence

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike

SUFFIX = '.safetensors'
_OURS = 'mmdclpp'


def is_safetensors(file: PathLike) -> bool:
    """Whether a name is that of a safetensors file here; what is behind an URL, mmengine reads, which knows none."""
    return str(file).endswith(SUFFIX) and '://' not in str(file)


def is_whole_safetensors(file: PathLike) -> bool:
    """Whether the file is there from its header to the last byte that the header announces."""
    try:
        with safe_open(file, 'pt'):
            return True
    except SafetensorError:
        return False


def pack_safetensors(
    state_dict: Mapping[str, Tensor], keys: Mapping[str, Sequence[str]], meta: Dict[str, Any]
) -> bytes:
    """The content of a file in which another library finds its keys, and :func:`read_safetensors` ours.

    Args:
        state_dict (Mapping[str, Tensor]): Weights under our keys.
        keys (Mapping[str, Sequence[str]]): What each of our keys is called in the file; under several names, its equal
            parts along the first dimension.
        meta (Dict[str, Any]): What mmengine's checkpoints have under ``meta``, such as ``cfg``, ``seed``, ``epoch``.

    Returns:
        bytes: All of the file.
    """
    tensors = split(state_dict, keys)
    content = json.dumps(dict(keys={key: list(names) for key, names in keys.items()}, meta=meta))
    # transformers refuses a file that does not name its framework.
    return save(tensors, metadata={'format': 'pt', _OURS: content})


def split(state_dict: Mapping[str, Tensor], keys: Mapping[str, Sequence[str]]) -> Dict[str, Tensor]:
    """Weights under the names, and in the parts, of :func:`pack_safetensors`."""
    return {
        name: part.contiguous().clone()  # safetensors takes no tensors that share memory
        for key, names in keys.items()
        for name, part in zip(names, state_dict[key].chunk(len(names)) if len(names) > 1 else [state_dict[key]])
    }


def read_safetensors(file: PathLike, map_location: str = 'cpu') -> Dict[str, Any]:
    """Read any safetensors file as if mmengine had written it.

    Args:
        file (str or PathLike): The file.
        map_location (str): Where to put the tensors. Defaults to 'cpu'.

    Returns:
        Dict[str, Any]: ``state_dict``, under our keys if :func:`pack_safetensors` made the file, else under its own;
        and ``meta``, empty in files of others.

    Raises:
        FileNotFoundError: If there is no file.
        SafetensorError: If it is cut off, or is none of safetensors'.
        UserError: If one of ours has not exactly the tensors that it was written with.
    """
    with safe_open(file, 'pt', device=str(map_location)) as content:
        tensors = {key: content.get_tensor(key) for key in content.keys()}
        ours = json.loads((content.metadata() or {}).get(_OURS, '{}'))
    if 'keys' in ours:
        written = {name for names in ours['keys'].values() for name in names}
        if written != tensors.keys():
            missing, added = sorted(written - tensors.keys()), sorted(tensors.keys() - written)
            raise UserError(
                f'{file} was changed since it was exported: {len(missing)} tensors are missing {missing[:3]}, '
                f'{len(added)} were added {added[:3]}: export it again'
            )
        tensors = {
            key: tensors[names[0]] if len(names) == 1 else torch.cat([tensors[name] for name in names])
            for key, names in ours['keys'].items()
        }
    return dict(state_dict=tensors, meta=ours.get('meta', {}))
