import numpy as np
import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import comparison_chart
from mmdclpp.visualization.style import COLOURS

ROWS = {'random': {'mAP': 10.0, 'mIoU': 5.0}, 'DenseCL++': {'mAP': 40.0, 'mIoU': 15.0}}


def longest_runs(pixels: np.ndarray, colour: str) -> list:
    """Lengths in pixels of the bars of a colour, from top to bottom."""
    rgb = [int(colour[index : index + 2], 16) for index in (1, 3, 5)]
    lengths = (np.abs(pixels.astype(int) - rgb).max(axis=2) < 4).sum(axis=1)
    edges = np.flatnonzero(np.diff((lengths > 0).astype(int)))
    return [lengths[start + 1 : stop + 1].max() for start, stop in edges.reshape(-1, 2)]


def test_bars_are_as_long_as_their_values(tmp_path, read_picture):
    path = comparison_chart(ROWS, tmp_path / 'new' / 'folder' / 'chart.png')
    assert path == tmp_path / 'new' / 'folder' / 'chart.png'
    pixels = read_picture(path)
    for colour, ratio in zip(COLOURS, (4, 3)):
        short, long = longest_runs(pixels, colour)
        assert long / short == pytest.approx(ratio, rel=0.05)


@pytest.mark.parametrize('missing', [{}, {'mIoU': None}])
def test_a_metric_that_was_not_measured_has_no_bar(tmp_path, read_picture, missing):
    pixels = read_picture(comparison_chart({**ROWS, 'new': {'mAP': 30.0, **missing}}, tmp_path / 'chart.png'))
    assert [len(longest_runs(pixels, colour)) for colour in COLOURS[:2]] == [3, 2]


@pytest.mark.parametrize(
    'rows, message',
    [
        ({}, 'neither mAP nor mIoU'),
        ({'a': {'accuracy': 3.0}}, 'neither mAP nor mIoU'),
        ({'a': {'mAP': 140.0}}, "mAP=140.0 of 'a' is not a percentage"),
        ({'a': {'mIoU': float('nan')}}, "mIoU=nan of 'a' is not a percentage"),
    ],
)
def test_rows_that_cannot_be_drawn_are_explained(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        comparison_chart(rows, tmp_path / 'chart.png')
