import math

import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import sweep_chart


def tried(*points: tuple) -> list:
    """A sweep of (learning rate, weight decay, mAP)."""
    return [dict(zip(('learning_rate', 'weight_decay', 'mAP'), point)) for point in points]


SWEEP = tried((1.0, 0.0, 30.0), (0.1, 0.0, 20.0), (0.1, 1e-4, 25.0), (1.0, 1e-4, None), (10.0, 0.0, math.nan))


def lines(axes) -> list:
    return [line for line in axes.lines if line.get_fillstyle() != 'none']


def rings(axes) -> list:
    return [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines if line.get_fillstyle() == 'none']


def test_each_weight_decay_is_a_line_in_the_order_of_the_learning_rate(drawn):
    axes = drawn(sweep_chart, {'a': [SWEEP]}).axes[0]
    first, second = lines(axes)
    assert list(first.get_xdata()) == [0.1, 1.0, 10.0]
    assert list(first.get_ydata())[:2] == [20.0, 30.0] and math.isnan(first.get_ydata()[2])
    assert list(second.get_xdata()) == [0.1, 1.0]
    assert first.get_color() != second.get_color()
    assert axes.get_xscale() == 'log'


def test_the_chosen_of_each_seed_is_ringed_and_none_where_all_diverged(drawn):
    other = tried((0.1, 0.0, 33.0), (1.0, 0.0, 28.0))
    figure = drawn(sweep_chart, {'a': [SWEEP, other], 'b': [tried((1.0, 0.0, None))]})
    assert [rings(axes) for axes in figure.axes] == [[(1.0, 30.0), (0.1, 33.0)], []]


def test_methods_have_panels_and_the_legend_names_every_weight_decay_once(drawn):
    figure = drawn(sweep_chart, {f'method {index}': [SWEEP, SWEEP] for index in range(5)})
    assert [axes.get_title() for axes in figure.axes] == [f'method {index}' for index in range(5)]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ['weight decay 0', 'weight decay 0.0001', 'chosen']


@pytest.mark.parametrize('methods', [1, 5])
def test_few_and_many_methods_with_long_names_have_room(drawn, laid_out, methods):
    runs = {f'{"a long name " * 9}{index}': [SWEEP] for index in range(methods)}
    laid_out(drawn(sweep_chart, runs, title='COCO, linear probe'))


def test_the_picture_is_written(tmp_path, read_picture):
    read_picture(sweep_chart({'a': [SWEEP]}, tmp_path / 'new' / 'sweep.png'))


@pytest.mark.parametrize('runs', [{}, {'a': []}, {'a': [[]]}])
def test_nothing_to_draw_is_explained(tmp_path, runs):
    with pytest.raises(UserError, match='runs holds no sweep'):
        sweep_chart(runs, tmp_path / 'sweep.png')
