"""Archives of public data sets: what is missing, downloaded, checked and unpacked."""

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Callable, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

from mmdclpp.errors import UserError
from mmdclpp.utils.files import printable
from mmdclpp.utils.progress import ProgressBar, readable_size

from .download import download, held_bytes, mismatch, part_of

# An archive whose content takes so many times what it ought to, and its own size, is a bomb. Ours: annotations, which
# compress best of all that is published here, take four times their archive's size.
MOST_UNPACKED = 10
# What zipfile and tarfile raise of archives that are cut off, damaged, encrypted, or were made to trouble them.
_DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error),
    *(EOFError, IndexError, NotImplementedError, RuntimeError, ValueError),
)


class ArchiveMissing(UserError):
    """Data are not there, and may not be downloaded."""


@dataclass(frozen=True)
class Archive:
    """An archive, and where its content belongs.

    Args:
        url (str): Where it is published.
        prefix (str): Folder inside the archive that holds what is wanted.
        target (str): Folder below the data root which that folder becomes.
        gives (Tuple[str, ...]): Paths below the data root that are there once it is unpacked. They are put in place
            last, so that a data set is either complete or unpacked again.
        unpacked (int): About how many bytes the unpacked files take, with what is converted from them.
        size (int): Its size in bytes.
        md5 (str, optional): Its MD5 sum; None where it is not published, and ``size`` then a rounded figure that is
            not checked. A zip still has the CRC-32 of every member. Defaults to None.
        only (Tuple[str, ...]): Patterns of the wanted paths below ``prefix``. Defaults to ('*', ), all of them.
    """

    url: str
    prefix: str
    target: str
    gives: Tuple[str, ...]
    unpacked: int
    size: int
    md5: Optional[str] = None
    only: Tuple[str, ...] = ('*',)

    @property
    def name(self) -> str:
        """File name."""
        return self.url.rpartition('/')[2]

    @property
    def exact_size(self) -> Optional[int]:
        """The size that it must have, None where that is not known."""
        return self.size if self.md5 else None

    def path(self, data_root: Path) -> Path:
        """Where the archive lies, or is to lie."""
        return data_root / 'downloads' / self.name

    def is_unpacked(self, data_root: Path) -> bool:
        """Whether all that the archive gives is in place, by whoever put it there."""
        return all((data_root / path).exists() for path in self.gives)


def obtain(
    archives: Sequence[Archive],
    data_root: Path,
    download_missing: bool = False,
    mirror: Optional[str] = None,
    delete: bool = False,
) -> None:
    """Bring the content of archives in place; what is there is neither fetched again nor overwritten.

    Args:
        archives (Sequence[Archive]): What is needed.
        data_root (Path): Folder of all data.
        download_missing (bool): Whether archives that are not there may be downloaded. Defaults to False.
        mirror (str, optional): URL of a folder from which all archives are to be taken. Defaults to None, which means
            where each is published.
        delete (bool): Whether an archive is deleted once unpacked. Defaults to False.

    Raises:
        ArchiveMissing: If an archive is missing and may not be downloaded.
        UserError: If an archive cannot be downloaded, is broken or unsafe, or the disk is too small. One that was
            downloaded and is broken is removed; one that was there is left.
    """
    needed = [archive for archive in archives if not archive.is_unpacked(data_root)]
    for archive in needed:
        if not download_missing and not archive.path(data_root).exists():
            missing = next(path for path in archive.gives if not (data_root / path).exists())
            raise ArchiveMissing(
                f'{data_root / missing} does not exist: add --download, put {archive.name} at '
                f'{archive.path(data_root)}, or link what you have'
            )
    _require_space(needed, data_root, delete)
    for archive in needed:
        path = archive.path(data_root)
        fetched = not path.exists()
        if not fetched:
            wrong = mismatch(path, archive.exact_size, archive.md5)
            if wrong:
                raise UserError(
                    f'{path} is not the expected archive ({wrong}): move it away, or put the right one there'
                )
        else:
            url = f'{mirror.rstrip("/")}/{archive.name}' if mirror else archive.url
            download(url, path, archive.exact_size, archive.md5)
        _unpack(archive, data_root, fetched)
        if delete:
            path.unlink()


def space_needed(archives: Iterable[Archive], data_root: Path, delete: bool = False) -> int:
    """About how many bytes more the data root will hold, at most, while archives are obtained."""
    needed = [archive for archive in archives if not archive.is_unpacked(data_root)]
    paths = {archive.path(data_root): archive.size for archive in needed}
    fetched = [size - held_bytes(part_of(path)) for path, size in paths.items() if not path.exists()]
    return sum(archive.unpacked for archive in needed) + (max(fetched, default=0) if delete else sum(fetched))


def describe(archives: Sequence[Archive], data_root: Path, delete: bool = False) -> str:
    """A line for each archive, of what is there and what is not, and the disk space needed."""
    lines = []
    for archive in archives:
        state = 'to download'
        if archive.is_unpacked(data_root):
            state = 'in place'
        elif archive.path(data_root).exists():
            state = 'to unpack'
        lines.append(f'{state:12} {readable_size(archive.size):>9}  {archive.url}  ->  {data_root / archive.target}')
    space = readable_size(space_needed(archives, data_root, delete))
    free = readable_size(free_space(data_root))
    return '\n'.join([*lines, f'{space} of disk space needed below {data_root}, {free} free'])


def free_space(data_root: Path) -> int:
    return shutil.disk_usage(next(path for path in (data_root, *data_root.absolute().parents) if path.exists())).free


def _require_space(needed: Sequence[Archive], data_root: Path, delete: bool) -> None:
    space, free = space_needed(needed, data_root, delete), free_space(data_root)
    if space > free:
        raise UserError(
            f'{data_root} has {readable_size(free)} free and about {readable_size(space)} are needed: make room, '
            'name another --data-root, or add --delete-archives'
        )


def _unpack(archive: Archive, data_root: Path, fetched: bool) -> None:
    path, target = archive.path(data_root), data_root / archive.target
    # Beside the target, wherever a link leads: the last step is to be a rename. What a killed run left is done anew.
    parent = target.resolve().parent
    temporary = parent / f'.{archive.name}.unpacking'
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _extract(archive, path, temporary)
        _move(temporary, target, [data_root / given for given in archive.gives])
    except UserError:
        raise
    except _DAMAGES as error:
        reason = ' '.join(str(error).split())  # tarfile's has several lines
        raise _unusable(path, f'is broken ({reason})', fetched) from error
    except OSError as error:
        raise UserError(
            f'{target} cannot be written ({error.strerror or error}): make room, or name another --data-root'
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for given in archive.gives:
        if not (data_root / given).exists():
            raise _unusable(path, f'does not hold {given}', fetched)


def _unusable(path: Path, why: str, fetched: bool) -> UserError:
    if not fetched:
        return UserError(f'{path} {why}: delete it and run again')
    path.unlink()
    return UserError(f'{path} {why} and was removed: run again, or name another source with --mirror')


def _move(source: Path, target: Path, last: Sequence[Path]) -> None:
    """Move a tree in place: a missing folder as a whole, ``last`` after all else, nothing over an existing file."""
    if not target.exists():
        shutil.move(source, target)  # a rename, unless a link leads to another disk
    elif source.is_dir():
        moves = [(child, target / child.name) for child in source.iterdir()]
        for child, place in sorted(moves, key=lambda move: any(path.is_relative_to(move[1]) for path in last)):
            _move(child, place, last)


class _Member(NamedTuple):
    name: str
    is_file: bool
    is_folder: bool
    size: int
    open: Callable[[], IO[bytes]]


@contextmanager
def _members(path: Path) -> Iterator[Iterator[_Member]]:
    """The members of a zip or tar archive, one after another."""
    if path.suffix == '.zip':
        with zipfile.ZipFile(path) as archive:
            yield (
                _Member(
                    info.filename,
                    not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG),
                    info.is_dir(),
                    info.compress_size,
                    lambda info=info: archive.open(info),  # reading to the end compares the CRC-32
                )
                for info in archive.infolist()
            )
    else:
        with tarfile.open(path) as archive:
            yield (
                _Member(info.name, info.isreg(), info.isdir(), info.size, lambda info=info: archive.extractfile(info))
                for info in archive
            )


def _extract(archive: Archive, path: Path, folder: Path) -> None:
    """Extract the wanted regular files; refuse names and links that lead out of the folder, and bombs."""
    left = MOST_UNPACKED * max(archive.unpacked, path.stat().st_size)
    with (
        _members(path) as members,
        ProgressBar(f'unpacking {path.name}', path.stat().st_size, unit='byte') as bar,
    ):
        for member in members:
            name = PurePosixPath(member.name)
            if name.is_absolute() or '..' in name.parts:
                raise _unsafe(path, member, 'leads out of the folder')
            bar.advance(member.size)
            if member.is_folder or not name.is_relative_to(archive.prefix):
                continue
            inner = name.relative_to(archive.prefix)
            if not any(fnmatchcase(str(inner), pattern) for pattern in archive.only):
                continue
            if not member.is_file:
                raise _unsafe(path, member, 'is no regular file')
            place = folder / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, place.open('wb') as file:
                left -= _copy(source, file, left)
            if left < 0:
                raise _unsafe(path, member, f'is one too many: all take over {MOST_UNPACKED} times the size expected')


def _copy(source: IO[bytes], file: IO[bytes], most: int) -> int:
    """Copy until there are more than ``most`` bytes, whatever the archive says of sizes; return how many."""
    copied = 0
    while copied <= most and (chunk := source.read(1 << 20)):
        copied += file.write(chunk)
    return copied


def _unsafe(path: Path, member: _Member, why: str) -> UserError:
    return UserError(f'{path} is unsafe, its member {printable(member.name)} {why}: delete it')
