import os

import pytest

from mmdclpp.datasets.preparation.progress import apply_to_all


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
