"""The file of a packed data set: many image files in one LMDB database, read in any order by many processes.

Entry ``i`` of the data set has the key ``b'%012d' % i`` and the bytes of an image file. The key ``b'manifest'`` has the
:class:`Manifest`, as JSON that zlib has compressed.
"""

import json
import os
import weakref
import zlib
from typing import Any, Dict, List, NamedTuple, Tuple

from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, printable
from mmdclpp.utils.imports import import_optional

FORMAT_VERSION = 1
MANIFEST_KEY = b'manifest'  # behind all entries, in the order of keys
_TOOL = 'tools/dataset_converters/pack_images.py'


class Manifest(NamedTuple):
    """What a packed file holds.

    Attributes:
        paths (List[str]): Path of each image, relative to the folder that was packed.
        sizes (List[int]): Number of bytes of each.
        checksums (List[int]): CRC-32 of the bytes of each.
        options (Dict[str, Any]): How they were packed: ``short_side`` and ``quality``, None where nothing was encoded
            anew.
    """

    paths: List[str]
    sizes: List[int]
    checksums: List[int]
    options: Dict[str, Any]

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return zlib.compress(json.dumps(dict(version=FORMAT_VERSION, **self._asdict())).encode())


def entry_key(index: int) -> bytes:
    """The key of an image, by its place in the data set."""
    return b'%012d' % index


class PackedFile:
    """A packed file that is read.

    The database is opened when something is first read, once in a process however many instances there are, and anew
    in a process that was forked or gets a pickled instance. It is only read, without locks: many processes read it at
    once, from a file system that is mounted read-only too.

    Args:
        path (str or PathLike): The file, as :func:`~mmdclpp.datasets.preparation.pack_images` writes it.

    Raises:
        UserError: By every method, if the file is missing, cut off, damaged, or no packed data set, or lmdb is not
            installed.
    """

    _database = None

    def __init__(self, path: PathLike):
        self.path = os.fspath(path)

    def __getstate__(self) -> Dict[str, str]:
        return dict(path=self.path)  # copies, in this process or another, find the open database themselves

    def __len__(self) -> int:
        return self._open().environment.stat()['entries'] - 1

    def manifest(self) -> Manifest:
        """What the file holds."""
        content = self._get(MANIFEST_KEY)
        if content is None:
            raise self._foreign('has no manifest')
        try:
            fields = json.loads(zlib.decompress(content))
            version = fields.pop('version')
            if version == FORMAT_VERSION:
                return Manifest(**fields)
        except (zlib.error, ValueError, TypeError, KeyError):
            raise self._damaged('has a broken manifest') from None
        raise UserError(
            f'packed images: {printable(self.path)} has version {version} of the format, where this mmdclpp reads '
            f'{FORMAT_VERSION}: update mmdclpp, or pack the images anew'
        )

    def read(self, index: int) -> bytes:
        """The bytes of image ``index``, as in :class:`Manifest`."""
        data = self._get(entry_key(index))
        if data is None:
            raise self._damaged(f'has no entry {index}')
        return data

    def _get(self, key: bytes):
        environment = self._open().environment
        try:
            with environment.begin() as transaction:
                return transaction.get(key)
        except _lmdb().Error as error:
            raise self._damaged(f'cannot be read ({error})') from None

    def _open(self) -> '_Database':
        if self._database is None or self._database.process != os.getpid():
            self._database = self._open_once()
        return self._database

    def _open_once(self) -> '_Database':
        lmdb = _lmdb()
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise UserError(
                f'packed images: {printable(self.path)} cannot be read ({error.strerror}): check data_root and '
                f'ann_file, or make it with {_TOOL}'
            ) from None
        file = status.st_dev, status.st_ino
        database = _OPENED.get(file)
        if database is not None and database.process != os.getpid():
            database.environment.close()  # LMDB's do not outlive a fork, and py-lmdb opens no file twice
            database = None
        if database is None:
            try:
                database = _OPENED[file] = _Database(self.path)
            except lmdb.Error as error:
                raise self._foreign(f'cannot be opened ({error})') from None
            self._require_size(database, status.st_size)
        return database

    def _require_size(self, database: '_Database', size: int) -> None:
        """To read what is mapped but not in the file would end the process (SIGBUS)."""
        environment = database.environment
        whole = (environment.info()['last_pgno'] + 1) * environment.stat()['psize']
        if size < whole:
            raise self._damaged(f'is cut off ({size:,} of {whole:,} bytes)')

    def _damaged(self, how: str) -> UserError:
        return UserError(f'packed images: {printable(self.path)} {how}: copy the file or pack the images anew')

    def _foreign(self, why: str) -> UserError:
        return UserError(f'packed images: {printable(self.path)} {why}: name a file that {_TOOL} has written')


class _Database:
    """An open file, and the process that opened it."""

    def __init__(self, path: str):
        self.process = os.getpid()
        # The system may read ahead: images have many pages, and one at a time takes five times as long from a disk.
        self.environment = _lmdb().open(path, subdir=False, readonly=True, lock=False, create=False)

    def __del__(self) -> None:
        if hasattr(self, 'environment'):
            self.environment.close()  # in a fork, this alone lets py-lmdb open the file again


# The open files of this process, and of the one from which it was forked, by device and inode.
_OPENED: 'weakref.WeakValueDictionary[Tuple[int, int], _Database]' = weakref.WeakValueDictionary()


def _lmdb():
    return import_optional('lmdb', 'packed')
