import re

from mmengine.runner import Runner

from mmdclpp.apis import train


def test_without_a_terminal_progress_is_one_line_at_every_tenth(classifier_config, tmp_path, capsys):
    options = {
        'custom_hooks': [dict(type='ProgressHook', _scope_='mmdclpp', label='step')],
        'train_cfg.max_epochs': 5,
        'log_level': 'ERROR',
    }
    runner = train(classifier_config, work_dir=tmp_path / 'run', validate=False, cfg_options=options)
    assert isinstance(runner, Runner) and runner.max_iters == 20
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('step')]
    assert [int(re.search(r'(\d+) %', line)[1]) for line in lines] == list(range(10, 101, 10))
    assert all(re.search(r'loss \d+\.\d+  \d+:\d\d gone, \d+:\d\d left', line) for line in lines)
