"""tools/benchmarks/loss_cost.py as a user runs it, at sizes that say nothing about speed."""

import itertools
import json
from argparse import Namespace
from importlib.util import find_spec

import pytest

LOSS_COST = 'tools/benchmarks/loss_cost.py'
DENSE = ('ours', 'recompute', 'plain')
GLOBAL = ('ours', 'plain', 'mmpretrain')


def test_every_loss_of_the_grid_is_measured_and_drawn(run, tmp_path):
    sizes = '--device cpu --rounds 2 --views 4 8 --positions 4 --dim 16 --global-views 8 --dtype float32 bfloat16'
    negatives = ['all', 'guided-beta', 'densecl_pp_star']
    written = '--json results.json --plot plots'
    result = run(LOSS_COST, *sizes.split(), '--negatives', *negatives, *written.split())
    assert result.returncode == 0, result.stderr

    report = json.loads((tmp_path / 'results.json').read_text())
    assert report['flags']['negatives'] == negatives
    rows = {(row['part'], row['negatives'], row['dtype'], row['views'], row['loss']): row for row in report['results']}
    dense = [('dense', kind, dtype, v) for kind in negatives for dtype in ('float32', 'bfloat16') for v in (4, 8)]
    of_global = [('global', 'all', dtype, 8) for dtype in ('float32', 'bfloat16')]
    for setting, loss in [*itertools.product(dense, DENSE), *itertools.product(of_global, GLOBAL)]:
        row, plain = rows[(*setting, loss)], rows[(*setting, 'plain')]
        assert 0 < row['lower'] <= row['median'] <= row['upper']
        assert row['peak_bytes'] > 0
        assert row['to_plain'] == pytest.approx(row['median'] / plain['median'])
        assert row['memory_to_plain'] == pytest.approx(row['peak_bytes'] / plain['peak_bytes'])
    # The bare products are those of candidates that all anchors share.
    assert rows['dense', 'all', 'float32', 8, 'bare']['median'] > 0
    assert rows['dense', 'all', 'float32', 8, 'ours']['to_bare'] > 0
    assert rows['dense', 'guided-beta', 'float32', 8, 'bare']['median'] is None

    assert rows['global', 'all', 'float32', 8, 'inf_cl']['median'] is None
    assert 'inf_cl runs on CUDA only' in result.stdout
    has_lightly = find_spec('lightly') is not None
    assert (rows['global', 'all', 'float32', 8, 'lightly']['median'] is not None) == has_lightly
    assert ('pip install -r requirements/benchmarks.txt' in result.stdout) != has_lightly

    lines = [[cell.strip() for cell in line.split('|')[1:-1]] for line in result.stdout.splitlines() if '|' in line]
    assert ['ours', '8', '4'] in [cells[:3] for cells in lines]
    plots = sorted(path.name for path in (tmp_path / 'plots').iterdir())
    losses = ['dense_all', 'dense_densecl_pp_star', 'dense_guided-beta', 'global']
    assert plots == sorted(f'{loss}_16_{dtype}.png' for loss in losses for dtype in ('bfloat16', 'float32'))


def test_budgets_are_compared_and_large_logits_left_out(run, tmp_path):
    flags = '--part dense --views 32 --positions 8 --dim 16 --negatives all --rounds 1 --device cpu --json results.json'
    result = run(LOSS_COST, *flags.split(), '--memory-budget', 4, 0.03, '--max-plain-gib', 0.0001)
    assert result.returncode == 0, result.stderr
    rows = {row['loss']: row for row in json.loads((tmp_path / 'results.json').read_text())['results']}
    for loss in ('ours', 'recompute'):
        assert rows[f'{loss}, 0.03 MiB']['peak_bytes'] < rows[f'{loss}, 4 MiB']['peak_bytes']
    assert rows['plain']['median'] is rows['plain']['peak_bytes'] is rows['ours, 4 MiB']['to_plain'] is None
    assert 'left out where these take more than 0.0001 GiB' in result.stdout


@pytest.mark.parametrize(
    ('wrong', 'what'),
    [
        (lambda loss: 1.01 * loss.detach() + loss - loss.detach(), 'value'),
        (lambda loss: loss.detach() + 1.01 * (loss - loss.detach()), 'gradient'),
    ],
)
def test_losses_that_differ_are_not_compared(repo, monkeypatch, wrong, what):
    monkeypatch.syspath_prepend(repo / 'tools' / 'benchmarks')
    import _losses

    plain = _losses.full_logits_info_nce
    monkeypatch.setattr(_losses, 'full_logits_info_nce', lambda *inputs: wrong(plain(*inputs)))
    setting = _losses.Setting('dense', 'all', dim=16, dtype='float32', views=4, positions=4)
    args = Namespace(device='cpu', memory_budget=[None], pair_channels=8, max_plain_gib=1, rounds=1)
    with pytest.raises(AssertionError, match=f'ours and plain differ in their {what} by 9.9e-03'):
        _losses.measure(setting, args, 'test')
