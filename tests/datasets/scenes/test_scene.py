import cv2
import numpy as np
import pytest

from mmdclpp.datasets.scenes import CLASSES, PALETTE, draw_scene
from mmdclpp.datasets.scenes.patterns import PATTERNS
from mmdclpp.datasets.scenes.shapes import SHAPES

SIDE, PERIOD = 256, 8.0  # px


def plane(name, seed):
    """A pattern as an image shows it, turned and antialiased; values in [0, 1]."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: 2 * SIDE, : 2 * SIDE].astype(np.float32) / 2 / PERIOD - 10
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return cv2.resize(PATTERNS[name](u, v, rng).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize('name', PATTERNS)
def test_mean_contrast_and_edge_energy_do_not_tell_patterns_apart(name):
    images = [plane(name, seed) for seed in range(4)]
    energy = [np.mean(np.diff(a, axis=0)[:, 1:] ** 2 + np.diff(a, axis=1)[1:] ** 2) for a in images]
    assert np.mean(images) == pytest.approx(0.5, abs=0.03)
    assert np.mean([image.var() for image in images]) == pytest.approx(0.213, rel=0.05)
    assert np.mean(energy) == pytest.approx(0.21, rel=0.1)


@pytest.mark.parametrize('name', SHAPES)
def test_shapes_have_the_area_of_the_unit_disc_and_fit_the_canvas(name):
    axis = np.linspace(-2, 2, 800)
    x, y = np.meshgrid(axis, axis)
    inside = SHAPES[name](x, y)
    assert inside.mean() * 16 == pytest.approx(np.pi, rel=0.02)
    assert np.hypot(x, y)[inside].max() < 1.7  # what the painter reaches


@pytest.fixture(scope='module')
def scenes():
    return [draw_scene(np.random.default_rng(seed), 96) for seed in range(300)]


def test_every_class_is_frequent_and_none_is_common(scenes):
    present = np.array([[label in np.unique(s.mask) for label in range(1, len(CLASSES) + 1)] for s in scenes])
    assert present.shape[1] == len(CLASSES) == len(PALETTE) - 1 == len(set(CLASSES))
    assert (present.mean(0) > 0.1).all() and (present.mean(0) < 0.35).all()


def test_no_object_is_hidden_and_each_size_of_group_occurs(scenes):
    sizes = [len(s.objects) for s in scenes]
    assert set(sizes) == {1, 2, 3, 4}
    assert min(found.area for s in scenes for found in s.objects) > 60  # px; the smallest disc of all has 650


def test_mean_brightness_of_an_object_is_that_of_the_ground(scenes):
    brightness = [
        np.array([s.image[s.mask == label].mean() for s in scenes if (s.mask == label).sum() > 300])
        for label in range(len(CLASSES) + 1)
    ]
    ground = brightness[0].mean()
    for values in brightness[1:]:
        assert values.mean() == pytest.approx(ground, abs=6)  # of 255
        assert values.std() < 25
