"""Data: multi-label COCO, unlabelled images, and the built-in synthetic scenes."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports
from mmdclpp.utils.imports import import_quietly

import_quietly('mmpretrain.datasets')

from .coco_multi_label import CocoMultiLabel  # noqa: E402
from .coco_objects import coco_objects_dataset  # noqa: E402
from .epoch_sampler import EpochSampler  # noqa: E402
from .load_image import LoadImage  # noqa: E402
from .packed_images import PackedImages  # noqa: E402
from .scenes import generate_scenes  # noqa: E402
from .transforms import LoadViews, MultiViewWithGeometry, RandomResizedCropWithBox  # noqa: E402
from .unlabelled_images import UnlabelledImages  # noqa: E402

__all__ = [
    'CocoMultiLabel',
    'EpochSampler',
    'LoadImage',
    'LoadViews',
    'MultiViewWithGeometry',
    'PackedImages',
    'RandomResizedCropWithBox',
    'UnlabelledImages',
    'coco_objects_dataset',
    'generate_scenes',
]
