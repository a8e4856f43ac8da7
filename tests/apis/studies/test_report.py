"""The reports of studies."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from rich.console import Console

from mmdclpp.apis.studies.definitions import STUDIES
from mmdclpp.apis.studies.report import print_study, write_study_report
from mmdclpp.utils.files import write_whole

from .outcomes import SMALL, TINY, all_kinds, failed, outcome

PICTURES = {
    'methods': ['comparison'],
    'lambda': ['map'],
    'negatives': ['factors_coco-linear', 'grid_coco-linear', 'factors_voc-linear', 'grid_voc-linear'],
    'cross-view': ['similarity', 'similarities_backbone', 'similarities_projection'],
    'reconstruction': ['map'],
}
TITLES = ['What was run', 'Results', 'Pictures', 'Runs that are not done', 'Configs']


@pytest.fixture(autouse=True)
def unrendered(monkeypatch):
    """Draw every picture, but write an empty one instead: laying them out takes seconds."""

    def save(figure, out_png):
        picture = io.BytesIO()
        Image.new('RGB', (30, 20), 'white').save(picture, 'PNG')
        return write_whole(out_png, picture.getvalue())

    for name in ('comparison', 'lines', 'factors', 'heat', 'histograms'):
        monkeypatch.setattr(f'mmdclpp.visualization.{name}.save_figure', save)


class Page(HTMLParser):
    """The links, texts and elements of a page; fails on what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.open, self.titles, self.tags = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ('src', 'href', 'srcset', 'data', 'action')]
        if tag not in ('meta', 'img'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == 'h2':
            self.titles.append(data)


@pytest.mark.parametrize('name', STUDIES)
def test_a_report_has_all_parts_and_its_page_needs_nothing_else(tmp_path, name):
    found = all_kinds(name)
    files = write_study_report(
        STUDIES[name], SMALL, found, tmp_path / 'new' / name, command='python tools/study.py <x>'
    )
    names = ['report.md', *(f'{picture}.png' for picture in PICTURES[name]), 'report.html', 'results.json']
    assert [file.name for file in files] == names
    assert sorted(names) == sorted(file.name for file in files[0].parent.iterdir())

    text = files[0].read_text()
    assert re.findall(r'!\[[^\n]*\]\((.*)\)', text) == [f'{picture}.png' for picture in PICTURES[name]]
    assert re.findall(r'^## (.*)$', text, flags=re.M) == TITLES
    assert (
        'abc123' in text
        and 'PyTorch' in text
        and f'{len(found)} done'.replace(str(len(found)), str(len(found) - 1)) in text
    )
    assert r'a \| b \<i> \*c\* (log: runs/x.log)' in text and r'tools/study.py \<x>' in text

    html = files[-2].read_text()
    page = Page(html)
    assert page.titles == TITLES
    assert len(page.links) == len(PICTURES[name])
    assert all(link.startswith('data:image/png;base64,') for link in page.links)
    assert not re.search(r'https?:|@import|url\(', html) and not {'script', 'link', 'iframe', 'i'} & set(page.tags)
    assert 'a | b &lt;i&gt; *c*' in html
    assert page.tags.count('details') == len(STUDIES[name].settings(SMALL))
    assert f'# {found[0].setting.name}' in html  # its config


def test_the_page_holds_its_pictures_in_their_size(tmp_path):
    files = write_study_report(STUDIES['lambda'], SMALL, all_kinds('lambda'), tmp_path / 'new' / 'folder')
    (data, *size) = re.findall(
        r'<img src="data:image/png;base64,([^"]*)" width="(\d+)" height="(\d+)"', files[2].read_text()
    )[0]
    assert base64.b64decode(data) == files[1].read_bytes()
    assert [int(side) for side in size] == [19, 13]  # 30 × 20 at 150 dots an inch, in CSS pixels


def test_json_holds_every_run(tmp_path):
    found = all_kinds('cross-view')
    *_, file = write_study_report(STUDIES['cross-view'], SMALL, found, tmp_path)
    read = json.loads(file.read_text(), parse_constant=pytest.fail)
    runs = [(setting['factors'], run) for setting in read['settings'] for run in setting['runs']]
    assert len(runs) == len(found)
    done = found[2]
    factors, run = next((f, run) for f, run in runs if f == done.setting.factors and run['seed'] == done.seed)
    assert run['metrics'] == {key: value['metrics'] for key, value in done.evaluations.items()}
    assert run['similarities']['intra'] == done.similarities['intra']
    assert run['similarities']['projection']['inter'] == done.similarities['projection']['inter']
    assert (run['status'], run['commit'], run['folder']) == ('done', 'abc123', done.folder)
    assert [run['status'] for _, run in runs].count('failed') == 1


@pytest.mark.parametrize('name', STUDIES)
def test_a_study_without_a_result_says_so(tmp_path, name):
    study = STUDIES[name]
    for found in ([], [failed(setting) for setting in study.settings(TINY)]):
        files = write_study_report(study, TINY, found, tmp_path / str(len(found)))
        assert [file.name for file in files] == ['report.md', 'report.html', 'results.json']
        assert 'No run has a result yet.' in files[0].read_text()
        console = Console(file=io.StringIO(), record=True)
        print_study(study, TINY, found, console)
        assert 'No run has a result yet.' in console.export_text()


@pytest.mark.parametrize('name', STUDIES)
def test_a_single_result_is_reported(tmp_path, name):
    study = STUDIES[name]
    settings = study.settings(TINY)
    found = [outcome(settings[-1], scenes_linear=(70.0, 50.0)), *map(failed, settings[:-1])]
    text = write_study_report(study, TINY, found, tmp_path)[0].read_text()
    assert '70.0' in text and 'nan' not in text


def test_runs_that_settings_share_are_counted_once(tmp_path):
    first, second, *_ = STUDIES['lambda'].settings(TINY)
    shared = outcome(first, scenes_linear=1.0)
    found = [shared, shared._replace(setting=second)]
    text = write_study_report(STUDIES['lambda'], TINY, found, tmp_path)[0].read_text()
    assert '- Runs: 1 done\n' in text and '- Computed in: 1.0 min' in text


def test_the_terminal_shows_the_tables_with_the_best():
    console = Console(file=io.StringIO(), record=True, width=100)
    print_study(STUDIES['methods'], SMALL, all_kinds('methods'), console)
    text = console.export_text()
    assert all(
        word in text for word in ('The best setting of each method', 'COCO mAP', 'DenseCL++*', 'VOC mIoU', '59.9')
    )
    assert max(map(len, text.splitlines())) <= 100
