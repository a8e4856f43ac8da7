"""What the page of dense matches holds."""

import base64
import json
import re

import numpy as np
import pytest

from mmdclpp.errors import UserError
from mmdclpp.visualization import DensePairs, Pair, match_page
from mmdclpp.visualization.match_page import quantised
from tests.visualization.match_pages import dense_pairs, models, pairs, similarities


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    return match_page(pairs(), models(), tmp_path_factory.mktemp('page') / 'matches.html')


def data_of(path) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.+?)</script>', path.read_text())[1])


def unpacked(text, kind):
    return np.frombuffer(base64.b64decode(text), dtype=kind)


@pytest.mark.parametrize('low, high', [(-0.3, 0.97), (0.2, 0.2), (0.9999, 1.0)])
def test_a_byte_tells_a_similarity_to_half_a_step(low, high):
    values = np.random.default_rng(0).uniform(low, high, (30, 40))
    levels, lowest, highest = quantised(values)
    assert levels.dtype == np.uint8
    error = np.abs(lowest + levels * (highest - lowest) / 255 - values)
    assert error.max() <= (highest - lowest) / 510 * (1 + 1e-9)


def test_similarities_and_best_matches_are_numpys(written):
    data = data_of(written)
    for model, (name, dense) in zip(data['models'], models().items()):
        assert (model['name'], tuple(model['grid'])) == (name, dense.grid)
        for pair, match in enumerate(model['matches']):
            table = similarities(dense, pair)
            levels = unpacked(match['similarities'], np.uint8).reshape(table.shape)
            decoded = match['low'] + levels * (match['high'] - match['low']) / 255
            assert np.abs(decoded - table).max() <= np.ptp(table) / 510 + 1e-9
            for view, axis in enumerate((1, 0)):
                assert (unpacked(match['targets'][view], '<u2') == table.argmax(axis=axis)).all()
                np.testing.assert_allclose(unpacked(match['strengths'][view], '<f4'), table.max(axis=axis), rtol=1e-6)


def test_a_large_grid_is_averaged_until_the_page_fits_its_budget(tmp_path):
    dense = dense_pairs((16, 24))
    budget = 2 * (4 * 6) ** 2
    page = match_page(pairs(), {'A': dense}, tmp_path / 'm.html', budget)
    (model,) = data_of(page)['models']
    assert (model['grid'], model['computed']) == ([4, 6], [16, 24])
    pooled = [view.view(2, 4, 4, 6, 4, 6).mean(dim=(2, 4)).flatten(1, 2) for view in (dense.first, dense.second)]
    table = similarities(DensePairs(*pooled, (4, 6)), 1)
    assert (unpacked(model['matches'][1]['targets'][0], '<u2') == table.argmax(axis=1)).all()
    assert sum(len(unpacked(match['similarities'], np.uint8)) for match in model['matches']) == budget


def test_a_page_of_14_by_14_positions_is_small(tmp_path):
    assert match_page(pairs(), {'A': dense_pairs((14, 14))}, tmp_path / 'm.html').stat().st_size < 250_000


def test_no_name_ends_the_script(tmp_path):
    name = 'a$x_{b$</script><script>alert(1)</script><!--'
    page = match_page([pair._replace(title=name) for pair in pairs()], {name: dense_pairs((2, 2))}, tmp_path / 'm.html')
    assert page.read_text().count('</script') == 2 and '<!--' not in page.read_text()
    data = data_of(page)
    assert data['pairs'][0]['title'] == data['models'][0]['name'] == name


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(models={}), 'models is empty'),
        (dict(models={'A': dense_pairs((2, 2))._replace(grid=(3, 3))}), r'has 9 cells but positions \(A\)'),
        (dict(pairs=[Pair('x', (np.zeros((4, 4, 3)),) * 2)]), "images of 'x'.*float64"),
    ],
)
def test_inputs_that_do_not_belong_together_are_explained(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        match_page(**(dict(pairs=pairs(), models=models(), out_html=tmp_path / 'm.html') | change))
    assert not list(tmp_path.iterdir())
