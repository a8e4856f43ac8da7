"""Evaluate pretrained backbones, suite by suite: :func:`mmdclpp.apis.evaluation.suite.evaluate`."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports
