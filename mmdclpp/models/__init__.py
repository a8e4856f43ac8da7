"""Registered models: thin shells over :mod:`mmdclpp.core`."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

from . import algorithms, backbones, classifiers, decoders, heads, necks, negatives  # noqa: F401
