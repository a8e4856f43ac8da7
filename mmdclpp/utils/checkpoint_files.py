"""Checkpoint files: whether they are as they were written, and reading them without running code that is in them.

A file of torch.save is a pickle, and a pickle is a program. Here only what tensors and plain data need may be called
from one, and what is in mmengine's checkpoints besides. Whoever made a file that needs more has to be trusted: the
tools' ``--trust``, in Python :func:`trusting`.
"""

import argparse
import functools
import os
import re
import struct
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from pickle import UnpicklingError
from typing import Any, Callable, Iterator, List, Optional
from unittest import mock

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, printable
from mmdclpp.utils.safetensors_file import is_safetensors, is_whole_safetensors, read_safetensors

_TRUST = 'MMDCLPP_TRUST'  # an environment variable, so that processes started from here obey it too

_BARE_PICKLE = b'\x80\x02'
# What zipfile raises of archives whose bytes were changed; an OSError if they tell it to look before their beginning.
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, OSError, RuntimeError, ValueError),
)


def damage(checkpoint: PathLike) -> Optional[str]:
    """What is wrong with the bytes of a checkpoint.

    torch.save writes a zip archive, of which every record has a checksum (CRC-32), and whose index stands last.
    Loading does not look at the checksums: this does, at about the speed of the disk.

    Args:
        checkpoint (str or PathLike): A file.

    Returns:
        str, optional: What a message can say of it, such as 'is cut off or no checkpoint'; None of a whole file. A bare
        pickle, as torch before 1.6 wrote, and a safetensors file have no checksums: that they are not cut off is all
        that can be told.
    """
    if is_safetensors(checkpoint):
        return None if is_whole_safetensors(checkpoint) else 'is cut off'
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            damaged = archive.testzip()
    except _DAMAGES:
        with open(checkpoint, 'rb') as file:
            return None if file.read(len(_BARE_PICKLE)) == _BARE_PICKLE else 'is cut off or no checkpoint'
    return None if damaged is None else f'is damaged ({damaged} fails its checksum)'


@contextmanager
def trusting() -> Iterator[None]:
    """Within this, checkpoints may run code, and so may the configs in them: load only what you would run.

    The tools' ``--trust`` is this for all that they do. It holds for the processes that are started meanwhile, too.
    """
    with mock.patch.dict(os.environ, {_TRUST: '1'}):
        yield


def trust() -> None:
    """What :func:`trusting` does, from now on."""
    os.environ[_TRUST] = '1'


def trusted() -> bool:
    """Whether checkpoints may run code."""
    return os.environ.get(_TRUST) == '1'


def read_checkpoint_file(file: PathLike, map_location: Any = None) -> Any:
    """What a checkpoint of torch.save or safetensors holds.

    Args:
        file (str or PathLike): A file here.
        map_location: Where to put tensors, as in ``torch.load``. Defaults to None, from where they were saved.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If the file is damaged or no checkpoint, or would run code and is not trusted.
    """
    file = os.path.expanduser(file)
    if not os.path.isfile(file):
        raise FileNotFoundError(f'checkpoint {printable(file)} does not exist')
    fault = damage(file)
    if fault is None and not trusted():
        fault = _bomb(file)
    if fault is not None:
        raise UserError(f'checkpoint {printable(file)} {fault}: give another one')
    with _told_in_a_line(file):
        if is_safetensors(file):
            return read_safetensors(file, 'cpu' if map_location is None else map_location)
        if trusted():
            return torch.load(file, map_location=map_location, weights_only=False)
        with torch.serialization.safe_globals(_allowed()):
            return _without_code(torch.load(file, map_location=map_location, weights_only=True))


def guard_mmengine() -> None:
    """Let mmengine's runner, initializers and ``CheckpointLoader`` read files by :func:`read_checkpoint_file`.

    By itself, mmengine loads a file that is not safe as one that is. What it downloads is held to the same list.
    """
    for prefix, loader in CheckpointLoader._schemes.items():
        if not hasattr(loader, '__wrapped__'):
            guarded = functools.wraps(loader)(read_checkpoint_file if prefix == '' else _guarded(loader))
            CheckpointLoader.register_scheme(prefix, guarded, force=True)


def _guarded(loader: Callable) -> Callable:
    def load(filename: str, map_location: Any = None) -> Any:
        with ExitStack() as stack:
            stack.enter_context(_told_in_a_line(filename, damaged=False))
            if not trusted():
                # torch.load's own switch: here it is called by others.
                stack.enter_context(mock.patch.dict(os.environ, {'TORCH_FORCE_WEIGHTS_ONLY_LOAD': '1'}))
                os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)
                stack.enter_context(torch.serialization.safe_globals(_allowed()))
                return _without_code(loader(filename, map_location))
            stack.enter_context(mock.patch.dict(os.environ, {'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': '1'}))
            os.environ.pop('TORCH_FORCE_WEIGHTS_ONLY_LOAD', None)
            return loader(filename, map_location)

    return load


def _history_method(owner: Any, name: str) -> Callable:
    """What mmengine's history of a logged value looks up by ``getattr``, which itself would give anything."""
    if owner is not HistoryBuffer or name not in ('current', 'max', 'mean', 'min'):
        raise UnpicklingError('GLOBAL builtins.getattr')  # torch's way to name it
    return getattr(owner, name)


def _allowed() -> List[Any]:
    """What may be called from a pickle, besides what torch allows: none of it does more than hold data."""
    multiarray = getattr(np, '_core', None) or np.core
    functions = [multiarray.multiarray._reconstruct, multiarray.multiarray.scalar]
    return [
        argparse.Namespace,  # the arguments of a training, in checkpoints of timm and of many papers
        HistoryBuffer,
        (_history_method, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(name)) for name in ('?', 'u1', 'i4', 'u4', 'i8', 'u8', 'f2', 'f4', 'f8')),
        # NumPy 2 renamed the module.
        *((f, f'numpy.{core}.multiarray.{f.__name__}') for f in functions for core in ('_core', 'core')),
    ]


def _bomb(file: PathLike) -> Optional[str]:
    """What to say of an archive that holds more than its own size: torch.save compresses nothing."""
    if is_safetensors(file) or not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        content = sum(member.file_size for member in archive.infolist())
    size = os.path.getsize(file)
    return f'unpacks its {size:,} bytes to {content:,}, which torch.save does not write' if content > size else None


def _without_code(content: Any) -> Any:
    """A checkpoint without the entry that mmengine, which no longer writes it, runs as a config when it resumes."""
    if isinstance(content, dict) and isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)
    return content


@contextmanager
def _told_in_a_line(file: str, damaged: bool = True) -> Iterator[None]:
    """Turn what is raised on reading ``file`` into a UserError.

    Args:
        file (str): The file, or an URL.
        damaged (bool): Whether an error that is not about code means that the file is damaged. Defaults to True.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever unpickling a foreign file may raise
        wanted = re.search(r'GLOBAL `?([\w.]+)', str(error))
        if wanted and not trusted():
            raise UserError(
                f'checkpoint {printable(file)} holds more than weights, to load it would run code (it asks for '
                f'{wanted[1]}): get it from whom you trust and add --trust (in Python, with '
                'mmdclpp.apis.trusting():), or ask for a .safetensors'
            ) from error
        if not damaged:
            raise
        raise UserError(
            f'checkpoint {printable(file)} is cut off or no checkpoint: give a file of torch.save, or a .safetensors'
        ) from error
