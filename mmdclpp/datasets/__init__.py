"""Data: multi-label COCO, unlabelled images, and the built-in synthetic scenes."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

from .coco_multi_label import CocoMultiLabel
from .load_image import LoadImage
from .scenes import generate_scenes
from .unlabelled_images import UnlabelledImages

__all__ = ['CocoMultiLabel', 'LoadImage', 'UnlabelledImages', 'generate_scenes']
