"""Many image files packed into one, and whether that one is whole."""

import fcntl
import os
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from mmdclpp.datasets.exclude_file import exclude_lines
from mmdclpp.datasets.load_image import BrokenImageError, LoadImage, read_image_file
from mmdclpp.datasets.packed_file import MANIFEST_KEY, Manifest, PackedFile, entry_key
from mmdclpp.datasets.unlabelled_images import UnlabelledImages
from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, printable, write_whole
from mmdclpp.utils.imports import import_optional
from mmdclpp.utils.progress import ProgressBar, readable_size

from .archives import free_space
from .verification import Check, count_check, sample

QUALITY = 90  # of JPEGs that are encoded anew; ours
_PAGE, _PAGE_HEADER = 4096, 16  # bytes; LMDB gives an image as many whole pages as it needs
_FIRST_MAP = 1 << 24  # bytes; doubled whenever the file has grown to it
_NAMED = 10  # of the images left out


class Packed(NamedTuple):
    """What was done.

    Attributes:
        images (int): How many were packed.
        encoded_anew (int): How many of them were made smaller.
        bytes_before (int): Size of their files.
        bytes_after (int): Size of the packed images.
        left_out (List[Tuple[str, str]]): Relative path and reason of those that are broken.
        left_out_file (Path): The file that lists them, if there are any.
    """

    images: int
    encoded_anew: int
    bytes_before: int
    bytes_after: int
    left_out: List[Tuple[str, str]]
    left_out_file: Path


class _Entry(NamedTuple):
    data: bytes = b''
    file_size: int = 0
    is_new: bool = False
    problem: Optional[str] = None


def pack_images(
    images: UnlabelledImages,
    out: PathLike,
    overwrite: bool = False,
    short_side: Optional[int] = None,
    quality: Optional[int] = None,
    workers: Optional[int] = None,
) -> Packed:
    """Pack the images of a data set into one file, in its order.

    Each image is decoded once, and one that cannot be is left out and listed beside the file, in
    ``NAME.left_out.txt``, which :class:`UnlabelledImages` takes as ``exclude_file``. The bytes of the others are stored
    as they are, unless ``short_side`` is given.

    The file has its name only when it is complete. Until then it stands beside it as ``.NAME.packing``; what a killed
    run has left there is overwritten.

    Args:
        images (UnlabelledImages): What is packed.
        out (str or PathLike): The file to write. Its folder is made where missing.
        overwrite (bool): Whether it may be there already, and is replaced. Defaults to False.
        short_side (int, optional): Images with a longer short side, in px, are made smaller to this one and stored as
            JPEG, upright and of 8 bits. Defaults to None, which leaves all as they are.
        quality (int, optional): Of these JPEGs, 1 to 100. Defaults to None, which means 90.
        workers (int, optional): Number of threads that read and decode. Defaults to None, which means one a core.

    Returns:
        Packed: What was done.

    Raises:
        UserError: If ``out`` is there, is being written by another process or cannot be written, the disk is too
            small, no image can be decoded, an argument is out of range, or lmdb is not installed.
    """
    import_optional('lmdb', 'packed')
    out = Path(out).expanduser()
    _check_arguments(out, overwrite, short_side, quality, workers)
    paths = [images.get_data_info(index)['img_path'] for index in range(len(images))]
    quality = QUALITY if quality is None and short_side is not None else quality
    entry_of = partial(_entry_of, short_side=short_side, quality=quality)
    Image.init()  # not safe in threads
    _require_space(paths, entry_of, out, workers)

    manifest = Manifest([], [], [], dict(short_side=short_side, quality=quality))
    bytes_before, encoded_anew, left_out = 0, 0, []
    with (
        _new_database(out) as put,
        ProgressBar(f'packing {out.name}', len(paths), unit='file') as bar,
    ):
        for path, entry in zip(map(images.relative_path, paths), _in_threads(entry_of, paths, workers)):
            if entry.problem is not None:
                left_out.append((path, entry.problem))
            else:
                put(entry_key(len(manifest.paths)), entry.data)
                manifest.paths.append(path)
                manifest.sizes.append(len(entry.data))
                manifest.checksums.append(zlib.crc32(entry.data))
                bytes_before += entry.file_size
                encoded_anew += entry.is_new
            bar.advance()
        if not manifest.paths:
            raise UserError(
                f'none of {len(paths):,} images can be decoded, of the first the reason is: {left_out[0][1]}'
            )
        put(MANIFEST_KEY, manifest.to_bytes())
    left_out_file = out.with_name(f'{out.stem}.left_out.txt')
    left_out_file.unlink(missing_ok=True)
    if left_out:
        write_whole(left_out_file, exclude_lines(left_out))
    return Packed(len(manifest.paths), encoded_anew, bytes_before, sum(manifest.sizes), left_out, left_out_file)


def describe_packed(packed: Packed, out: PathLike) -> str:
    """What :func:`pack_images` did, as lines of text."""
    lines = [f'{printable(out)}: {packed.images:,} images, {readable_size(packed.bytes_after)}']
    if packed.encoded_anew:
        sizes = f'{readable_size(packed.bytes_before)} became {readable_size(packed.bytes_after)}'
        lines.append(f'{packed.encoded_anew:,} of them were made smaller: {sizes}')
    if packed.left_out:
        named = [f'{printable(path)} ({reason})' for path, reason in packed.left_out[:_NAMED]]
        more = ', ...' if len(packed.left_out) > _NAMED else ''
        listed = printable(packed.left_out_file)
        lines.append(f'{len(packed.left_out):,} broken, left out and listed in {listed}: {", ".join(named)}{more}')
    return '\n'.join(lines)


def verify_packed(file: PathLike, full: bool = False, workers: Optional[int] = None) -> List[Check]:
    """Compare a packed file with its manifest.

    The structure of the database is checked, size and CRC-32 of every image, and a sample of them is decoded.

    Args:
        file (str or PathLike): The packed file.
        full (bool): Whether to decode all. Defaults to False.
        workers (int, optional): Number of threads. Defaults to None, which means one a core.

    Returns:
        List[Check]: One check; a file that cannot be read at all is its problem.

    Raises:
        UserError: If lmdb is not installed.
    """
    import_optional('lmdb', 'packed')
    file = Path(file).expanduser()
    packed = PackedFile(file)
    try:
        found = len(packed)
        _require_structure(file)
        manifest = packed.manifest()
    except UserError as error:
        return [Check(file.name, 0, None, 0, (str(error),))]
    Image.init()  # not safe in threads
    expected = len(manifest.paths)
    chosen = set(sample(range(expected), full))
    with ProgressBar(f'verifying {file.name}', expected, unit='file') as bar:
        problems = []
        for problem in _in_threads(partial(_problem_of_entry, packed, manifest, chosen), range(expected), workers):
            problems += [problem] if problem else []
            bar.advance()
    return [count_check(file.name, found, expected, problems, len(chosen))]


def _check_arguments(out, overwrite, short_side, quality, workers) -> None:
    if out.is_dir():
        raise UserError(f'out: {printable(out)} is a folder: name a file, such as {printable(out / "images.lmdb")}')
    if out.exists() and not overwrite:
        raise UserError(f'out: {printable(out)} is there already: add --overwrite, or name another file')
    if short_side is not None and short_side < 1:
        raise UserError(f'short_side={short_side} must be 1 px or more')
    if quality is not None and short_side is None:
        raise UserError('quality: nothing is encoded anew without short_side: give both')
    if quality is not None and not 1 <= quality <= 100:
        raise UserError(f'quality={quality} must be from 1 to 100')
    if workers is not None and workers < 1:
        raise UserError(f'workers={workers} must be 1 or more')


def _entry_of(path: str, short_side: Optional[int], quality: Optional[int]) -> _Entry:
    results = dict(img_path=path)
    try:
        results['img_bytes'] = data = read_image_file(results)
        image = LoadImage().transform(results)['img']
    except BrokenImageError as error:
        return _Entry(problem=error.reason)
    if short_side is None or min(image.shape[:2]) <= short_side:
        return _Entry(data, len(data))
    return _Entry(_encoded(image, short_side, quality), len(data), is_new=True)


def _encoded(image: np.ndarray, short_side: int, quality: int) -> bytes:
    scale = short_side / min(image.shape[:2])
    height, width = (max(short_side, round(side * scale)) for side in image.shape[:2])
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _require_space(paths: Sequence[str], entry_of: Callable[[str], _Entry], out: Path, workers: Optional[int]) -> None:
    """Pack a sample to nowhere, and conclude from it to all."""
    chosen = sample(paths, full=False)
    pages = sum(-(-(_PAGE_HEADER + len(entry.data)) // _PAGE) for entry in _in_threads(entry_of, chosen, workers))
    needed, free = pages * _PAGE * len(paths) // len(chosen), free_space(out.parent)
    print(f'{len(paths):,} images, about {readable_size(needed)}; {readable_size(free)} are free', flush=True)
    if needed > free:
        raise UserError(
            f'out: {printable(out.parent)} has {readable_size(free)} free and about {readable_size(needed)} are '
            'needed: make room, name another place, or make the images smaller by --short-side'
        )


@contextmanager
def _new_database(out: Path) -> Iterator[Callable[[bytes, bytes], None]]:
    """A function that puts key and value, keys in ascending order; the file gets its name when all is done."""
    import lmdb

    temporary = out.with_name(f'.{out.name}.packing')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _locked(temporary):
            try:
                # Not synchronised at every image, but once at the end, before the renaming.
                options = dict(subdir=False, lock=False, sync=False, map_size=_FIRST_MAP)
                with lmdb.open(os.fspath(temporary), **options) as environment:
                    yield partial(_put, environment)
                    environment.sync(True)
                os.replace(temporary, out)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except (lmdb.Error, OSError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise UserError(
            f'out: {printable(out)} cannot be written ({reason}): make room or name another file'
        ) from error


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    """An empty file that this process alone writes."""
    with temporary.open('ab') as file:
        if not _is_ours(file):
            raise UserError(f'out: another process is writing {printable(temporary)}: wait for it')
        if file.tell():
            print(f'{printable(temporary)}, which a killed run has left, is overwritten', flush=True)
            file.truncate(0)
        yield


def _is_ours(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except FileNotFoundError:
        return False  # the other process has just given it its name


def _put(environment: Any, key: bytes, value: bytes) -> None:
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                transaction.put(key, value, append=True)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()['map_size'])


def _in_threads(function: Callable[[Any], Any], items: Sequence[Any], workers: Optional[int]) -> Iterator[Any]:
    """``function`` of each item, in order, and computed only a little ahead.

    Threads do it: files are waited for, and decoders and checksums release the interpreter's lock.
    """
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque()
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # an interruption is obeyed at once


def _require_structure(file: Path) -> None:
    """Raise a UserError if LMDB, which trusts what it reads, had better not read the file."""
    from lmdb.verify import VerifyError, verify

    try:
        problems = verify(os.fspath(file), subdir=False)
    except VerifyError as error:
        problems = [str(error)]
    if problems:
        raise UserError(
            f'packed images: {printable(file)} is damaged ({problems[0]}): copy the file or pack the images anew'
        )


def _problem_of_entry(packed: PackedFile, manifest: Manifest, decoded: set, index: int) -> Optional[str]:
    path, size, checksum = printable(manifest.paths[index]), manifest.sizes[index], manifest.checksums[index]
    try:
        data = packed.read(index)
        if len(data) != size:
            return f'{path}: {len(data):,} bytes, where {size:,} were packed'
        if zlib.crc32(data) != checksum:
            return f'{path}: CRC-32 {zlib.crc32(data):08x}, not {checksum:08x}'
        if index in decoded:
            LoadImage().transform(dict(img_path=manifest.paths[index], img_bytes=data))
    except UserError as error:
        return str(error)
    return None
