"""Two-colour surface patterns, alike in everything but their structure.

Every pattern covers half of the plane and has the same length of edges per
area (two for each unit), so that mean colour, contrast and edge energy do not
tell them apart. A pattern takes coordinates in units of its period and draws
its phase; orientation and polarity are the caller's to draw.
"""

from typing import Callable, Dict

import numpy as np

Pattern = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
_ROW = 0.75**0.5  # distance of the rows of a triangular lattice of unit spacing


def _striped(u, v):
    return u % 1 < 0.5


def _checked(u, v):
    return (np.floor(u) + np.floor(v)) % 2 < 1


def _dotted(u, v):
    """Discs on the triangular lattice."""
    ink = False
    for shift in (0, 0.5):
        x, y = (u + shift) % 1 - 0.5, (v / _ROW + 2 * shift) % 2 - 1
        ink |= np.hypot(x, _ROW * y) < 0.3712
    return ink


def _ringed(u, v):
    return np.hypot(u, v) % 1 < 0.5


def _netted(u, v):
    return np.maximum(u % 1, v % 1) < 0.5**0.5


def _zigzag(u, v):
    return (u + np.abs(v % 1 - 0.5) * 2) % 1 < 0.5


def _bricked(u, v):
    return (v % 1 < 0.68) & ((u + np.floor(v)) / 2 % 1 < 0.735)


def _triangular(u, v):
    v = v / _ROW
    return (np.floor(u + v / 2) + np.floor(u - v / 2) + np.floor(v)) % 2 < 1


def _periodic(ink, edges: float, reach: float = 8.0) -> Pattern:
    """Scale a pattern that has ``edges`` length per unit area to two, and draw its phase up to ``reach``."""
    scale = 2 / edges

    def pattern(u, v, rng):
        shift_u, shift_v = rng.uniform(0, reach, 2)
        return ink(u * scale + shift_u, v * scale + shift_v)

    return pattern


# The lengths of edges are those that give equal gradient energy at 8 px a period, where corners blur.
PATTERNS: Dict[str, Pattern] = dict(
    striped=_periodic(_striped, 2.0),
    checked=_periodic(_checked, 1.8),
    dotted=_periodic(_dotted, 2.6),
    ringed=_periodic(_ringed, 2.0, reach=0.4),  # the rings stay about the middle of the object
    netted=_periodic(_netted, 2.6),
    zigzag=_periodic(_zigzag, 4.1),
    bricked=_periodic(_bricked, 2.05),
    triangular=_periodic(_triangular, 2.95),
)
