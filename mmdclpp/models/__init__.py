"""Registered models: thin shells over :mod:`mmdclpp.core`."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports

from . import (  # noqa: F401
    algorithms,
    backbones,
    classifiers,
    data_preprocessors,
    decoders,
    heads,
    necks,
    negatives,
)
