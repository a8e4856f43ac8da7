"""Images beside their reconstructions."""

from typing import Sequence

import numpy as np

from mmdclpp.errors import UserError

from .inputs import check_images

SIDE = 112  # px; smaller images are enlarged
GAP = 4  # px of white


def reconstruction_pairs(
    images: Sequence[np.ndarray], reconstructions: Sequence[np.ndarray], pairs_per_row: int = 2
) -> np.ndarray:
    """Draw pairs ``image | reconstruction``, row by row on white.

    Pixels are kept as they are; images with a side below 112 px are enlarged by a whole number.

    Args:
        images (Sequence[np.ndarray]): Each uint8 RGB of one shape ``(H, W, 3)``.
        reconstructions (Sequence[np.ndarray]): As many, of the same shape.
        pairs_per_row (int): Pairs side by side. Defaults to 2, the two views of an image.

    Returns:
        np.ndarray: The picture, uint8 RGB.

    Raises:
        UserError: If there is no image, or the two differ in number or shape.
    """
    images, reconstructions = check_images(images, 'images'), check_images(reconstructions, 'reconstructions')
    if len(images) != len(reconstructions) or len({array.shape for array in images + reconstructions}) > 1:
        raise UserError(
            f'{len(images)} images of {images[0].shape} and {len(reconstructions)} reconstructions of '
            f'{reconstructions[0].shape}: give one of the same shape for each image'
        )
    factor = max(1, SIDE // min(images[0].shape[:2]))
    cells = np.stack([images, reconstructions], axis=1).repeat(factor, axis=2).repeat(factor, axis=3)
    # White to the right of and below each; a pair is set apart from the next by as much again.
    cells = np.pad(cells, ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    pairs = np.pad(
        np.concatenate([cells[:, 0], cells[:, 1]], axis=2), ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255
    )
    missing = -len(pairs) % pairs_per_row
    pairs = np.pad(pairs, ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=255)
    height, width = pairs.shape[1:3]
    rows = pairs.reshape(-1, pairs_per_row, height, width, 3).swapaxes(1, 2).reshape(-1, pairs_per_row * width, 3)
    return np.pad(rows[:, :-GAP], ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255)
