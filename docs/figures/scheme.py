"""Draw docs/images/scheme.png: what DenseCL++ computes, from an image to its losses.

Usage: python docs/figures/scheme.py [OUT.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from mmdclpp.datasets.scenes import draw_scene
from mmdclpp.visualization.style import COLOURS, FAINT, INK, bare, new_figure, save_figure

OUT = Path(__file__).resolve().parents[1] / 'images/scheme.png'
GRID, CELL = 6, 24
BLUE, ORANGE, GREEN = COLOURS[0], COLOURS[1], COLOURS[2]


def box(axes: Axes, x: float, y: float, text: str, colour: str, width: float = 1.5, height: float = 0.62) -> None:
    place = (x - width / 2, y - height / 2)
    style = {'boxstyle': 'round,pad=0,rounding_size=0.08', 'facecolor': (colour, 0.12), 'edgecolor': colour}
    axes.add_patch(FancyBboxPatch(place, width, height, linewidth=1.4, **style))
    axes.text(x, y, text, ha='center', va='center', fontsize=9, color=INK, linespacing=1.3)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = '') -> None:
    axes.annotate('', end, start, arrowprops={'arrowstyle': '-|>', 'color': FAINT, 'linewidth': 1.3})
    middle = np.mean([start, end], axis=0)
    axes.text(*middle + [0, 0.09], text, ha='center', va='bottom', fontsize=9, color=INK)


def picture(axes: Axes, pixels: np.ndarray, x: float, y: float, side: float, text: str, grid: bool) -> None:
    axes.imshow(pixels, extent=(x, x + side, y, y + side), interpolation='bilinear')
    for line in np.linspace(0, side, GRID + 1) if grid else ():
        axes.plot([x, x + side], [y + line] * 2, color='white', linewidth=0.6)
        axes.plot([x + line] * 2, [y, y + side], color='white', linewidth=0.6)
    axes.text(x + side / 2, y - 0.09, text, ha='center', va='top', fontsize=9, color=INK)


def main(out_png: Path) -> None:
    scene = draw_scene(np.random.default_rng(7), 12 * CELL).image[..., ::-1]
    figure = new_figure(9.6, 3.9)
    axes = figure.subplots()
    bare(axes)
    picture(axes, scene, 0, 1.35, 1.3, 'image', grid=False)
    picture(axes, scene[: 8 * CELL, 2 * CELL : 10 * CELL], 2.0, 2.25, 1.15, 'view v', grid=True)
    picture(axes, scene[2 * CELL : 10 * CELL, 3 * CELL : 11 * CELL][:, ::-1], 2.0, 0.6, 1.15, 'sibling s(v)', grid=True)
    arrow(axes, (1.35, 2.2), (1.95, 2.75))
    arrow(axes, (1.35, 1.8), (1.95, 1.25))
    box(axes, 4.25, 2.0, 'backbone', INK, width=1.2, height=1.1)
    arrow(axes, (3.2, 2.7), (3.6, 2.3))
    arrow(axes, (3.2, 1.3), (3.6, 1.7))

    box(axes, 6.35, 3.2, 'global projector', BLUE)
    box(axes, 6.35, 2.0, 'dense projector', ORANGE)
    box(axes, 6.35, 0.8, 'match k⁺\nby cosine similarity', GREEN, width=1.75)
    arrow(axes, (4.9, 2.4), (5.55, 3.05))
    axes.text(5.1, 2.95, 'class token\nor mean of f', ha='right', va='center', fontsize=9, color=INK)
    arrow(axes, (4.9, 2.0), (5.55, 2.0), 'f')
    arrow(axes, (4.9, 1.6), (5.42, 0.95), 'f')
    arrow(axes, (6.35, 1.64), (6.35, 1.17))
    axes.text(6.43, 1.4, 'or z', va='center', fontsize=9, color=INK)

    box(axes, 8.85, 3.2, 'global loss\nof SimCLR', BLUE)
    box(axes, 8.85, 2.0, 'dense loss:\nInfoNCE of positions', ORANGE, width=1.75)
    box(axes, 8.85, 0.8, 'dense negatives\nof other images', ORANGE, width=1.75)
    arrow(axes, (7.15, 3.2), (8.05, 3.2), 'g')
    arrow(axes, (7.15, 2.0), (7.93, 2.0), 'z')
    arrow(axes, (7.27, 0.95), (7.93, 1.75))
    axes.text(7.72, 1.3, 'positives', fontsize=9, color=INK)
    arrow(axes, (8.85, 1.17), (8.85, 1.64))

    box(axes, 11.1, 2.6, r'$(1-\lambda)\,L_g + \lambda\,L_d$', INK, width=1.75)
    arrow(axes, (9.65, 3.2), (10.2, 2.8))
    arrow(axes, (9.77, 2.0), (10.2, 2.4))
    axes.set(xlim=(-0.05, 12.05), ylim=(0.25, 3.7), aspect='equal')
    save_figure(figure, out_png)


if __name__ == '__main__':
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
