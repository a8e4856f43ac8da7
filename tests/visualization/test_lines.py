import numpy as np
import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import line_chart

AXES = {'x_label': 'λ', 'y_label': 'mAP [%]'}
PANELS = {'COCO': {'CLS': {0: [10.0, 12.0], 1: [20.0]}, 'GAP': {0: [30.0], 1: []}}, 'VOC': {'CLS': {0: [], 1: []}}}


def lines(axes) -> list:
    """Lines with a marker that are no rings."""
    return [line for line in axes.lines if line.get_linestyle() != 'None' and line.get_marker() in 'os^D']


def test_lines_go_through_the_means_and_whiskers_span_a_deviation(drawn):
    (axes,) = drawn(line_chart, PANELS, **AXES).axes  # nothing was measured of the other
    cls, gap = lines(axes)
    assert (list(cls.get_xdata()), list(cls.get_ydata())) == ([0, 1], [11.0, 20.0])
    assert (list(gap.get_xdata()), list(gap.get_ydata())) == ([0], [30.0])
    (whiskers,) = (found.get_segments() for found in axes.collections)
    np.testing.assert_allclose(whiskers[0][:, 1], [11 - 2**0.5, 11 + 2**0.5])
    (rings,) = (line for line in axes.lines if line.get_fillstyle() == 'none')
    assert list(rings.get_ydata()) == [10.0, 12.0]


def test_everything_lies_within_the_axes_though_lines_are_shifted_apart(drawn):
    axes = drawn(line_chart, PANELS, **AXES).axes[0]
    low, high = axes.get_ylim()
    assert low < 11 - 2**0.5 and high > 30
    assert axes.get_xlim()[0] < 0 and axes.get_xlim()[1] > 1
    first, second = (line.get_transform().transform((0, 0))[0] for line in lines(axes))
    assert second - first == pytest.approx(4 * axes.figure.dpi / 72)


def test_lines_are_told_apart_without_colour(drawn):
    axes = drawn(line_chart, {'': {name: {0: [1.0], 1: [2.0]} for name in 'abc'}}, **AXES).axes[0]
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines(axes)}) == 3


def test_a_baseline_is_a_line_with_a_band_of_its_deviation_and_stands_in_the_legend(drawn):
    lines_of = {'conv': {0.1: [1.0, 2.0], 10: [3.0, 4.0]}}
    figure = drawn(line_chart, {'': lines_of}, log=True, baselines={'': [5.0, 7.0]}, baseline_name='γ = 0', **AXES)
    (axes,) = figure.axes
    assert axes.get_xscale() == 'log'
    assert [text.get_text() for text in axes.get_xticklabels()] == ['0.1', '10']
    assert 6.0 in [line.get_ydata()[0] for line in axes.lines]
    (band,) = axes.patches
    np.testing.assert_allclose([band.get_y(), band.get_y() + band.get_height()], [6 - 2**0.5, 6 + 2**0.5])
    assert [text.get_text() for text in figure.legends[0].texts] == ['conv', 'one seed', 'γ = 0', '± std of it']
    assert axes.get_ylim()[1] > 6 + 2**0.5


def test_panels_have_room(drawn, laid_out):
    many = {f'COCO, linear probe {index}': {name: {0: [10.0, 12.0]} for name in 'abcd'} for index in range(3)}
    laid_out(drawn(line_chart, many, **AXES))


def test_the_picture_is_written(tmp_path, read_picture):
    read_picture(line_chart(PANELS, tmp_path / 'new' / 'lines.png', **AXES))


@pytest.mark.parametrize('panels', [{}, {'a': {}}, {'a': {'b': {0: []}}}])
def test_nothing_to_draw_is_explained(tmp_path, panels):
    with pytest.raises(UserError, match='panels holds no value'):
        line_chart(panels, tmp_path / 'lines.png', **AXES)
