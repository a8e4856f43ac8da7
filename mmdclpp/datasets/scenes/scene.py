"""Draw one scene: patterned objects that hide parts of each other on a mild ground."""

from typing import List, NamedTuple, Tuple

import cv2
import numpy as np

from .patterns import PATTERNS
from .shapes import SHAPES

# A class is a pattern and a shape: what colour, contrast, orientation, size and position do not give away.
_KINDS = (
    ('striped', 'disc'),
    ('checked', 'heart'),
    ('dotted', 'triangle'),
    ('ringed', 'square'),
    ('netted', 'star'),
    ('zigzag', 'cross'),
    ('bricked', 'hexagon'),
    ('triangular', 'ring'),
)
CLASSES: Tuple[str, ...] = tuple(f'{pattern} {shape}' for pattern, shape in _KINDS)
# Background, then the classes.
PALETTE: Tuple[Tuple[int, int, int], ...] = (
    (0, 0, 0),
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
)

_MAX_OBJECTS = 4
_DIAMETER = (0.35, 0.65)  # of the disc of an object's area, in image sides
_PERIOD = (8, 14)  # of the pattern, in pixels of an image of 96 px
_CONTRAST = (0.18, 0.28)  # half the difference in luminance between an object's two colours
_CHROMA = (0.05, 0.2)
_SHADING = 0.15
_GROUND_CONTRAST = 0.03
_GROUND_PERIODS = (4, 8, 16)  # in pixels of an image of 96 px
_NOISE = 0.015
_SUPERSAMPLING = 2
_CHROMA_AXES = np.array([[2, -1, -1], [0, 3**0.5, -(3**0.5)]]) / 6**0.5  # orthonormal, and orthogonal to grey


class SceneObject(NamedTuple):
    """What is visible of one object.

    Attributes:
        category (int): Class label, 1 to C.
        bbox (List[int]): Left, top, width and height in pixels.
        area (int): Number of pixels.
    """

    category: int
    bbox: List[int]
    area: int


class Scene(NamedTuple):
    """One scene.

    Attributes:
        image (np.ndarray): BGR, uint8, shape ``(size, size, 3)``.
        mask (np.ndarray): Class labels, 0 for the background, uint8, shape ``(size, size)``.
        objects (List[SceneObject]): One to four, the hindmost first.
    """

    image: np.ndarray
    mask: np.ndarray
    objects: List[SceneObject]


def draw_scene(rng: np.random.Generator, size: int) -> Scene:
    """Draw a scene.

    Args:
        rng (np.random.Generator): Source of all draws.
        size (int): Side of the image in pixels.

    Returns:
        Scene: Image, mask and objects.
    """
    side = size * _SUPERSAMPLING
    canvas = cv2.resize(_ground(rng, size), (side, side), interpolation=cv2.INTER_LINEAR)
    owner = np.zeros((side, side), np.uint8)  # 0 or the one-based number of the object that is seen
    places = _places(rng)
    kinds = rng.integers(len(_KINDS), size=len(places))
    for number, (kind, (x, y, radius)) in enumerate(zip(kinds, places), start=1):
        _paint(rng, canvas, owner, number, _KINDS[kind], (x * side, y * side), radius * side)

    image = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA) * rng.uniform(0.85, 1.15)
    image += rng.normal(0, _NOISE, image.shape)
    image = (image.clip(0, 1) * 255).round().astype(np.uint8)
    cover = [
        cv2.resize((owner == number).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        for number in range(len(places) + 1)
    ]
    seen = np.argmax(cover, axis=0)
    objects = []
    for number, kind in enumerate(kinds, start=1):
        left, top, width, height = cv2.boundingRect((seen == number).astype(np.uint8))
        objects.append(SceneObject(int(kind) + 1, [left, top, width, height], int((seen == number).sum())))
    return Scene(image, np.append(0, kinds + 1).astype(np.uint8)[seen], objects)


def _places(rng) -> List[Tuple[float, float, float]]:
    """Centres and radii, in image sides, of objects none of which hides most of another."""
    places = []
    for _ in range(rng.integers(1, _MAX_OBJECTS + 1)):
        for _ in range(20):
            radius = rng.uniform(*_DIAMETER) / 2
            x, y = rng.uniform(0.8 * radius, 1 - 0.8 * radius, 2)
            apart = [(np.hypot(x - u, y - v), max(radius, r), min(radius, r)) for u, v, r in places]
            if all(distance > 0.8 * large + 0.3 * small for distance, large, small in apart):
                places.append((x, y, radius))
                break
    return places


def _ground(rng, size):
    """Fine noise alike everywhere: coarse clouds would tell images apart, and so save a learner the objects."""
    ground = np.full((size, size, 3), 0.5, np.float32)
    for period in _GROUND_PERIODS:
        cells = round(96 / period)
        grey, tint = rng.normal(0, 1, (cells, cells, 1)), rng.normal(0, 0.5, (cells, cells, 3))
        ground += _GROUND_CONTRAST * cv2.resize(
            (grey + tint).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
        )
    return ground


def _paint(rng, canvas, owner, number, kind, centre, radius):
    """Paint an object of area ``pi * radius ** 2`` over what is there; lengths in pixels of the canvas."""
    side = len(canvas)
    reach = 1.7 * radius
    (left, right), (top, bottom) = ((max(0, int(c - reach)), min(side, int(c + reach) + 1)) for c in centre)
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32) + 0.5
    x, y = x - centre[0], y - centre[1]
    turn, light = rng.uniform(0, 2 * np.pi, 2)
    shade = 1 + _SHADING / radius * (np.cos(light) * x + np.sin(light) * y)
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x

    pattern, shape = kind
    inside = SHAPES[shape](x / radius, y / radius)
    period = np.exp(rng.uniform(*np.log(_PERIOD))) * side / 96
    ink = PATTERNS[pattern](x / period, y / period, rng)

    # Complementary colours around mid-grey: an object's mean colour says nothing, neither of its class nor of itself.
    hue = rng.uniform(0, 2 * np.pi)
    tint = rng.uniform(*_CHROMA) * (np.cos(hue) * _CHROMA_AXES[0] + np.sin(hue) * _CHROMA_AXES[1])
    half_difference = (tint + rng.uniform(*_CONTRAST) * rng.choice((-1, 1))).astype(np.float32)
    colours = np.stack([0.5 - half_difference, 0.5 + half_difference])
    canvas[top:bottom, left:right][inside] = (colours[ink.astype(np.uint8)] * shade[..., None])[inside]
    owner[top:bottom, left:right][inside] = number
