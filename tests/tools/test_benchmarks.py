"""The benchmarks as a user runs them, at sizes that say nothing about speed."""

import json

import pytest

from .test_train import error_line

TRAIN_STEP = 'tools/benchmarks/train_step.py'
FEATURE_EXTRACTION = 'tools/benchmarks/feature_extraction.py'
DATA_PATH = 'tools/benchmarks/data_path.py'
LOSS_COST = 'tools/benchmarks/loss_cost.py'
SMALL = '--arch vit-s16 --size 32 --images 2 --iters 2 --warmup 1 --device cpu --dtype float32'.split()


def test_train_step_writes_what_it_measured_and_on_what(run, tmp_path):
    methods = ['encoder', 'simclr', 'densecl-mmpretrain', 'densecl_pp_star']
    arguments = [*SMALL, '--world-size', 2, '--methods', *methods, '--json', 'results.json']
    result = run(TRAIN_STEP, *arguments)
    assert result.returncode == 0, result.stderr

    report = json.loads((tmp_path / 'results.json').read_text())
    assert report['command'] == f'python {TRAIN_STEP} {" ".join(map(str, arguments))}'
    assert report['flags']['size'] == 32
    assert report['hardware']['threads'] == 1
    assert {'python', 'torch', 'mmdclpp'} <= set(report['versions'])

    measured = report['results']['vit-s16']
    assert measured['positions'] == 4
    steps = measured['steps']
    assert list(steps) == methods
    for step in steps.values():
        assert 0 < step['lower'] <= step['median'] <= step['upper']
        assert 0 < step['kept_bytes'] < step['peak_bytes']
    assert steps['simclr']['to_simclr'] == 1
    # The momentum encoder and the queues of mmpretrain's DenseCL.
    assert steps['densecl-mmpretrain']['kept_bytes'] > 1.3 * steps['encoder']['kept_bytes']

    assert list(measured['losses']) == ['densecl_pp_star']
    parts = measured['losses']['densecl_pp_star']
    assert list(parts) == ['matching', 'drawing', 'scoring', 'loss', 'total']
    for part in (*parts.values(), measured['projector']):
        assert part['median'] > 0
        assert part['to_simclr'] == pytest.approx(part['median'] / steps['simclr']['median'])
    assert measured['negatives']['densecl_pp_star'][1] == 'CrossViewNegatives(num_negatives=2)'

    rows = [line.split('|')[1].strip() for line in result.stdout.splitlines() if line.startswith('|')]
    assert [row for row in rows if row in methods] == methods
    assert set(parts) <= set(rows)
    assert '4 views of 8 in the batch, the other processes simulated' in result.stdout


def test_feature_extraction_writes_its_speed_beside_the_bare_backbone(run, tiny_coco, tmp_path):
    sizes = '--device cpu --arch vit-s16 --count 3 --batch-size 2 --rounds 1 --warmup 1 --json results.json'
    result = run(FEATURE_EXTRACTION, *sizes.split(), '--images', tiny_coco / 'images')
    assert result.returncode == 0, result.stderr
    cases = json.loads((tmp_path / 'results.json').read_text())['results']['vit-s16']
    assert list(cases) == ['bare', 'extraction', 'loading alone']
    for case in cases.values():
        assert 0 < case['lower'] <= case['median'] <= case['upper']
        assert case['to_bare'] == pytest.approx(case['median'] / cases['bare']['median'])
    rows = [line.split('|')[2].strip() for line in result.stdout.splitlines() if line.startswith('| vit-s16')]
    assert rows == list(cases)
    assert 'features' not in result.stdout  # the extraction's own progress is kept off the table


def test_data_path_writes_what_it_measured_of_every_pipeline(run, tiny_coco, tmp_path):
    sizes = '--count 2 --size 32 --batch-size 2 --num-workers 1 --rounds 1 --json results.json'
    result = run(DATA_PATH, '--images', tiny_coco / 'images', *sizes.split())
    assert result.returncode == 0, result.stderr
    files, *parts = json.loads((tmp_path / 'results.json').read_text())['results'].items()
    assert files[1]['enlarged'] == files[1]['paths'] == 2
    assert (files[1]['mean_height'], files[1]['mean_width']) == (480, 480)

    assert [name for name, _ in parts] == ['core', 'photometric', 'decoding', 'machine', 'memory']
    measured = dict(parts)
    for case in measured['core'].values():
        assert case['loader']['median'] + case['device']['median'] == pytest.approx(case['total']['median'])
    measured['core'] = {name: case['total'] for name, case in measured['core'].items()}
    for part in measured.values():
        assert all(0 < case['lower'] <= case['median'] <= case['upper'] for case in part.values())
    rows = [line.split('|')[1].strip() for line in result.stdout.splitlines() if line.startswith('| ')]
    names = [name for part in measured.values() for name in part]
    assert [row for row in rows if row in names] == names


@pytest.mark.slow
def test_data_path_reads_from_the_log_how_long_a_step_waits(run, tiny_coco, tmp_path):
    sizes = '--part waiting --count 8 --batch-size 2 --num-workers 1 --iters 2 --json results.json'
    result = run(DATA_PATH, '--images', tiny_coco / 'images', *sizes.split())
    assert result.returncode == 0, result.stderr
    measured = json.loads((tmp_path / 'results.json').read_text())['results']['waiting']
    assert list(measured) == ['batched', 'mmpretrain']
    for case in measured.values():
        assert 0 < case['waiting'] < case['step']
        assert case['share'] == pytest.approx(case['waiting'] / case['step'])


@pytest.mark.parametrize(
    ('tool', 'flags', 'message'),
    [
        (TRAIN_STEP, '--iters 0', "argument --iters: '0' must be a whole number of 1 or more"),
        (TRAIN_STEP, '--device cuda', 'argument --device: torch finds no GPU: use cpu'),
        (
            TRAIN_STEP,
            '--json gone/results.json',
            "argument --json: 'gone/results.json' must be a file in a folder that exists",
        ),
        (TRAIN_STEP, '--size 100', '--size 100: vit-s16 and r50 need a multiple of 16, 64 or more'),
        (TRAIN_STEP, '--images 3', "the 65536 keys of mmpretrain's DenseCL are no multiple of a batch of 3"),
        (DATA_PATH, '--config gone.py', '--config gone.py does not exist'),
        (LOSS_COST, '--views 3', "argument --views: '3' must be an even number of 4 or more, two views an image"),
        (
            LOSS_COST,
            '--positions 49 1',
            '--positions 1 leaves no cross-view negatives: use 2 or more, or --negatives without',
        ),
        (LOSS_COST, '--memory-budget 16 none', "argument --memory-budget: 'none' must be a number above 0"),
        (
            LOSS_COST,
            '--plot gone/plots',
            "argument --plot: 'gone/plots' must be a folder, or a new one in a folder that exists",
        ),
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(run, tool, flags, message):
    result = run(tool, *flags.split())
    assert message in error_line(result)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_training_flags_compares_steps_with_and_without_them(run, tmp_path):
    flags = ['none', 'ema', 'grad-checkpointing']
    sizes = '--size 64 --images 8 --rounds 1 --device cpu'.split()
    result = run('tools/benchmarks/training_flags.py', '--flags', *flags, *sizes, '--json', 'results.json')
    assert result.returncode == 0, result.stderr
    measured = json.loads((tmp_path / 'results.json').read_text())['results']
    assert list(measured) == flags
    assert all(step['median'] > 0 and step['peak_bytes'] > 0 for step in measured.values())
