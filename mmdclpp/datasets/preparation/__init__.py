"""Public data sets, brought into the layout that the configs expect, and verified."""

from .archives import Archive, ArchiveMissing, describe
from .coco import coco_archives, prepare_coco, verify_coco, verify_object_masks
from .object_masks import draw_objects, write_object_masks
from .packing import Packed, describe_packed, pack_images, verify_packed
from .verification import Check, passed, report
from .voc import prepare_voc, verify_voc, voc_archives

__all__ = [
    'Archive',
    'ArchiveMissing',
    'Check',
    'Packed',
    'coco_archives',
    'describe',
    'describe_packed',
    'draw_objects',
    'pack_images',
    'passed',
    'prepare_coco',
    'prepare_voc',
    'report',
    'verify_coco',
    'verify_object_masks',
    'verify_packed',
    'verify_voc',
    'voc_archives',
    'write_object_masks',
]
