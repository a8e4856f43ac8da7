"""What a user's images are like: how many, how large, in which formats, and which are broken or alike."""

import hashlib
import os
import random
import statistics
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from mmdclpp.datasets.decode_image import decode_image, is_cut_off, seems_whole
from mmdclpp.utils.files import printable
from mmdclpp.utils.progress import ProgressBar, readable_size

MOST_HEADERS = 100_000  # images of which header and end are looked at
MOST_DECODED, MOST_PIXELS, LEAST_DECODED = 2_000, 1e9, 64  # of these so many are decoded: some ten seconds of a core
HUGE_SIDE = 4096  # px, from which on decoding is most of the work
_END = 4096  # bytes at the end of a file, where JPEG and PNG have their end marker
_THUMBNAIL = 32  # px
_UNIFORM = 2.0  # standard deviation of a thumbnail, in levels of 255
_ALIKE = 0.995  # correlation of two thumbnails
_NAMED = 3


class Survey(NamedTuple):
    """What was found.

    Attributes:
        total (int): Number of images.
        looked_at (int): Of how many header and end were read.
        decoded (int): How many were decoded, drawn as pairs of neighbours by path, where the frames of a video are.
        bytes (int): Size of those looked at.
        formats (Dict[str, int]): Number by format, ``'JPEG'``.
        modes (Dict[str, int]): Number by Pillow's mode: ``'RGB'``, ``'L'`` (grey), ``'I;16'``.
        sizes (List[Tuple[str, int, int]]): Path, width and height of those that are not broken.
        broken (List[Tuple[str, str]]): Path and reason.
        uniform (List[str]): Of those decoded, images of one colour.
        duplicates (List[Tuple[str, str]]): Path, and that of an earlier file with the same content.
        alike (List[Tuple[str, str]]): Of those decoded, path, and that of an earlier image that looks the same but is
            another file.
        others (Dict[str, int]): Number of the folder's other files by extension.
    """

    total: int
    looked_at: int
    decoded: int
    bytes: int
    formats: Dict[str, int]
    modes: Dict[str, int]
    sizes: List[Tuple[str, int, int]]
    broken: List[Tuple[str, str]]
    uniform: List[str]
    duplicates: List[Tuple[str, str]]
    alike: List[Tuple[str, str]]
    others: Dict[str, int]

    @property
    def usable(self) -> int:
        """Number of images without those found broken."""
        return self.total - len(self.broken)

    def smaller_than(self, side: float) -> List[str]:
        """Images whose shorter side is below ``side`` px."""
        return [path for path, *size in self.sizes if min(size) < side]

    def median_pixels(self) -> float:
        """Width times height of the image in the middle."""
        return statistics.median(width * height for _, width, height in self.sizes)


class _Header(NamedTuple):
    path: str
    bytes: int = 0
    key: Any = None  # equal for files of the same content
    format: str = ''
    mode: str = ''
    size: Tuple[int, int] = (0, 0)
    problem: Optional[str] = None


def survey_images(paths: Sequence[str], others: Optional[Dict[str, int]] = None) -> Survey:
    """Look at images: at header and end of all (of 100,000 at most), and at all of some 2,000.

    The same images give the same answer.

    Args:
        paths (Sequence[str]): The files, sorted.
        others (Dict[str, int], optional): The folder's other files by extension. Defaults to None.
    """
    order = _in_pairs_of_neighbours(len(paths))
    headers = list(_for_all(_look_at, [paths[i] for i in order[:MOST_HEADERS]], 'looking at images'))
    whole = [header for header in headers if header.problem is None]
    chosen = _within_budget(whole)
    pictures = list(_for_all(_thumbnail, [header.path for header in chosen], 'decoding some'))
    broken = [(header.path, header.problem) for header in headers if header.problem is not None]
    broken += [(header.path, picture) for header, picture in zip(chosen, pictures) if isinstance(picture, str)]
    left_out = {path for path, _ in broken}
    whole = [header for header in whole if header.path not in left_out]
    duplicates = _duplicates(whole)
    uniform, alike = _uniform_and_alike(
        {header.path: picture for header, picture in zip(chosen, pictures) if not isinstance(picture, str)},
        without={path for path, _ in duplicates},
    )
    return Survey(
        total=len(paths),
        looked_at=len(headers),
        decoded=len(chosen),
        bytes=sum(header.bytes for header in headers),
        formats=dict(Counter(header.format for header in whole).most_common()),
        modes=dict(Counter(header.mode for header in whole).most_common()),
        sizes=sorted((header.path, *header.size) for header in whole),
        broken=sorted(broken),
        uniform=uniform,
        duplicates=duplicates,
        alike=alike,
        others=others or {},
    )


def describe_survey(survey: Survey, view_size: int, named_as: Callable[[str], str] = str) -> List[str]:
    """What was found, as lines of text.

    Args:
        survey (Survey): What was found, with one image or more that is not broken.
        view_size (int): Side of the views that will be cut out, in px.
        named_as (Callable[[str], str]): How to name a path. Defaults to ``str``.
    """

    def shown(path: str) -> str:
        return printable(named_as(path))

    def row(name: str, text: str) -> str:
        return f'  {name:<12} {text}'

    def named(entries: Sequence) -> str:
        paths = [[entry] if isinstance(entry, str) else entry for entry in entries[:_NAMED]]
        return ', '.join(' = '.join(map(shown, alike)) for alike in paths) + (', ...' if len(entries) > _NAMED else '')

    looked = 'all' if survey.looked_at == survey.total else f'{survey.looked_at:,}'
    sample = 'them' if survey.decoded == survey.total else f'{survey.decoded:,}'
    shorter = sorted(min(size) for _, *size in survey.sizes)
    width, height = (round(statistics.median(sides)) for sides in list(zip(*survey.sizes))[1:])
    lines = [
        row('looked at', f'header and end of {looked} ({readable_size(survey.bytes)}), all of {sample}'),
        row('formats', ', '.join(f'{count:,} {name}' for name, count in survey.formats.items())),
        row('colours', ', '.join(f'{count:,} {_MODES.get(mode, mode)}' for mode, count in survey.modes.items())),
        row('sizes', f'median {width} × {height} px, shorter sides from {shorter[0]:,} to {shorter[-1]:,} px'),
    ]
    if survey.broken:
        reasons = [f'{shown(path)} ({reason})' for path, reason in survey.broken[:_NAMED]]
        more = ', ...' if len(survey.broken) > _NAMED else ''
        lines.append(row('broken', f'{len(survey.broken):,}, left out: {", ".join(reasons)}{more}'))
    tiny = survey.smaller_than(view_size / 2)
    if tiny:
        lines.append(row('tiny', f'{len(tiny):,} with a side below {view_size // 2} px, half a view: {named(tiny)}'))
    if survey.median_pixels() < view_size**2:
        lines.append(row('small', f'most have fewer pixels than a view of {view_size} px: smaller views cost less'))
    huge = sum(side > HUGE_SIDE for side in shorter)
    if huge:
        lines.append(row('huge', f'{huge:,} with sides above {HUGE_SIDE:,} px: cut into tiles, they load far faster'))
    if survey.duplicates:
        lines.append(
            row('duplicates', f'{len(survey.duplicates):,} with the content of another: {named(survey.duplicates)}')
        )
    if survey.alike:
        lines.append(row('alike', f'{len(survey.alike):,} of those decoded look like another: {named(survey.alike)}'))
    if survey.uniform:
        lines.append(
            row('uniform', f'{len(survey.uniform):,} of those decoded show a single colour: {named(survey.uniform)}')
        )
    if survey.others:
        counts = sorted(survey.others.items(), key=lambda item: -item[1])
        kinds = ', '.join(f'{count:,} {extension or "without extension"}' for extension, count in counts[:5])
        lines.append(row('not images', f'{kinds}{", ..." if len(counts) > 5 else ""}, by their names'))
    return lines


_MODES = {'L': 'grey', '1': 'black and white', 'P': 'palette', 'I;16': 'grey 16-bit', 'I': 'grey 32-bit', '': 'unknown'}


def _in_pairs_of_neighbours(number: int) -> List[int]:
    """All indices in a random order in which each even one is followed by the next."""
    starts = list(range(0, number, 2))
    random.Random(0).shuffle(starts)
    return [index for start in starts for index in (start, start + 1) if index < number]


def _for_all(function: Callable, items: Sequence[str], label: str) -> Iterator:
    """``function`` of each item, by threads: files are waited for, and decoders release the interpreter's lock."""
    Image.init()  # not safe in threads
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = pool.map(function, items)
        try:
            with ProgressBar(label, len(items), unit='file') as bar:
                for result in results:
                    yield result
                    bar.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # an interruption is obeyed at once
            raise


def _look_at(path: str) -> _Header:
    try:
        size = os.path.getsize(path)
        if not size:
            return _Header(path, problem='empty')
        with open(path, 'rb') as file:
            start = file.read(_END)
            file.seek(max(0, size - _END))
            end = file.read()
        if not seems_whole(start, end) and is_cut_off(Path(path).read_bytes()):
            return _Header(path, size, problem='cut off')
        key = (size, start, end)
    except OSError as error:
        return _Header(path, problem=_reason(error))
    try:
        with Image.open(path) as image:
            return _Header(path, size, hash(key), image.format, image.mode, image.size)
    except Exception:  # Pillow's plugins raise whatever a file makes them stumble over; OpenCV may know better
        try:
            height, width = decode_image(Path(path).read_bytes()).shape[:2]
        except OSError as error:
            return _Header(path, size, problem=_reason(error))
        return _Header(path, size, hash(key), Path(path).suffix.lstrip('.').upper(), '', (width, height))


def _reason(error: OSError) -> str:
    return error.strerror or str(error).splitlines()[0]


def _within_budget(headers: Sequence[_Header]) -> List[_Header]:
    chosen, pixels = [], 0.0
    for header in headers[:MOST_DECODED]:
        pixels += header.size[0] * header.size[1]
        if pixels > MOST_PIXELS and len(chosen) >= LEAST_DECODED:
            break
        chosen.append(header)
    return chosen


def _thumbnail(path: str):
    """A grey thumbnail, float32 of shape ``(32 · 32)``, or what is wrong with the image."""
    try:
        image = decode_image(Path(path).read_bytes())
    except OSError as error:
        return _reason(error)
    return cv2.resize(image, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).mean(axis=2).astype('f4').ravel()


def _duplicates(headers: Sequence[_Header]) -> List[Tuple[str, str]]:
    """Files with the content of an earlier one; those that only begin and end alike are read to tell."""
    similar = defaultdict(list)
    for header in headers:
        similar[header.key].append(header.path)
    pairs = []
    for paths in similar.values():
        if len(paths) > 1:
            first: Dict[bytes, str] = {}
            for path in sorted(paths):
                content = hashlib.blake2b(Path(path).read_bytes()).digest()
                if first.setdefault(content, path) != path:
                    pairs.append((path, first[content]))
    return sorted(pairs)


def _uniform_and_alike(thumbnails: Dict[str, np.ndarray], without) -> Tuple[List[str], List[Tuple[str, str]]]:
    uniform = sorted(path for path, picture in thumbnails.items() if picture.std() < _UNIFORM)
    paths = sorted(thumbnails.keys() - without - set(uniform))
    if len(paths) < 2:
        return uniform, []
    pictures = np.stack([thumbnails[path] for path in paths])
    pictures -= pictures.mean(axis=1, keepdims=True)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    pairs = []
    for index, similarities in enumerate(pictures @ pictures.T):
        earlier = np.flatnonzero(similarities[:index] > _ALIKE)
        if earlier.size:
            pairs.append((paths[index], paths[earlier[0]]))
    return uniform, pairs
