import numpy as np
import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import class_chart


def labels(axes) -> list:
    return [label.get_text() for label in axes.get_yticklabels()]


def dots(axes) -> dict:
    """The dots of each method by class, which stand at most half a class's height from its line."""
    lines = {container.get_label(): container.lines[0] for container in axes.containers}
    return {
        name: {labels(axes)[round(y)]: x for x, y in zip(*line.get_data(orig=False))} for name, line in lines.items()
    }


def test_classes_are_sorted_by_the_mean_over_methods_those_without_a_value_last(drawn):
    rows = {
        'a': {'none': [], 'cat': [1.0], 'dog': [30.0], 'cow': [4.0]},
        'b': {'none': [], 'cat': [9.0], 'dog': [], 'cow': [8.0]},
    }
    axes = drawn(class_chart, rows).axes[0]
    assert labels(axes) == ['dog', 'cow', 'cat', 'none']
    assert axes.get_ylim()[0] > axes.get_ylim()[1], 'the first class is not on top'
    assert dots(axes) == {'a': {'dog': 30.0, 'cow': 4.0, 'cat': 1.0}, 'b': {'cow': 8.0, 'cat': 9.0}}


def test_a_dot_is_the_mean_of_the_seeds_and_its_bar_their_deviation(drawn):
    axes = drawn(class_chart, {'a': {'cat': [10.0, 11.0, 15.0]}, 'b': {'cat': [12.0]}}).axes[0]
    assert dots(axes) == {'a': {'cat': 12.0}, 'b': {'cat': 12.0}}
    (bar,) = axes.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose(bar[:, 0], [12 - 7**0.5, 12 + 7**0.5])
    heights = [container.lines[0].get_ydata()[0] for container in axes.containers]
    assert heights[0] != heights[1], 'one method hides the other'


def test_many_classes_stand_in_columns_of_one_scale(drawn):
    figure = drawn(class_chart, {'a': {f'class {index}': [float(index)] for index in range(80)}}, label='IoU [%]')
    assert [len(labels(axes)) for axes in figure.axes] == [40, 40]
    assert labels(figure.axes[0])[0] == 'class 79' and labels(figure.axes[1])[-1] == 'class 0'
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert {axes.get_xlabel() for axes in figure.axes} == {'IoU [%]'}


@pytest.mark.parametrize('methods, classes', [(1, 1), (12, 20), (2, 80)])
def test_few_and_many_with_long_names_have_room(drawn, laid_out, methods, classes):
    rows = {
        f'{"a long name " * 9}{method}': {f'{"a class " * 9}{index}': [1.0, 2.0 + method] for index in range(classes)}
        for method in range(methods)
    }
    laid_out(drawn(class_chart, rows, title='COCO, linear probe'))


def test_more_methods_than_colours_differ_in_the_marker(drawn):
    axes = drawn(class_chart, {str(method): {'cat': [1.0 * method]} for method in range(12)}).axes[0]
    looks = {(container.lines[0].get_color(), container.lines[0].get_marker()) for container in axes.containers}
    assert len(looks) == 12


@pytest.mark.parametrize('rows', [{}, {'a': {}}])
def test_nothing_to_draw_is_explained(tmp_path, rows):
    with pytest.raises(UserError, match='rows holds no class'):
        class_chart(rows, tmp_path / 'classes.png')


def test_the_picture_is_written(tmp_path, read_picture):
    read_picture(class_chart({'a': {'cat': [1.0]}, 'b': {'cat': [2.0]}}, tmp_path / 'new' / 'classes.png'))
