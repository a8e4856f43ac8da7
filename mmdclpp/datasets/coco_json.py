"""Read COCO-style JSON, and say what is wrong with it."""

import json
import os
import os.path as osp
from typing import Any, Dict, List, NoReturn, Optional, Sequence

from mmdclpp.errors import UserError
from mmdclpp.utils.files import printable

# Of Linux, in bytes.
_LONGEST_NAME, _LONGEST_PATH = 255, 4096
_SIDES = ('height', 'width')
_FLAGS = ('iscrowd', 'ignore')
_REFERENCES = dict(image_id='images', category_id='categories')


def load_coco(path: str, sections: Sequence[str]) -> Dict[str, List[dict]]:
    """Load the given lists of a COCO-style file.

    Args:
        path (str): The JSON file.
        sections (Sequence[str]): Top-level keys that must be there, of ``'images'``, ``'annotations'`` and
            ``'categories'``.

    Returns:
        Dict[str, List[dict]]: The file's content.

    Raises:
        UserError: If the file is missing, is no JSON, lacks a section, lists no image, or has an entry that is no
            object.
    """
    if not osp.isfile(path):
        raise UserError(f'ann_file: {printable(path)} does not exist: check data_root and ann_file')
    try:
        with open(path, encoding='utf-8-sig') as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:
        why = 'too many brackets within each other' if isinstance(error, RecursionError) else error
        raise UserError(f'ann_file: {printable(path)} is no valid JSON ({why}): download or export it anew') from None
    for section in sections:
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise UserError(
                f'ann_file: {printable(path)} has no list {section!r}: give an annotation file in COCO format'
            )
        for index, entry in enumerate(content[section]):
            if not isinstance(entry, dict):
                _fail(path, section, index, None, f'is {_shown(entry)}, no object')
    if not content['images']:
        raise UserError(f"ann_file: {printable(path)} has an empty list 'images': give a file that lists images")
    return content


def column(path: str, content: Dict[str, List[dict]], section: str, key: str) -> List[Any]:
    """The values of one key over a section.

    Args:
        path (str): The file, for messages.
        content (Dict[str, List[dict]]): What :func:`load_coco` gave.
        section (str): ``'images'``, ``'annotations'`` or ``'categories'``.
        key (str): ``file_name`` and ``name`` have texts that are not empty, ``height`` and ``width`` whole numbers
            from 1; what else is asked for are ids, whole numbers or texts.

    Raises:
        UserError: If an entry lacks the key, or has a value of another kind.
    """
    values = [entry.get(key) for entry in content[section]]
    for index, (entry, value) in enumerate(zip(content[section], values)):
        if key not in entry:
            _fail(path, section, index, entry, f'is without {key!r}')
        fault = _fault(key, value)
        if fault is not None:
            _fail(path, section, index, entry, f'has {key} {_shown(value)}, which is no {fault}')
    return values


def ids(path: str, content: Dict[str, List[dict]], section: str) -> List[Any]:
    """The ids of a section, all different.

    Raises:
        UserError: If an entry has none, or that of another.
    """
    values, first = column(path, content, section, 'id'), {}
    for index, (entry, value) in enumerate(zip(content[section], values)):
        if isinstance(value, str) != isinstance(values[0], str):
            _fail(path, section, index, entry, f'has an id of another kind than {section}[0], {_shown(values[0])}')
        if first.setdefault(value, index) != index:
            _fail(path, section, index, entry, f'has the id of {section}[{first[value]}]')
    return values


def check_annotations(path: str, content: Dict[str, List[dict]]) -> None:
    """Raise a UserError if an annotation names an image or a category that the file does not list, or has flags that
    are none.

    Where annotations have ids, these must differ, too.
    """
    if any('id' in entry for entry in content['annotations']):
        ids(path, content, 'annotations')
    for key, section in _REFERENCES.items():
        known = set(ids(path, content, section))
        for index, value in enumerate(column(path, content, 'annotations', key)):
            if value not in known:
                entry = content['annotations'][index]
                _fail(path, 'annotations', index, entry, f'has {key} {_shown(value)}, which is not in {section!r}')
    for index, entry in enumerate(content['annotations']):
        for key in _FLAGS:
            if key in entry and entry[key] not in (0, 1, None):
                _fail(path, 'annotations', index, entry, f'has {key} {_shown(entry[key])}, which is neither 0 nor 1')


def check_first_image(path: str) -> None:
    """Raise a UserError if the first image of a list is not there, which tells a wrong folder early."""
    if '://' not in str(path) and not osp.isfile(path):
        raise UserError(
            f'data_prefix: the first image, {printable(path)}, does not exist: check data_root and data_prefix'
        )


def _fault(key: str, value: Any) -> Optional[str]:
    """What a value ought to be and is not; None of a good one."""
    if key == 'name':
        return None if isinstance(value, str) and value else 'text'
    if key == 'file_name':
        return None if isinstance(value, str) and _can_name_a_file(value) else 'name of a file'
    whole = isinstance(value, int) and not isinstance(value, bool)
    if key in _SIDES:
        return None if whole and value > 0 else 'whole number from 1'
    whole = whole or isinstance(value, float) and value.is_integer()  # as some tables export ids
    return None if whole or isinstance(value, str) else 'integer or text'


def _can_name_a_file(text: str) -> bool:
    try:
        parts = os.fsencode(text).split(b'/')
    except UnicodeEncodeError:
        return False
    return text != '' and '\0' not in text and len(text) < _LONGEST_PATH and max(map(len, parts)) <= _LONGEST_NAME


def _fail(path: str, section: str, index: int, entry: Any, what: str) -> NoReturn:
    number = f' (id {_shown(entry["id"])})' if isinstance(entry, dict) and 'id' in entry else ''
    raise UserError(
        f'ann_file: {printable(path)}: {section}[{index}]{number} {what}: repair the file or give the right one'
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
