"""Data: multi-label COCO, unlabelled images, and the built-in synthetic scenes."""

import contextlib
import io

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

with contextlib.redirect_stdout(io.StringIO()):  # it prints that a package is missing which nobody needs
    import mmpretrain.datasets  # noqa: F401

from .coco_multi_label import CocoMultiLabel
from .coco_objects import coco_objects_dataset
from .load_image import LoadImage
from .scenes import generate_scenes
from .unlabelled_images import UnlabelledImages

__all__ = ['CocoMultiLabel', 'LoadImage', 'UnlabelledImages', 'coco_objects_dataset', 'generate_scenes']
