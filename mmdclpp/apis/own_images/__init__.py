"""Pretraining on a user's own images: what they are like, what settings suit them, and with which weights to begin."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports
