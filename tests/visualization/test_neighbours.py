import numpy as np
import pytest
from matplotlib.patches import Rectangle

from mmdclpp.errors import UserError
from mmdclpp.visualization import Neighbours, neighbour_rows

FOUND = Neighbours(np.array([[3, 1], [0, 3]]), np.array([[0.91, 0.8], [0.7, -0.06]]))


@pytest.fixture
def gallery(images) -> dict:
    return {0: images[0], 1: images[1], 3: images[0][:, ::-1]}


def test_each_query_has_a_row_of_neighbours_for_each_model(tmp_path, images, gallery, read_picture):
    one = read_picture(neighbour_rows(images, {'a': FOUND}, gallery, tmp_path / '1' / 'n.png'))
    models = {'a': FOUND, 'b': Neighbours(FOUND.index[:, ::-1], FOUND.similarity[:, ::-1])}
    two = read_picture(neighbour_rows(images, models, gallery, tmp_path / '2' / 'n.png'))
    assert 1.6 < two.shape[0] / one.shape[0] < 2.1


def test_boxes_are_drawn_where_they_lie_in_images_of_any_shape(images, gallery, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr('mmdclpp.visualization.neighbours.save_figure', lambda figure, _: figures.append(figure))
    boxes = np.broadcast_to([0.5, 0.0, 1.0, 0.25], (2, 2, 4))
    found = FOUND._replace(boxes=boxes)
    neighbour_rows(images, {'a': found}, gallery, tmp_path / 'n.png', {'a': boxes[:, 0]})
    for part in figures[0].subfigs:
        assert [axes.texts[0].get_text() for axes in part.axes][0] == 'query'
        for axes in part.axes:
            left, right, bottom, top = axes.images[0].get_extent()
            frame = [patch for patch in axes.patches if isinstance(patch, Rectangle)][-1]
            assert frame.get_x() == pytest.approx((left + right) / 2) and frame.get_y() == pytest.approx(top)
            assert frame.get_width() == pytest.approx((right - left) / 2)
            assert frame.get_height() == pytest.approx((bottom - top) / 4)
    texts = [axes.texts[0].get_text() for part in figures[0].subfigs for axes in part.axes]
    assert texts == ['query', '0.91', '0.80', 'query', '0.70', '-0.06']


def test_each_model_has_its_own_boxes(images, gallery, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr('mmdclpp.visualization.neighbours.save_figure', lambda figure, _: figures.append(figure))
    boxes = {'a': np.tile([0.0, 0.0, 0.5, 0.5], (2, 1)), 'b': np.tile([0.5, 0.5, 0.75, 1.0], (2, 1))}
    neighbour_rows(images, {'a': FOUND, 'b': FOUND}, gallery, tmp_path / 'n.png', boxes)
    for part in figures[0].subfigs:
        for axes, (x0, _, x1, _) in zip(part.axes[::3], (boxes['a'][0], boxes['b'][0]), strict=True):
            left, right, *_ = axes.images[0].get_extent()
            frame = [patch for patch in axes.patches if isinstance(patch, Rectangle)][-1]
            assert (frame.get_x() - left) / (right - left) == pytest.approx(x0)
            assert frame.get_width() / (right - left) == pytest.approx(x1 - x0)


def test_neighbours_of_other_queries_are_refused(images, gallery, tmp_path):
    with pytest.raises(UserError, match='neighbours of all 2 queries'):
        neighbour_rows(images, {'a': Neighbours(FOUND.index[:1], FOUND.similarity[:1])}, gallery, tmp_path / 'n.png')
