"""Transforms of images."""

from .load_views import LoadViews
from .multi_view_with_geometry import MultiViewWithGeometry
from .random_resized_crop_with_box import RandomResizedCropWithBox

__all__ = ['LoadViews', 'MultiViewWithGeometry', 'RandomResizedCropWithBox']
