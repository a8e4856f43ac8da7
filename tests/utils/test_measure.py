import sys

import torch

from mmdclpp.utils.measure import allocations, peak_memory

MIB = 2**20


def test_the_peak_is_what_is_held_at_a_time():
    values = torch.ones(MIB // 4)  # of one MiB

    def hold_two_of_five():
        kept = values + 1
        for _ in range(3):
            kept = kept * 2  # each lets go of the one before
        return kept + kept

    assert 2 * MIB <= peak_memory(hold_two_of_five) < 2 * MIB + 1024  # and a few scalars
    assert sum(size >= MIB for size in allocations(hold_two_of_five)) == 5


def test_the_backward_pass_counts_and_what_was_there_before_does_not():
    values = torch.ones(MIB // 4, requires_grad=True)
    assert 3 * MIB <= peak_memory(lambda: values.exp().square().sum().backward()) < 5 * MIB


def test_errors_come_through_and_the_error_stream_comes_back(capfd):
    try:
        peak_memory(lambda: 1 / 0)
    except ZeroDivisionError:
        print('told', file=sys.stderr)
    assert 'told' in capfd.readouterr().err
