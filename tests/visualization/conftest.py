import itertools
import sys
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image


@pytest.fixture
def images() -> list:
    """Two noisy images that differ in shape, 48×64 and 48×48."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, width, 3), dtype=np.uint8) for width in (64, 48)]


@pytest.fixture
def positions() -> torch.Tensor:
    """Dense features of two images on a grid of 3×4, some of them scaled like a trained backbone's."""
    return torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 9)


@pytest.fixture
def drawn(monkeypatch, tmp_path) -> Callable[..., Figure]:
    """Call ``chart(rows, out_png, ...)`` for the figure that it would save: ``drawn(chart, rows, ...)``."""

    def draw(chart: Callable, rows: object, /, **kwargs) -> Figure:
        figures = []
        monkeypatch.setattr(sys.modules[chart.__module__], 'save_figure', lambda figure, _: figures.append(figure))
        chart(rows, tmp_path / 'chart.png', **kwargs)
        return figures[0]

    return draw


@pytest.fixture
def laid_out() -> Callable[[Figure], None]:
    """Assert that no panel, with its labels and texts, touches another, a title of the figure or a legend."""

    def check(figure: Figure) -> None:
        figure.draw_without_rendering()
        titles = [figure._suptitle, figure._supxlabel, figure._supylabel]
        parts = [*figure.axes, *figure.legends, *(title for title in titles if title is not None)]
        for one, other in itertools.combinations(parts, 2):
            assert not one.get_tightbbox().overlaps(other.get_tightbbox()), f'{one} lies on {other}'
        for axes in figure.axes:
            if axes.get_label() == '<colorbar>':
                continue
            assert min(axes.bbox.width, axes.bbox.height) > 0.5 * figure.dpi, 'the panel is too small to read'

    return check


@pytest.fixture
def read_picture() -> Callable[[Path], np.ndarray]:
    """Read a PNG, having asserted that it is alone in its folder, is not blank and has a clean margin."""

    def read(path: Path) -> np.ndarray:
        assert [file.name for file in path.parent.glob('*.png*')] == [path.name]
        assert not list(path.parent.glob('.*')), 'a temporary file was left behind'
        with Image.open(path) as picture:
            assert picture.format == 'PNG'
            assert round(picture.info['dpi'][0]) == 150
            pixels = np.array(picture.convert('RGB'))
        margin = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (margin == 255).all(), 'something is cut off at the border'
        assert (pixels != 255).any(axis=2).mean() > 0.01, 'blank'
        return pixels

    return read
