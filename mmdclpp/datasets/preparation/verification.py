"""Whether a data set is complete and readable, and which files are not."""

import os
import random
from functools import partial
from pathlib import Path
from typing import Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
from PIL import Image

from mmdclpp.datasets.coco_json import column, load_coco
from mmdclpp.datasets.load_image import LoadImage
from mmdclpp.errors import UserError

from .progress import apply_to_all

SAMPLE = 200  # files decoded of each part, unless all are
_NAMED = 10  # problems told of each part


class Check(NamedTuple):
    """What was found of one part of a data set.

    Args:
        part (str): Name of the part.
        found (int): Number of its files or records.
        expected (int, optional): The official number, None where there is none.
        decoded (int): How many files were read to the end.
        problems (Tuple[str, ...]): A line each, naming file and record.
    """

    part: str
    found: int
    expected: Optional[int]
    decoded: int
    problems: Tuple[str, ...]


def count_check(
    part: str, found: int, expected: Optional[int], problems: Iterable[str] = (), decoded: int = 0
) -> Check:
    """A check to whose problems belongs a number that differs from the official one."""
    counted = () if expected in (None, found) else (f'{part}: {found} found, {expected} expected',)
    return Check(part, found, expected, decoded, (*counted, *problems))


def sample(files: Sequence[Path], full: bool, size: int = SAMPLE) -> List[Path]:
    """Some of the files, always the same ones, or all.

    Args:
        files (Sequence[Path]): The files.
        full (bool): Whether all.
        size (int): How many otherwise. Defaults to 200.
    """
    return list(files) if full or len(files) <= size else random.Random(0).sample(list(files), size)


def check_images(
    part: str, files: Sequence[Path], expected: Optional[int], full: bool = False, workers: Optional[int] = None
) -> Check:
    """Count images and decode some of them as training does.

    Args:
        part (str): Name of the part.
        files (Sequence[Path]): The images that ought to be there.
        expected (int, optional): The official number.
        full (bool): Whether to decode all. Defaults to False.
        workers (int, optional): Number of processes. Defaults to None, which means one a core.
    """
    absent = [path for path in files if not path.is_file()]
    chosen = sample([path for path in files if path.is_file()], full)
    broken = apply_to_all(_problem_of_image, chosen, f'verifying {part}', workers)
    problems = [*(f'{path} is missing' for path in absent), *filter(None, broken)]
    return count_check(part, len(files) - len(absent), expected, problems, len(chosen))


def check_masks(
    part: str,
    pairs: Sequence[Tuple[Path, Path]],
    num_values: int,
    expected: Optional[int],
    full: bool = False,
    workers: Optional[int] = None,
) -> Check:
    """Count masks and compare some of them with their images.

    Args:
        part (str): Name of the part.
        pairs (Sequence[Tuple[Path, Path]]): Images and the masks that ought to be there.
        num_values (int): A mask holds 0 ... ``num_values - 1``, and 255.
        expected (int, optional): The official number.
        full (bool): Whether to decode all. Defaults to False.
        workers (int, optional): Number of processes. Defaults to None, which means one a core.
    """
    absent = [mask for _, mask in pairs if not mask.is_file()]
    chosen = sample([pair for pair in pairs if pair[1].is_file()], full)
    broken = apply_to_all(partial(_problem_of_mask, num_values), chosen, f'verifying {part}', workers)
    problems = [*(f'{mask} is missing' for mask in absent), *filter(None, broken)]
    return count_check(part, len(pairs) - len(absent), expected, problems, len(chosen))


def _problem_of_image(path: Path) -> Optional[str]:
    try:
        LoadImage().transform(dict(img_path=str(path)))
    except UserError as error:
        return str(error)
    return None


def _problem_of_mask(num_values: int, pair: Tuple[Path, Path]) -> Optional[str]:
    image, path = pair
    try:
        # As training loads it: where a camera's orientation tag turns the image, the mask must be turned too.
        shape = LoadImage().transform(dict(img_path=str(image)))['img_shape']
        with Image.open(path) as file:
            mask = np.asarray(file)
    except (UserError, OSError, SyntaxError) as error:  # SyntaxError: Pillow's answer to a broken PNG
        return f'{path}: {error}'
    if mask.dtype != np.uint8 or mask.shape != shape:
        return f'{path}: {mask.dtype} of shape {mask.shape}, where {image} has {shape}'
    wrong = sorted(set(np.unique(mask).tolist()) - {*range(num_values), 255})
    if wrong:
        return f'{path}: value {wrong[0]}, where 0 ... {num_values - 1} and 255 are allowed'
    return None


def check_coco_json(
    path: Path,
    images: Optional[Path],
    num_images: Optional[int] = None,
    num_annotations: Optional[int] = None,
    num_categories: Optional[int] = None,
) -> List[Check]:
    """Whether a COCO-style file agrees with itself, and names images that are there.

    Args:
        path (Path): The JSON.
        images (Path, optional): Folder of its images; None where they are not asked for.
        num_images (int, optional): The official number of images. Defaults to None.
        num_annotations (int, optional): That of annotations, ignored ones (``ignore: 1``) not counted. Defaults to
            None.
        num_categories (int, optional): That of categories. Defaults to None.
    """
    official = dict(images=num_images, annotations=num_annotations, categories=num_categories)
    try:
        content = load_coco(str(path), tuple(official))
        ids = {section: column(path, content, section, 'id') for section in official}
        names = column(path, content, 'images', 'file_name')
        references = {key: column(path, content, 'annotations', key) for key in ('image_id', 'category_id')}
    except UserError as error:
        return [Check(path.name, 0, None, 0, (str(error),))]
    problems = {section: [f'{path}: {section}: id {i} twice' for i in repeated(ids[section])] for section in official}
    if images is not None:
        there = _files_beside(images, names)
        problems['images'] += [
            f'{path}: image {i}: {images / name} is missing'
            for i, name in zip(ids['images'], names)
            if name not in there
        ]
    for key, section in (('image_id', 'images'), ('category_id', 'categories')):
        known = set(ids[section])
        problems['annotations'] += [
            f'{path}: annotation {i}: {key} {value} is not among the {section}'
            for i, value in zip(ids['annotations'], references[key])
            if value not in known
        ]
    found = {section: len(ids[section]) for section in official}
    found['annotations'] -= sum(bool(annotation.get('ignore')) for annotation in content['annotations'])
    return [
        count_check(f'{path.name}: {section}', found[section], official[section], problems[section])
        for section in official
    ]


def repeated(ids: Sequence) -> List:
    """What occurs more than once, as often as it does beyond the first time."""
    seen = set()
    return [value for value in ids if value in seen or seen.add(value)]


def _files_beside(folder: Path, names: Sequence[str]) -> Set[str]:
    """What is in the folders of the names, all relative to ``folder``: far faster than asking for each name."""
    return {
        os.path.join(place, name)
        for place in {os.path.dirname(name) for name in names}
        if (folder / place).is_dir()
        for name in os.listdir(folder / place)
    }


def report(checks: Sequence[Check]) -> str:
    """A table of the checks, and below it the problems, each naming its file and record."""
    rows = [('', 'found', 'expected', 'decoded', '')]
    for check in checks:
        expected = '' if check.expected is None else f'{check.expected:,}'
        result = 'good' if not check.problems else f'{len(check.problems):,} wrong'
        rows.append((check.part, f'{check.found:,}', expected, f'{check.decoded:,}' if check.decoded else '', result))
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    lines = [
        '  '.join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
    for check in checks:
        lines += check.problems[:_NAMED]
        if len(check.problems) > _NAMED:
            lines.append(f'{check.part}: and {len(check.problems) - _NAMED:,} more')
    return '\n'.join(lines)


def passed(checks: Sequence[Check]) -> bool:
    """Whether nothing is wrong."""
    return not any(check.problems for check in checks)
