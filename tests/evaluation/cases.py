"""Random multi-label scores and targets."""

from typing import Optional, Tuple

import numpy as np
from numpy import ndarray


def random_case(
    seed: int, images: int = 200, classes: int = 9, levels: Optional[int] = None, ignored: float = 0.1
) -> Tuple[ndarray, ndarray]:
    """Scores, with so many ``levels`` and hence ties, and targets, the last class without a positive image."""
    rng = np.random.default_rng(seed)
    scores = rng.random((images, classes))
    if levels:
        scores = np.floor(scores * levels) / levels
    targets = (rng.random((images, classes)) < rng.uniform(0.02, 0.6, classes)).astype(np.int8)
    targets[:, -1] = 0
    targets[rng.random((images, classes)) < ignored] = -1
    return scores, targets
