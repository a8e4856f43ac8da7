"""The common look of the pictures, and how they reach the disk."""

import io
import os
from pathlib import Path
from typing import Union

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdclpp.errors import UserError

PathLike = Union[str, 'os.PathLike[str]']

DPI = 150

# Okabe and Ito's colour-blind-safe set (jfly.uni-koeln.de/color) without black and yellow, which vanish on photographs
# and on white.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00')
INK = '#222222'
FAINT = '#8A8A8A'

TITLE = {'fontsize': 10, 'color': INK}
LABEL = {'fontsize': 9, 'color': INK}
NOTE = {'fontsize': 8, 'color': INK}


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
    path = Path(out_png)
    picture = io.BytesIO()
    # Tight: images keep their aspect, so that the layout can leave a margin or lack one.
    figure.savefig(picture, format='png', dpi=DPI, bbox_inches='tight', pad_inches=0.08, pil_kwargs={'optimize': True})
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(picture.getvalue())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f'{path} cannot be written ({error.strerror}): choose another place') from error
    return path
