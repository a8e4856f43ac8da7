import numpy as np
import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import histogram_chart

EDGES = [-1.0, -0.5, 0.0, 0.5, 1.0]
PANELS = {
    'N = 0': {'within': (EDGES, [0, 0, 0, 2.0]), 'between': (EDGES, [0, 1.0, 1.0, 0])},
    'N = 3': {'within': (EDGES, [0, 0, 1.0, 1.0])},
}


def test_each_panel_has_the_steps_of_its_distributions_on_common_axes(drawn):
    figure = drawn(histogram_chart, PANELS, label='similarity')
    first, second = figure.axes
    assert [list(patch.get_data().values) for patch in first.patches] == [[0, 0, 0, 2.0], [0, 1.0, 1.0, 0]]
    assert [list(patch.get_data().values) for patch in second.patches] == [[0, 0, 1.0, 1.0]]
    assert first.get_ylim() == second.get_ylim()
    assert first.get_xlim() == second.get_xlim() == (-0.5, 1.0)  # no density below
    assert [text.get_text() for text in figure.legends[0].texts] == ['within', 'between']


def test_distributions_are_told_apart_without_colour(drawn):
    one, other = drawn(histogram_chart, PANELS, label='similarity').axes[0].patches
    assert one.get_hatch() != other.get_hatch() and one.get_linestyle() != other.get_linestyle()


@pytest.mark.parametrize('number', [1, 5])
def test_few_and_many_panels_have_room(drawn, laid_out, number):
    panels = {f'N = {index}\nintra 0.78, inter 0.12': PANELS['N = 0'] for index in range(number)}
    laid_out(drawn(histogram_chart, panels, label='cosine similarity'))


def test_the_picture_is_written(tmp_path, read_picture):
    read_picture(histogram_chart(PANELS, tmp_path / 'histograms.png', 'similarity'))


@pytest.mark.parametrize(
    'panels, message',
    [
        ({}, 'panels holds no distribution'),
        ({'a': {}}, 'panels holds no distribution'),
        ({'a': {'b': (EDGES, np.ones(5))}}, "'b' of 'a': 5 densities need one more edge, not 5"),
    ],
)
def test_what_cannot_be_drawn_is_explained(tmp_path, panels, message):
    with pytest.raises(UserError, match=message):
        histogram_chart(panels, tmp_path / 'histograms.png', 'similarity')
