"""Files that are there whole or not at all."""

import errno
import os
import shutil
from pathlib import Path
from typing import Union

from mmdclpp.errors import UserError

PathLike = Union[str, 'os.PathLike[str]']
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(UserError):
    """A disk without room for a file; whatever was there before is still there."""


def write_whole(path: PathLike, content: Union[str, bytes]) -> Path:
    """Write a file under a temporary name beside it, bring it to the disk, and rename that.

    Whoever opens ``path`` finds what was there before or all that is new, also when the writing is interrupted or the
    power fails.

    Args:
        path (str or PathLike): The file. Its folder is made where missing.
        content (str or bytes): All that it is to hold; text is written as UTF-8, and what in
            paths is none as the bytes it is.

    Returns:
        Path: ``path``.

    Raises:
        DiskFullError: If there is no room for it.
        UserError: If the file cannot be written for another reason.
    """
    path = Path(path)
    data = content.encode(errors='surrogateescape') if isinstance(content, str) else content
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, 'wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise DiskFullError(_disk_full(path, len(data), error)) from error
        raise UserError(f'{path} cannot be written ({error.strerror or error}): choose another place') from error
    return path


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, where the file system lets a folder be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:  # network file systems that do without
        pass
    finally:
        os.close(descriptor)


def _disk_full(path: Path, size: int, error: OSError) -> str:
    missing = size - shutil.disk_usage(path.parent).free
    # Of a quota, the disk does not tell what is left.
    lacks = f'{_megabytes(missing)} more of free space' if missing > 0 else 'more free space'
    return (
        f'{path} cannot be written ({error.strerror}): it takes {_megabytes(size)} and needs {lacks}: delete files, or '
        'choose another place'
    )


def _megabytes(size: int) -> str:
    return f'{max(size, 1) / 1e6:,.1f} MB'


def leftovers(path: PathLike) -> str:
    """The pattern, for ``Path.glob``, of what a killed :func:`write_whole` of files named so leaves beside them.

    Args:
        path (str or PathLike): Name of the file, or a pattern of names.
    """
    return f'.{path}.*.tmp'


def printable(path: PathLike) -> str:
    """A path for a message: control characters, and bytes that are no UTF-8, which could not be printed, as escapes."""
    return ''.join(char if char.isprintable() else char.encode('unicode_escape').decode() for char in os.fspath(path))
