"""The scripts of docs/figures draw the figures that pages show."""

import runpy

import pytest
from PIL import Image

from .pages import DOCS


@pytest.mark.parametrize('script', sorted(DOCS.glob('figures/*.py')), ids=lambda script: script.stem)
def test_a_script_draws_the_figure_that_is_kept(script, tmp_path):
    drawn = tmp_path / 'figure.png'
    runpy.run_path(str(script))['main'](drawn)
    kept = DOCS / 'images' / f'{script.stem}.png'
    assert kept.name in (DOCS / 'method.md').read_text(encoding='utf-8')
    with Image.open(drawn) as new, Image.open(kept) as old:
        assert new.size == pytest.approx(old.size, rel=0.02)  # fonts
