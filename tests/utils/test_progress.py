import re

import pytest

from mmdclpp.utils import progress
from mmdclpp.utils.progress import ProgressBar, readable_size


@pytest.fixture
def seconds(monkeypatch):
    """A clock that stands still until it is moved."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(progress.time, 'monotonic', lambda: Clock.now)
    return Clock


def test_without_a_terminal_a_line_is_printed_at_every_tenth_that_is_passed(seconds, capsys):
    with ProgressBar('work', total=40, done=10) as bar:
        for done in (11, 12, 13, 30, 40):
            seconds.now += 4
            bar.update(done, note=f'at {done}')
    assert capsys.readouterr().out.splitlines() == [
        'work   30 %  at 12  1:52 left, 0:08 gone',
        'work   75 %  at 30  0:08 left, 0:16 gone',
        'work  100 %  at 40  0:00 left, 0:20 gone',
    ]


@pytest.mark.parametrize(('step', 'lines'), [(0.01, 1), (1, 10), (120, 100)])
def test_fast_work_has_fewer_lines_and_slow_work_more(seconds, capsys, step, lines):
    with ProgressBar('work', total=100) as bar:
        for _ in range(100):
            seconds.now += step
            bar.advance()
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_bytes_are_shown_with_their_rate(seconds, capsys):
    with ProgressBar('train2017.zip', 20_000_000, done=10_000_000, unit='byte') as bar:
        for _ in range(10):
            seconds.now += 10
            bar.advance(1_000_000)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == 'train2017.zip  14.0 MB of 20.0 MB, 100.0 kB/s  1:00 left, 0:40 gone'
    assert len(lines) == 5 and lines[-1].startswith('train2017.zip  20.0 MB of 20.0 MB, 100.0 kB/s  0:00 left')


def test_of_a_number_that_is_not_known_the_count_is_shown_at_the_end(seconds, capsys):
    with ProgressBar('reading', None, unit='file') as bar:
        seconds.now += 2
        bar.advance(1200)
    assert capsys.readouterr().out == 'reading  1,200, 600/s  0:02 gone\n'


def test_of_several_processes_the_others_show_nothing(capsys):
    with ProgressBar('work', total=2, visible=False) as bar:
        bar.update(2)
    assert bar.done == 2
    assert capsys.readouterr().out == ''


def test_in_a_terminal_there_is_a_bar_and_what_is_printed_stands_above_it(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stdout, 'isatty', lambda: True)
    monkeypatch.setenv('COLUMNS', '120')
    with ProgressBar('label', 4, unit='file') as bar:
        bar.advance(2)
        print('a warning')
        bar.advance(2)
    shown = capsys.readouterr().out
    assert '4 of 4' in shown
    assert re.search(r'a warning\s*\n.*4 of 4', shown, re.DOTALL)


@pytest.mark.parametrize(
    'size, text', [(999, '999 B'), (1000, '1.0 kB'), (2_500_000, '2.5 MB'), (19336861798, '19.3 GB')]
)
def test_sizes_are_readable(size, text):
    assert readable_size(size) == text
