"""Files that are there whole or not at all."""

import os
from pathlib import Path
from typing import Union

from mmdclpp.errors import UserError

PathLike = Union[str, 'os.PathLike[str]']


def write_whole(path: PathLike, content: Union[str, bytes]) -> Path:
    """Write a file under a temporary name beside it, and rename that.

    Whoever opens ``path`` finds what was there before or all that is new, also when the writing is interrupted.

    Args:
        path (str or PathLike): The file. Its folder is made where missing.
        content (str or bytes): All that it is to hold; text is written as UTF-8, and what in
            paths is none as the bytes it is.

    Returns:
        Path: ``path``.

    Raises:
        UserError: If the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content.encode(errors='surrogateescape') if isinstance(content, str) else content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f'{path} cannot be written ({error.strerror or error}): choose another place') from error
    return path


def printable(path: PathLike) -> str:
    """A path for a message: control characters, and bytes that are no UTF-8, which could not be printed, as escapes."""
    return ''.join(char if char.isprintable() else char.encode('unicode_escape').decode() for char in os.fspath(path))
