"""Pretrained models: what a checkpoint, or the name of a published model, says of itself."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision and mmpretrain, which the modules here import
