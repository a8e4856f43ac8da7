import numpy as np
import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import thumbnail_chart


@pytest.fixture
def figure(images, tmp_path, monkeypatch):
    """The figure of points with images."""

    def draw(points):
        figures = []
        monkeypatch.setattr('mmdclpp.visualization.thumbnails.save_figure', lambda figure, _: figures.append(figure))
        number = len(next(iter(points.values())))
        thumbnail_chart(points, [images[index % 2] for index in range(number)], tmp_path / 't.png')
        return figures[0]

    return draw


def middles(axes):
    extents = np.array([image.get_extent() for image in axes.images])
    return np.stack([extents[:, :2].mean(axis=1), extents[:, 2:].mean(axis=1)], axis=1)


def test_images_lie_where_their_points_do_up_to_one_scale(figure):
    points = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 20.0], [40.0, 20.0]])
    places = middles(figure({'a': points}).axes[0]) * (1, -1)  # images hang from the top
    places -= places[0]
    assert np.allclose(places / places[1, 0], points / 40)


def test_no_thumbnail_hides_another_and_every_image_is_shown(figure, laid_out):
    points = np.random.default_rng(0).normal(size=(150, 2))
    drawing = figure({'a': points, 'b': points[::-1] ** 3})
    laid_out(drawing)
    for axes in drawing.axes:
        shown, (dots,) = middles(axes), axes.collections
        assert len(shown) + len(dots.get_offsets()) == 150 and len(shown) > 10
        left, right = axes.images[0].get_extent()[:2]
        apart = np.abs(shown[:, None] - shown).max(axis=2) + 9 * np.eye(len(shown))
        assert apart.min() > 0.8 * (right - left)
        for image in axes.images:  # within the panel
            assert 0 <= min(image.get_extent()) and max(image.get_extent()) <= 1


def test_a_point_too_few_is_explained(images, tmp_path):
    with pytest.raises(UserError, match="points of 'a' are not 2 finite pairs"):
        thumbnail_chart({'a': np.zeros((1, 2))}, images, tmp_path / 't.png')
