import os

import pytest

from mmdclpp.datasets.preparation import progress
from mmdclpp.datasets.preparation.progress import apply_to_all, readable_size, show_progress


def name_and_process(item):
    if item == 7:
        raise ValueError('seven')
    return f'<{item}>', os.getpid()


@pytest.mark.parametrize('workers', [1, 2])
def test_results_come_in_order_from_this_or_from_other_processes(workers):
    results = list(apply_to_all(name_and_process, range(10, 110), 'names', workers))
    assert [name for name, _ in results] == [f'<{item}>' for item in range(10, 110)]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)


@pytest.mark.parametrize('workers', [1, 2])
def test_what_fails_is_raised(workers):
    with pytest.raises(ValueError, match='seven'):
        list(apply_to_all(name_and_process, range(1000), 'names', workers))


def test_nothing_to_do_is_done(capsys):
    assert list(apply_to_all(name_and_process, [], 'names', 2)) == []


def test_without_a_terminal_each_tenth_is_a_line_with_rate_and_time_left(monkeypatch, capsys):
    clock = iter(range(0, 10000, 10))
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
    with show_progress('train2017.zip', 20_000_000, done=10_000_000, in_bytes=True) as advance:
        for _ in range(10):
            advance(1_000_000)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('train2017.zip: 12.0 MB of 20.0 MB, ')
    assert lines[0].endswith('/s, 0:30 gone, 2:00 left')
    assert lines[-1].startswith('train2017.zip: 20.0 MB of 20.0 MB, ') and lines[-1].endswith(', 0:00 left')
    assert 5 <= len(lines) <= 7


def test_in_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stdout, 'isatty', lambda: True)
    monkeypatch.setenv('COLUMNS', '100')
    for in_bytes, text in ((True, '4/4 bytes'), (False, '4/4')):
        with show_progress('label', 4, in_bytes=in_bytes) as advance:
            advance(4)
        assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    'size, text', [(999, '999 B'), (1000, '1.0 kB'), (2_500_000, '2.5 MB'), (19336861798, '19.3 GB')]
)
def test_sizes_are_readable(size, text):
    assert readable_size(size) == text
