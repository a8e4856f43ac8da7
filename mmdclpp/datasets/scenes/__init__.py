"""The built-in data set: procedurally drawn scenes of several textured objects."""

from .generate import generate_scenes
from .scene import CLASSES, PALETTE, draw_scene

__all__ = ['CLASSES', 'PALETTE', 'draw_scene', 'generate_scenes']
