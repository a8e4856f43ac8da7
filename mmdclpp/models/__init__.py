"""Registered models: thin shells over :mod:`mmdclpp.core`."""

# A registry node looks names up in its parents but does not import their
# modules; without this line a config could not name mmpretrain's parts.
import mmpretrain.models  # noqa: F401

from . import algorithms, backbones, classifiers, heads, necks, negatives  # noqa: F401
