"""What a reader of the page of dense matches finds in a real browser.

It is Chromium, driven by playwright: ``pip install playwright`` and ``apt-get install chromium``.
"""

import shutil

import numpy as np
import pytest

from mmdclpp.visualization import match_page
from tests.visualization.match_pages import GRIDS, models, pairs, similarities

pytestmark = [pytest.mark.slow, pytest.mark.ci]  # a browser starts

ROWS, COLUMNS = GRIDS['A']
MODELS = models()
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright: pip install playwright')
    if CHROMIUM is None:
        pytest.skip('needs Chromium: apt-get install chromium')
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield chromium
        chromium.close()


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    return match_page(pairs(), MODELS, tmp_path_factory.mktemp('page') / 'matches.html')


@pytest.fixture
def page(browser, written):
    """The page, opened; afterwards nothing was printed to the console, thrown or asked of a network."""
    opened = browser.new_page(viewport=dict(width=1280, height=900))
    complaints = []
    opened.on('console', lambda message: complaints.append(message.text))
    opened.on('pageerror', lambda error: complaints.append(str(error)))
    opened.on('request', lambda request: complaints.append(request.url))
    opened.goto(written.as_uri())
    opened.wait_for_selector('output strong')
    yield opened
    complaints.remove(written.as_uri())
    assert [text for text in complaints if not text.startswith('data:')] == []
    opened.close()


def canvas_at(page, view, row, column, panel=0, grid=(ROWS, COLUMNS)):
    """A canvas, and where on it the centre of a patch is."""
    canvas = page.locator('.panel').nth(panel).locator('canvas').nth(view)
    frame = canvas.bounding_box()
    return canvas, dict(x=frame['width'] * (column + 0.5) / grid[1], y=frame['height'] * (row + 0.5) / grid[0])


def told(page, panel=0) -> str:
    return page.locator('output').nth(panel).inner_text()


def expected(dense, pair, view, cell) -> str:
    """How the line under a panel begins, by numpy."""
    table = similarities(dense, pair)
    table = table if view == 0 else table.T
    target = table[cell].argmax()
    places = [f'row {index // dense.grid[1] + 1}, column {index % dense.grid[1] + 1}' for index in (cell, target)]
    mutual = 'mutual' if table[:, target].argmax() == cell else 'one-way'
    return f'similarity {table[cell, target]:.3f} · {places[0]} → {places[1]} · {mutual}'


@pytest.mark.parametrize('view', [0, 1])
def test_pointing_at_a_patch_tells_its_match_and_similarity(page, view):
    for row, column in ((0, 0), (2, 3), (3, 4)):
        canvas, position = canvas_at(page, view, row, column)
        canvas.hover(position=position)
        assert told(page).startswith(expected(MODELS['A'], 0, view, row * COLUMNS + column))


def test_all_models_show_the_same_place(page):
    canvas, position = canvas_at(page, 0, 0, 4)
    canvas.hover(position=position)
    assert told(page, 1).startswith(expected(MODELS['B<script>'], 0, 0, 2))  # the upper right one of 3 × 3
    assert page.locator('.panel h2').all_inner_texts() == list(MODELS)


def test_the_true_place_is_told_where_the_other_view_shows_it(page):
    """The place of row r, column c of the first view is 2·(1 - x) across the second one, where x is its own share."""
    canvas, position = canvas_at(page, 0, 1, 3)
    canvas.hover(position=position)
    output = page.locator('output').nth(0)
    target = int(output.get_attribute('data-target'))
    across, down = 2 * (1 - 3.5 / COLUMNS) * COLUMNS, 1.5
    away = np.hypot(across - (target % COLUMNS + 0.5), down - (target // COLUMNS + 0.5))
    assert f'{away:.1f} patches from the true place' in told(page)
    canvas, position = canvas_at(page, 0, 1, 0)
    canvas.hover(position=position)
    assert 'does not show this place' in told(page)


def test_the_more_similar_a_patch_the_brighter_it_is(page):
    """Seen with all of the colours and none of the image."""
    page.locator('#opacity').fill('100')
    canvas, position = canvas_at(page, 0, 2, 0)  # whose true place, and so its mark, is not in the other view
    canvas.hover(position=position)
    lightness = page.evaluate(
        """([rows, columns]) => {
          const {width, height} = document.querySelectorAll('canvas')[1];
          const {data} = document.querySelectorAll('canvas')[1].getContext('2d').getImageData(0, 0, width, height);
          return Array.from({length: rows * columns}, (_, cell) => {
            const x = Math.floor(((cell % columns) + 0.7) / columns * width);
            const y = Math.floor((Math.floor(cell / columns) + 0.7) / rows * height);
            const [red, green, blue] = data.subarray(4 * (y * width + x));
            return 0.299 * red + 0.587 * green + 0.114 * blue;
          });
        }""",
        [ROWS, COLUMNS],
    )
    order = similarities(MODELS['A'], 0)[2 * COLUMNS].argsort()
    assert np.diff(np.array(lightness)[order]).min() > -1 and max(lightness) - min(lightness) > 150


def test_a_click_pins_a_patch_until_escape_or_another_click_on_it(page):
    canvas, pinned = canvas_at(page, 0, 2, 1)
    _, elsewhere = canvas_at(page, 0, 0, 4)
    first, second = (expected(MODELS['A'], 0, 0, cell) for cell in (2 * COLUMNS + 1, 4))
    for release in (lambda: page.keyboard.press('Escape'), lambda: canvas.click(position=pinned)):
        canvas.click(position=pinned)
        canvas.hover(position=elsewhere)
        assert told(page).startswith(first)
        release()
        canvas.hover(position=elsewhere)
        assert told(page).startswith(second)


def test_the_arrow_keys_go_from_patch_to_patch_and_stop_at_the_edge(page):
    canvas = page.locator('canvas').nth(1)
    canvas.focus()
    page.keyboard.press('ArrowUp')  # from the middle, row 3, column 3
    page.keyboard.press('ArrowRight')
    assert told(page).startswith(expected(MODELS['A'], 0, 1, COLUMNS + 3))
    for _ in range(9):
        page.keyboard.press('ArrowLeft')
    assert told(page).startswith(expected(MODELS['A'], 0, 1, COLUMNS))
    page.keyboard.press('Tab')  # on to the next model's first view
    assert page.evaluate('document.activeElement.getAttribute("aria-label")').startswith('B<script>, first image')


def test_other_images_are_chosen_and_models_switched_off_and_on(page):
    page.get_by_label('a & b').check(force=True)
    canvas, position = canvas_at(page, 0, 3, 0)
    canvas.hover(position=position)
    assert told(page).startswith(expected(MODELS['A'], 1, 0, 3 * COLUMNS))
    assert 'true place' not in told(page)  # of two images nobody knows it
    page.get_by_label('A', exact=True).uncheck()
    assert [panel.is_visible() for panel in page.locator('.panel').all()] == [False, True]
    page.get_by_label('A', exact=True).check()
    assert page.locator('.panel').first.is_visible()


def test_it_fits_a_phone_and_a_tap_pins(browser, written):
    context = browser.new_context(viewport=dict(width=390, height=844), has_touch=True, color_scheme='dark')
    phone = context.new_page()
    phone.goto(written.as_uri())
    phone.wait_for_selector('output strong')
    assert phone.evaluate('document.documentElement.scrollWidth') <= 390
    canvas, position = canvas_at(phone, 0, 1, 1)
    canvas.tap(position=position)
    assert told(phone).startswith(expected(MODELS['A'], 0, 0, COLUMNS + 1))
    assert phone.evaluate('getComputedStyle(document.body).backgroundColor') == 'rgb(20, 24, 28)'
    context.close()
