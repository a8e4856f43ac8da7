"""tools/train.py and tools/test.py as a user runs them."""

import pytest


def error_line(result) -> str:
    """The one line that a user's mistake ends in."""
    assert result.returncode == 2, result.stderr
    assert 'Traceback' not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1
    return lines[0]


def test_a_run_is_trained_and_tested(run, classifier_config, tmp_path):
    trained = run('tools/train.py', classifier_config, '--work-dir', 'my run')
    assert trained.returncode == 0, trained.stderr
    assert 'eta:' in trained.stdout
    assert 'accuracy/top1' in trained.stdout

    tested = run('tools/test.py', classifier_config, 'my run/epoch_1.pth', '--out', 'm.json', '--out-item', 'metrics')
    assert tested.returncode == 0, tested.stderr
    assert 'accuracy/top1' in (tmp_path / 'm.json').read_text()


def test_a_mistake_is_one_line_and_status_2(run, classifier_config):
    result = run('tools/train.py', classifier_config, '--cfg-options', 'model.head.type=NoHead')
    assert "type='NoHead' in the config names no model" in error_line(result)


@pytest.mark.parametrize('tool', ['tools/train.py', 'tools/test.py'])
def test_help_names_the_flags_of_mmpretrain(run, tool):
    shown = run(tool, '--help').stdout
    flags = {
        'tools/train.py': '--resume --no-validate --auto-scale-lr --no-persistent-workers',
        'tools/test.py': '--out --out-item --show-dir --show --interval --wait-time --tta',
    }
    for flag in f'--work-dir --amp --no-pin-memory --cfg-options --launcher {flags[tool]}'.split():
        assert flag in shown
