"""Silhouettes, as sets of points of the plane; each has the area of the unit disc."""

from typing import Callable, Dict

import numpy as np

Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _polar(radius: Callable[[np.ndarray], np.ndarray]) -> Shape:
    """The points below ``radius(angle)``, scaled to the area of the unit disc."""
    angle = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    scale = 1 / np.sqrt(np.mean(radius(angle) ** 2))
    return lambda x, y: np.hypot(x, y) < scale * radius(np.arctan2(y, x))


def _polygon(corners: int) -> Shape:
    sector = 2 * np.pi / corners
    return _polar(lambda angle: 1 / np.cos(angle % sector - sector / 2))


def _star(points: int, inner: float) -> Shape:
    """A star whose inner corners lie at ``inner`` times the radius of the outer ones."""
    half = np.pi / points

    def radius(angle):
        turn = half - np.abs(angle % (2 * half) - half)  # 0 at an outer corner, `half` at an inner one
        return inner * np.sin(half) / (np.sin(turn) + inner * np.sin(half - turn))

    return _polar(radius)


def _bars(x, y):
    x, y = np.abs(x), np.abs(y)
    return (np.minimum(x, y) < 0.435) & (np.maximum(x, y) < 1.12)


def _ring(x, y):
    radius = np.hypot(x, y)
    return (radius > 0.55) & (radius < 1.1413)


def _heart(x, y):
    x, y = x / 0.93, y / 0.93
    return (x**2 + y**2 - 1) ** 3 < x**2 * y**3


SHAPES: Dict[str, Shape] = dict(
    disc=_polar(np.ones_like),
    triangle=_polygon(3),
    square=_polygon(4),
    hexagon=_polygon(6),
    star=_star(5, 0.5),
    cross=_bars,
    ring=_ring,
    heart=_heart,
)
