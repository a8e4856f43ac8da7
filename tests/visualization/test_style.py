import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from mmdclpp.errors import UserError
from mmdclpp.visualization import comparison_chart, style
from mmdclpp.visualization.style import new_figure, save_figure


def test_an_interrupted_write_leaves_the_earlier_picture_whole(tmp_path, monkeypatch):
    path = save_figure(new_figure(1, 1), tmp_path / 'picture.png')
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(style.os, 'replace', interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_figure(new_figure(2, 2), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file/picture\.png cannot be written'):
        save_figure(Figure(), tmp_path / 'file' / 'picture.png')


def test_drawing_leaves_the_global_state_of_matplotlib_alone(tmp_path):
    before = matplotlib.get_backend(), dict(matplotlib.rcParams), plt.get_fignums()
    comparison_chart({'a': {'mAP': 1.0}}, tmp_path / 'chart.png')
    assert (matplotlib.get_backend(), dict(matplotlib.rcParams), plt.get_fignums()) == before
