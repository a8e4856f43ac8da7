"""The list of images to leave out: a path a line, and after a tab the reason."""

import json
from typing import Iterable, Set, Tuple


def exclude_lines(images: Iterable[Tuple[str, str]]) -> str:
    """The text of such a list.

    Paths are written as they are, or as a JSON string where they hold what would not come back: tabs, line breaks,
    bytes that are no UTF-8, a quotation mark to begin with.

    Args:
        images (Iterable[Tuple[str, str]]): Path and reason of each.
    """
    return ''.join(f'{_written(path)}\t{" ".join(reason.split())}\n' for path, reason in images)


def excluded_paths(lines: Iterable[str]) -> Set[str]:
    """The paths of the lines that :func:`exclude_lines` or a user has written."""
    return {_read(line) for line in lines if line}


def _written(path: str) -> str:
    return path if path.isprintable() and not path.startswith('"') else json.dumps(path)


def _read(line: str) -> str:
    if line.startswith('"'):
        try:
            return json.JSONDecoder().raw_decode(line)[0]
        except json.JSONDecodeError:  # a user's, of a name that begins so
            pass
    return line.partition('\t')[0]
