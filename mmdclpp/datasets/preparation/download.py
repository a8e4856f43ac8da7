"""Download a file over a connection that may break, and know that it is the right one."""

import hashlib
import http.client
import time
from pathlib import Path
from typing import Optional, Tuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from mmdclpp.errors import UserError
from mmdclpp.utils.progress import ProgressBar, readable_size

_BLOCK = 1 << 16  # bytes; what a slow connection gives in a second or two
_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 5  # in a row without a byte gained
_FIRST_PAUSE = 1.0  # seconds; doubled at every further attempt
_LATER = frozenset({408, 429})  # the answers below 500 that may be another one a moment later


def download(url: str, path: Path, size: Optional[int] = None, md5: Optional[str] = None) -> None:
    """Download ``url`` to ``path``, going on where an earlier attempt stopped.

    What has come stands in ``path`` + ``'.part'`` until it is complete and found right. The rest is asked for by a
    range request; a server that does not honour it sends all, and the file is begun anew. A broken connection is
    tried again after 1, 2, 4 and 8 seconds, counted from the last byte gained.

    That a resumed part belongs to the same file is told by the checksum. Where none is known, the server's ETag or date
    of the file is kept beside the part and sent with the range (``If-Range``, RFC 9110, 13.1.5): a file that has
    changed since, or whose server gives neither, is begun anew. With no checksum, no size, and a server that does not
    tell the length either, a closed connection looks like the end of the file: whoever reads the file has to see
    whether it is whole.

    Args:
        url (str): What to download; ``http``, ``https`` or ``file``.
        path (Path): Where it goes. Its folder is made where missing.
        size (int, optional): Its size in bytes, where known. Defaults to None.
        md5 (str, optional): Its MD5 sum in hexadecimal digits, where known. Defaults to None.

    Raises:
        UserError: If the server cannot be reached or refuses, the file has another size or checksum, or the disk
            is full.
    """
    part = part_of(path)
    remedy = f'put a copy of the archive at {path}, or name another source with --mirror'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _transfer_all(url, part, size, md5 is not None, remedy)
        _validator_of(part).unlink(missing_ok=True)
        wrong = mismatch(part, size, md5)
        if wrong:
            part.unlink()
            raise UserError(f'{url} is not the expected archive ({wrong}) and was removed: run again, or {remedy}')
        part.rename(path)
    except OSError as error:
        raise UserError(
            f'{part} cannot be written ({error.strerror or error}): make room, or name another --data-root'
        ) from error


def part_of(path: Path) -> Path:
    """Where what has come of a file stands until it is complete."""
    return path.with_name(f'{path.name}.part')


def mismatch(path: Path, size: Optional[int], md5: Optional[str]) -> Optional[str]:
    """What distinguishes a file from the one that is expected, None if nothing does.

    Args:
        path (Path): The file.
        size (int, optional): The expected size in bytes; None is not checked.
        md5 (str, optional): The expected MD5 sum; None is not checked.
    """
    actual = path.stat().st_size
    if size is not None and actual != size:
        return f'{actual} bytes, not {size}'
    if md5 is not None:
        digest = hashlib.md5(usedforsecurity=False)
        with (
            path.open('rb') as file,
            ProgressBar(f'checking {path.name.removesuffix(".part")}', actual, unit='byte') as bar,
        ):
            while block := file.read(_BLOCK):
                digest.update(block)
                bar.advance(len(block))
        if digest.hexdigest() != md5:
            return f'MD5 {digest.hexdigest()}, not {md5}'
    return None


def _validator_of(part: Path) -> Path:
    """Where stands which version of the file on the server the part belongs to."""
    return part.with_name(f'{part.name}.validator')


def _transfer_all(url: str, part: Path, size: Optional[int], has_checksum: bool, remedy: str) -> None:
    failures = 0
    while True:
        held = held_bytes(part)
        if held and held == size:
            return
        try:
            return _transfer(url, part, size, has_checksum, remedy)
        except HTTPError as error:
            if error.code == 416:  # there is nothing from `held` on
                if held == _range(error.headers)[1]:
                    return
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in _LATER:
                raise UserError(f'{url} is refused ({error.code} {error.reason}): {remedy}') from error
            reason = f'{error.code} {error.reason}'
        except (URLError, ConnectionError, TimeoutError, http.client.HTTPException) as error:
            reason = str(getattr(error, 'reason', None) or error or type(error).__name__)
        failures = 1 if held_bytes(part) > held else failures + 1
        if failures >= _ATTEMPTS:
            raise UserError(f'{url} cannot be reached ({reason}): check the connection and run again, or {remedy}')
        pause = _FIRST_PAUSE * 2 ** (failures - 1)
        print(f'{part.stem}: {reason} after {readable_size(held_bytes(part))}; again in {pause:.0f} s', flush=True)
        time.sleep(pause)


def _transfer(url: str, part: Path, size: Optional[int], has_checksum: bool, remedy: str) -> None:
    """Append what one connection gives."""
    held, headers, kept = held_bytes(part), {'User-Agent': 'mmdclpp'}, None
    if not has_checksum:
        kept = _validator_of(part).read_text() if _validator_of(part).exists() else None
        held = held if kept else 0
    if held:
        headers.update({'Range': f'bytes={held}-', **({'If-Range': kept} if kept else {})})
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as response:
        start, total = _range(response.headers)
        validator = _validator(response.headers)
        if response.status == 206 and (start != held or (kept and validator not in (None, kept))):
            part.unlink()  # the server does not know If-Range, and this is the rest of another file
            raise ConnectionError('the file on the server has changed')
        if response.status != 206:
            held, total = 0, int(response.headers.get('Content-Length') or 0) or None
        if size is not None and total not in (None, size):
            raise UserError(f'{url} is not the expected archive ({total} bytes, not {size}): {remedy}')
        if not held and not has_checksum:
            part.unlink(missing_ok=True)  # first: a part never stands beside the validator of another file
            _validator_of(part).write_text(validator or '')
        with (
            part.open('ab' if held else 'wb') as file,
            ProgressBar(part.stem, total or size, held, unit='byte') as bar,
        ):
            while block := _read(response):
                file.write(block)
                bar.advance(len(block))
    if total is not None and held_bytes(part) != total:
        raise ConnectionError('connection closed')


def _read(response) -> bytes:
    try:
        return response.read(_BLOCK)
    except OSError as error:  # of the network, not of the disk
        raise URLError(error) from error


def _validator(headers) -> Optional[str]:
    """What tells versions of a file apart: the ETag, unless it is a weak one, which ranges must not rely on."""
    tag = headers.get('ETag')
    return tag if tag and not tag.startswith('W/') else headers.get('Last-Modified')


def held_bytes(part: Path) -> int:
    """How much of a file has come."""
    return part.stat().st_size if part.exists() else 0


def _range(headers) -> Tuple[Optional[int], Optional[int]]:
    """First byte and size of the whole file, of ``Content-Range: bytes FIRST-LAST/SIZE`` or ``bytes */SIZE``."""
    span, _, total = headers.get('Content-Range', '').partition(' ')[2].partition('/')
    first = span.partition('-')[0]
    return int(first) if first.isdigit() else None, int(total) if total.isdigit() else None
