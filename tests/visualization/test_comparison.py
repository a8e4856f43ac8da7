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


def test_a_bar_is_the_mean_of_its_seeds_each_a_dot_and_the_whisker_the_deviation(drawn):
    axes = drawn(comparison_chart, {'a': {'mAP': [10.0, 11.0, 15.0]}, 'b': {'mAP': [7.0]}, 'c': {'mAP': 3.0}}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [12.0, 7.0, 3.0]
    (dots,) = (found for found in axes.collections if len(found.get_offsets()) == 3)
    assert dots.get_offsets()[:, 0].tolist() == [10.0, 11.0, 15.0]
    (whiskers,) = axes.containers[1:]
    (ends,) = whiskers.lines[2][0].get_segments()
    np.testing.assert_allclose(ends[:, 0], [12 - 7**0.5, 12 + 7**0.5])
    assert [text.get_text() for text in axes.texts] == ['12.0 ± 2.6', '7.0', '3.0']


def test_axes_that_do_not_begin_at_zero_span_the_values_and_have_no_bars(drawn):
    rows = {'a': {'mAP': [40.0, 42.0]}, 'b': {'mAP': []}, 'c': {'mAP': [41.5]}}
    axes = drawn(comparison_chart, rows, from_zero=False).axes[0]
    assert not axes.patches
    assert [text.get_text() for text in axes.texts] == ['41.0 ± 1.4', 'not measured', '41.5']
    left, right = axes.get_xlim()
    assert 35 < left < 41 - 2**0.5 and 41 + 2**0.5 < right < 50


def test_the_best_mean_is_bold_of_methods_that_differ(drawn):
    rows = {'a': {'mAP': 10.0, 'mIoU': 1.0}, 'b': {'mAP': [11.0, 10.04], 'mIoU': 1.0}, 'c': {'mAP': 10.52}}
    left, right = drawn(comparison_chart, rows).axes
    assert [text.get_fontweight() for text in left.texts] == ['normal', 'bold', 'bold']  # 10.52 in print
    assert [text.get_fontweight() for text in right.texts] == ['normal'] * 3


def test_panels_stand_in_their_order_and_equal_axes_share_a_colour(drawn):
    panels = {name: (f'title of {name}', unit) for name, unit in zip('abcde', ['mAP', 'mIoU', 'mAP', 'x', 'mAP'])}
    row = {'a': 1.0, 'b': 2.0, 'c': [3.0, 4.0], 'd': None, 'e': [], 'z': 5.0}
    figure = drawn(comparison_chart, {'one': row, 'other': {'e': 2.0}}, panels=panels)
    assert [axes.get_title() for axes in figure.axes] == [f'title of {name}' for name in 'abce']
    assert [axes.get_xlabel() for axes in figure.axes] == ['mAP', 'mIoU', 'mAP', 'mAP']
    colours = [axes.patches[0].get_facecolor() for axes in figure.axes]
    assert colours[0] == colours[2] == colours[3] != colours[1]


@pytest.mark.parametrize('methods, num_panels', [(1, 1), (12, 2), (2, 4)])
def test_few_and_many_methods_with_long_names_have_room(drawn, laid_out, methods, num_panels):
    panels = {str(index): (f'COCO, semantic segmentation {index}', 'mIoU [%]') for index in range(num_panels)}
    row = {panel: [30.0, 60.0] for panel in panels}
    laid_out(drawn(comparison_chart, {f'{"a long name " * 9}{index}': row for index in range(methods)}, panels=panels))


@pytest.mark.parametrize(
    'rows, message',
    [
        ({}, 'neither mAP nor mIoU'),
        ({'a': {'accuracy': 3.0}}, 'neither mAP nor mIoU'),
        ({'a': {'mAP': 140.0}}, "mAP=140.0 of 'a' is not a percentage"),
        ({'a': {'mIoU': float('nan')}}, "mIoU=nan of 'a' is not a percentage"),
        ({'a': {'mAP': [1.0, -2.0]}}, "mAP=-2.0 of 'a' is not a percentage"),
    ],
)
def test_rows_that_cannot_be_drawn_are_explained(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        comparison_chart(rows, tmp_path / 'chart.png')
