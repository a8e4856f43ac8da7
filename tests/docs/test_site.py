"""The documentation as a site, as ``make docs`` builds it."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .pages import DOCS

pytestmark = [pytest.mark.slow, pytest.mark.ci]


class Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.references = {''}, set()
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        self.anchors.add(attributes.get('id'))
        self.references.update(attributes[name] for name in ('href', 'src') if attributes.get(name))


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('site')
    build = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', '-d', folder / 'cache']
    result = subprocess.run(
        [*build, DOCS, folder / 'html'], cwd=DOCS.parent, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return folder / 'html'


def test_every_page_is_built_without_warnings(site):
    assert {path.relative_to(DOCS).with_suffix('.html') for path in DOCS.rglob('*.md')} <= {
        path.relative_to(site) for path in site.rglob('*.html')
    }


def test_internal_links_and_anchors_lead_somewhere(site):
    pages = {path: Page(path) for path in site.rglob('*.html')}
    broken = []
    for path, page in pages.items():
        for reference in page.references:
            scheme, host, target, _, anchor = urlsplit(reference)
            if scheme or host:
                continue
            place = (path.parent / unquote(target)).resolve() if target else path
            if not place.is_file() or (place in pages and unquote(anchor) not in pages[place].anchors):
                broken.append(f'{path.relative_to(site)}: {reference}')
    assert not broken
