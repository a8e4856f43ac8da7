"""Read COCO-style JSON, and say what is wrong with it."""

import json
import os.path as osp
from typing import Any, Dict, List, Sequence

from mmdclpp.errors import UserError


def load_coco(path: str, sections: Sequence[str]) -> Dict[str, List[dict]]:
    """Load the given lists of a COCO-style file.

    Args:
        path (str): The JSON file.
        sections (Sequence[str]): Top-level keys that must be there, of ``'images'``, ``'annotations'`` and
            ``'categories'``.

    Returns:
        Dict[str, List[dict]]: The file's content.

    Raises:
        UserError: If the file is missing, is no JSON, lacks a section, or lists no image.
    """
    if not osp.isfile(path):
        raise UserError(f'ann_file: {path} does not exist: check data_root and ann_file')
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except ValueError as error:
        raise UserError(f'ann_file: {path} is no valid JSON ({error}): download or export it anew') from None
    for section in sections:
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise UserError(f'ann_file: {path} has no list {section!r}: give an annotation file in COCO format')
    if not content['images']:
        raise UserError(f"ann_file: {path} has an empty list 'images': give a file that lists images")
    return content


def column(path: str, content: Dict[str, List[dict]], section: str, key: str) -> List[Any]:
    """The values of one key over a section.

    Raises:
        UserError: If an entry lacks the key.
    """
    try:
        return [entry[key] for entry in content[section]]
    except (KeyError, TypeError):
        raise UserError(
            f'ann_file: {path} has an entry of {section!r} without {key!r}: give an annotation file in COCO format'
        ) from None


def check_first_image(path: str) -> None:
    """Raise a UserError if the first image of a list is not there, which tells a wrong folder early."""
    if '://' not in str(path) and not osp.isfile(path):
        raise UserError(f'data_prefix: the first image, {path}, does not exist: check data_root and data_prefix')
