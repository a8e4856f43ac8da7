"""What a pretraining will take, before anybody rents a machine: :func:`mmdclpp.apis.estimating.estimate.estimate`."""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports
