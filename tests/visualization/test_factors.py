import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import factor_chart

FACTORS = {'M': {'16': [10.0, 12.0], '64': [13.0]}, 'cross-view negatives, N': {'0': [10.0], '3': [12.0, 13.0]}}


def test_each_factor_shows_its_levels_means_settings_and_their_number_on_one_scale(drawn):
    figure = drawn(factor_chart, FACTORS, y_label='mAP [%]', title='COCO')
    first, second = figure.axes
    assert first.get_ylim() == second.get_ylim()
    (means,) = (line for line in first.lines if line.get_marker() == 's')
    assert list(means.get_ydata()) == [11.0, 13.0]
    assert [text.get_text() for text in first.get_xticklabels()] == ['16\nn = 2', '64\nn = 1']
    rings = [offset[1] for found in second.collections for offset in found.get_offsets() if len(found.get_offsets())]
    assert {10.0, 12.0, 13.0} <= set(rings)


@pytest.mark.parametrize('factors', [{'N': {'0': [1.0]}}, {name: dict(FACTORS['M']) for name in 'abcd'}, FACTORS])
def test_few_and_many_factors_have_room(drawn, laid_out, factors):
    laid_out(drawn(factor_chart, factors, y_label='mAP [%]', title='COCO, linear probe'))


def test_the_picture_is_written(tmp_path, read_picture):
    read_picture(factor_chart(FACTORS, tmp_path / 'factors.png', y_label='mAP [%]'))


@pytest.mark.parametrize('factors', [{}, {'M': {}}, {'M': {'16': []}}])
def test_nothing_to_draw_is_explained(tmp_path, factors):
    with pytest.raises(UserError, match='factors lacks a value'):
        factor_chart(factors, tmp_path / 'factors.png', y_label='mAP [%]')
