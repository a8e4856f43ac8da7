"""The files below a folder."""

import os
from collections import deque
from typing import Iterator

from mmdclpp.utils.files import PathLike


def walk_files(folder: PathLike) -> Iterator[str]:
    """Paths of all files below a folder, those behind links to other folders included.

    Each folder is entered once, whatever links lead to it, so that a link to a folder above it ends. Links wait until
    the folders themselves are through: a file that can be reached both ways has the path without links. The order is
    the same each time.

    Args:
        folder (str or PathLike): Where to begin. Paths begin with it.
    """
    waiting, entered = deque([os.fspath(folder)]), set()
    while waiting:
        for place, folders, names in os.walk(waiting.popleft()):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in entered:
                folders.clear()
                continue
            entered.add((status.st_dev, status.st_ino))
            folders.sort()
            below = (os.path.join(place, name) for name in folders)
            waiting.extend(path for path in below if os.path.islink(path))
            yield from (os.path.join(place, name) for name in sorted(names))
