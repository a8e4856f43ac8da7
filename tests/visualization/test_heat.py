import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mmdclpp.errors import UserError
from mmdclpp.visualization import heat_maps

NAN = float('nan')
GRIDS = {'N = 0': np.array([[10.0, 11.04], [12.0, NAN]]), 'N = 3': np.array([[13.0, 14.0], [30.0, 16.0]])}
LABELS = {'rows': ['16', '64'], 'columns': ['none', '0.5'], 'row_label': 'M', 'column_label': 'β', 'label': 'mAP [%]'}


def test_every_value_is_written_in_its_cell_and_the_highest_is_bold(drawn):
    figure = drawn(heat_maps, GRIDS, **LABELS, title='COCO')
    first, second, bar = figure.axes
    assert [text.get_text() for text in first.texts] == ['10.0', '11.0', '12.0', '—']
    assert [text.get_position() for text in first.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [text.get_text() for text in second.texts if text.get_fontweight() == 'bold'] == ['30.0']
    assert [axes.get_title() for axes in (first, second)] == ['N = 0', 'N = 3']
    assert (figure._suptitle.get_text(), bar.get_ylabel()) == ('COCO', 'mAP [%]')


def test_all_grids_share_a_scale_and_text_stands_out_from_its_cell(drawn):
    figure = drawn(heat_maps, GRIDS, **LABELS)
    panels = figure.axes[:2]
    assert [axes.images[0].get_clim() for axes in panels] == [(10.0, 30.0)] * 2
    for axes in panels:
        image = axes.images[0]
        for text in axes.texts:
            if text.get_text() != '—':
                column, row = text.get_position()
                ground = image.cmap(image.norm(image.get_array()[row, column]))
                assert abs(np.mean(ground[:3]) - np.mean(to_rgb(text.get_color()))) > 0.3


def test_equal_values_have_no_best(drawn):
    axes = drawn(heat_maps, {'': np.full((2, 2), 5.0)}, **LABELS).axes[0]
    assert {text.get_fontweight() for text in axes.texts} == {'normal'}


def test_panels_have_room(drawn, laid_out):
    laid_out(drawn(heat_maps, {f'N = {number}': GRIDS['N = 0'] for number in range(4)}, **LABELS, title='COCO'))


def test_the_picture_is_written(tmp_path, read_picture):
    read_picture(heat_maps(GRIDS, tmp_path / 'heat.png', **LABELS))


@pytest.mark.parametrize('grids', [{}, {'a': np.full((2, 2), NAN)}])
def test_nothing_to_draw_is_explained(tmp_path, grids):
    with pytest.raises(UserError, match='grids holds no value'):
        heat_maps(grids, tmp_path / 'heat.png', **LABELS)
