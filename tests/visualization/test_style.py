import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from mmdclpp.errors import UserError
from mmdclpp.visualization import comparison_chart
from mmdclpp.visualization.style import LABEL, LITERAL, NOTE, TITLE, folded, legend_below, new_figure, save_figure


def test_a_picture_that_cannot_be_drawn_leaves_the_earlier_one_whole(tmp_path):
    path = save_figure(new_figure(1, 1), tmp_path / 'picture.png')
    before = path.read_bytes()
    figure = new_figure(2, 2)
    figure.suptitle(r'$\nonsense$')
    with pytest.raises(ValueError, match='nonsense'):
        save_figure(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file/picture\.png cannot be written'):
        save_figure(Figure(), tmp_path / 'file' / 'picture.png')


@pytest.mark.parametrize(
    'name, lines',
    [
        ('DenseCL++', ['DenseCL++']),
        ('DenseCL++ (Random, CrossView, backbone)', ['DenseCL++ (Random,', 'CrossView, backbone)']),
        ('a' * 40 + 'b' * 40, ['a' * 28, '…' + 'b' * 27]),
        ('', []),
    ],
)
def test_a_long_name_is_folded_and_a_longer_one_keeps_both_ends(name, lines):
    assert folded(name).splitlines() == lines


def test_drawing_leaves_the_global_state_of_matplotlib_alone(tmp_path):
    before = matplotlib.get_backend(), dict(matplotlib.rcParams), plt.get_fignums()
    comparison_chart({'a': {'mAP': 1.0}}, tmp_path / 'chart.png')
    assert (matplotlib.get_backend(), dict(matplotlib.rcParams), plt.get_fignums()) == before


def test_names_with_dollars_are_no_formulas(tmp_path):
    name = 'a$x_{b$'  # no formula that matplotlib could read
    figure = new_figure(3, 2)
    axes = figure.subplots()
    figure.suptitle(name, **TITLE)
    figure.supxlabel(name, **NOTE)
    figure.colorbar(axes.imshow([[0, 1]]), ax=axes).set_label(name, **LABEL)
    axes.set_title(name, **LABEL)
    axes.set_xticks([0], [name], **LITERAL)
    legend_below(figure, axes.plot([0, 1]), [name])
    save_figure(figure, tmp_path / 'picture.png')
    comparison_chart({name: {'mAP': 1.0}}, tmp_path / 'chart.png')
