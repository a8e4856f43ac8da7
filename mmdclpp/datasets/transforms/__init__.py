"""Transforms of images."""

from .multi_view_with_geometry import MultiViewWithGeometry
from .random_resized_crop_with_box import RandomResizedCropWithBox

__all__ = ['MultiViewWithGeometry', 'RandomResizedCropWithBox']
