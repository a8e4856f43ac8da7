import numpy as np
import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import reconstruction_pairs
from mmdclpp.visualization.reconstructions import GAP
from tests.core.cases import one_line


def pictures(number, shape=(128, 160), seed=0):
    return np.random.default_rng(seed).integers(0, 250, (number, *shape, 3), dtype=np.uint8)


@pytest.mark.parametrize(('shape', 'factor'), [((128, 160), 1), ((48, 80), 2), ((50, 20), 5)])
@pytest.mark.parametrize(('number', 'pairs_per_row', 'rows'), [(4, 2, 2), (3, 2, 2), (1, 2, 1), (3, 1, 3)])
def test_each_image_stands_left_of_its_reconstruction_enlarged_if_it_is_small(
    shape, factor, number, pairs_per_row, rows
):
    images, reconstructions = pictures(number, shape), pictures(number, shape, seed=1)
    picture = reconstruction_pairs(images, reconstructions, pairs_per_row)
    height, width = (side * factor for side in shape)
    pair_width = 2 * (width + GAP) + GAP
    assert picture.dtype == np.uint8
    assert picture.shape == (rows * (height + GAP) + GAP, pairs_per_row * pair_width, 3)
    for index in range(number):
        row, column = divmod(index, pairs_per_row)
        top, left = GAP + row * (height + GAP), GAP + column * pair_width
        for expected, start in ((images[index], left), (reconstructions[index], left + width + GAP)):
            found = picture[top : top + height, start : start + width]
            np.testing.assert_array_equal(found, np.kron(expected, np.ones((factor, factor, 1), np.uint8)))
            found[:] = 255
    assert (picture == 255).all()  # white between them, and nothing else


@pytest.mark.parametrize(
    ('images', 'reconstructions', 'words'),
    [
        (pictures(2), pictures(1), ['2 images', '1 reconstructions']),
        (pictures(1), pictures(1, (128, 128)), ['(128, 160, 3)', '(128, 128, 3)']),
        ([], [], ['images is empty']),
        (pictures(1) / 255, pictures(1), ['images[0]', 'float64']),
    ],
    ids=['number', 'shape', 'none', 'type'],
)
def test_what_does_not_belong_together_is_refused(images, reconstructions, words):
    with pytest.raises(UserError, match=one_line(*words)):
        reconstruction_pairs(images, reconstructions)
