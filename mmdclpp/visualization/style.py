"""The common look of the pictures, and how they reach the disk."""

import io
import math
import textwrap
from pathlib import Path
from typing import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from mmdclpp.utils.files import PathLike, write_whole

DPI = 150
LINE = 28  # characters of a long name

# Okabe and Ito's colour-blind-safe set (jfly.uni-koeln.de/color) without black and yellow, which vanish on photographs
# and on white.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00')
INK = '#222222'
FAINT = '#8A8A8A'

# Names of users are no formulas, whatever dollars they have.
LITERAL = {'parse_math': False}
TITLE = {'fontsize': 10, 'color': INK, **LITERAL}
LABEL = {'fontsize': 9, 'color': INK, **LITERAL}
NOTE = {'fontsize': 8, 'color': INK, **LITERAL}


def new_figure(width: float, height: float) -> Figure:
    """A figure of ``width`` × ``height`` inches that lays itself out."""
    return Figure(figsize=(width, height), dpi=DPI, layout='constrained', facecolor='white')


def plain(axes: Axes) -> None:
    """Quiet axes for curves and bars: two spines, small ticks."""
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=INK)


def bare(axes: Axes) -> None:
    """Axes for an image: nothing but the image."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def folded(name: str) -> str:
    """A name for an axis or a legend: on two lines if it is long, without its middle if it is longer than those.

    What tells long names apart usually stands at their ends.
    """
    lines = textwrap.wrap(name, LINE)
    return '\n'.join(lines if len(lines) <= 2 else (name[:LINE], f'…{name[1 - LINE :]}'))


def literal(legend: Legend) -> None:
    """Take the names in a legend as they are, dollars included."""
    for text in legend.get_texts():
        text.set(**LITERAL)


def legend_below(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """A legend below everything else, in as many columns as the figure has room for; makes the figure higher by it."""
    names = [folded(name) for name in names]
    longest = max(len(line) for name in names for line in name.split('\n'))
    columns = min(len(names), max(1, int(figure.get_figwidth() / (0.5 + 0.07 * longest))))
    lines = math.ceil(len(names) / columns) * max(name.count('\n') + 1 for name in names)
    figure.set_figheight(figure.get_figheight() + 0.2 + 0.17 * lines)
    style = {'frameon': False, 'fontsize': 8, 'labelcolor': INK, 'ncols': columns, 'handlelength': 2.6}
    literal(figure.legend(handles, names, loc='outside lower center', **style))


def save_figure(figure: Figure, out_png: PathLike) -> Path:
    """Write a PNG that is there wholly or not at all; its folder is made if need be.

    Args:
        figure (Figure): The picture.
        out_png (str or PathLike): Where to.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If the file cannot be written.
    """
    picture = io.BytesIO()
    # Tight: images keep their aspect, so that the layout can leave a margin or lack one.
    figure.savefig(picture, format='png', dpi=DPI, bbox_inches='tight', pad_inches=0.08, pil_kwargs={'optimize': True})
    return write_whole(out_png, picture.getvalue())
