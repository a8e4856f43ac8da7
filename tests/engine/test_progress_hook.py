import os
import re
import sys
import threading
from contextlib import contextmanager

import pytest
from mmengine.hooks import Hook

from mmdclpp.apis import train
from mmdclpp.registry import HOOKS

COLOUR = re.compile(r'\x1b\[[0-9;]*m')
ESCAPE = re.compile(r'\x1b\[[0-9;?]*[a-zA-Z]')
CURSOR_SHOWN = '\x1b[?25h'


@HOOKS.register_module(force=True)
class WarnOnce(Hook):
    """Writes to stderr in the third iteration, as ``warnings.warn`` does."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            print('look at this', file=sys.stderr)


class Terminal:
    """Stdout and stderr, while they are a terminal of 100 columns."""

    shown = ''

    @property
    def text(self) -> str:
        """What was shown, without colours and moves of the cursor."""
        return ESCAPE.sub('', self.shown)

    @contextmanager
    def attached(self):
        leader, follower = os.openpty()
        received = []

        def read():
            try:
                while block := os.read(leader, 1 << 16):
                    received.append(block)
            except OSError:  # so a terminal ends
                return

        reader = threading.Thread(target=read)
        reader.start()
        stream = os.fdopen(follower, 'w', buffering=1)
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = stream
        try:
            yield
            assert sys.stdout is sys.stderr is stream  # no bar has kept them
        finally:
            sys.stdout, sys.stderr = streams
            stream.close()
            reader.join()
            os.close(leader)
            self.shown = b''.join(received).decode().replace('\r\n', '\n')


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv('COLUMNS', '100')
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.delenv('NO_COLOR', raising=False)
    return Terminal()


def run(config, work_dir, **kwargs):
    options = {
        'custom_hooks': [dict(type='WarnOnce', _scope_='mmdclpp')],
        'train_cfg.max_epochs': 2,
        'default_hooks.logger.interval': 2,
    }
    return train(config, work_dir, validate=False, progress_bar=True, cfg_options=options, **kwargs)


def test_in_place_of_the_log_progress_is_a_line_now_and_then(classifier_config, tmp_path, capsys):
    options = dict(custom_hooks=[dict(type='ProgressHook', _scope_='mmdclpp', label='step')], log_level='ERROR')
    train(classifier_config, tmp_path / 'run', validate=False, cfg_options=options)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('step')]
    expected = r'step  100 %  epoch 1/1, 4/4  loss \d+\.\d{3}  lr 1\.00e-02  0:00 left, \d+:\d\d gone'
    assert re.fullmatch(expected, lines[-1])


def test_in_a_terminal_log_lines_and_warnings_stand_above_the_bar_and_the_log_file_has_none(
    classifier_config, tmp_path, terminal
):
    with terminal.attached():
        run(classifier_config, tmp_path / 'run')
    drawn = re.split(r'[\r\n]+', terminal.text)
    assert re.match(r'training .*100 %  epoch 2/2, 4/4  loss \d+\.\d{3}  lr 1\.00e-02  0:00 left', drawn[-2])
    assert terminal.shown.rstrip().endswith(CURSOR_SHOWN)
    for told in ('Epoch(train) [1][4/4]', 'Epoch(train) [2][2/4]', 'look at this'):
        (place,) = (number for number, line in enumerate(drawn) if told in line)
        assert not drawn[place].startswith('training ')
        assert any(line.startswith('training ') for line in drawn[place:])
    (file,) = (tmp_path / 'run').glob('*/*.log')
    log = file.read_text()
    assert 'Epoch(train) [2][2/4]' in log
    assert '100 %' not in log and '\x1b' not in log


@pytest.mark.parametrize('variable', ['TERM', 'NO_COLOR'])
def test_a_dumb_terminal_has_no_bar_and_colours_can_be_switched_off(
    classifier_config, tmp_path, terminal, monkeypatch, variable
):
    monkeypatch.setenv(variable, 'dumb')
    with terminal.attached():
        run(classifier_config, tmp_path / 'run')
    assert 'Epoch(train) [2][2/4]' in terminal.text
    bars = [line for line in re.split(r'[\r\n]', terminal.shown) if '%  epoch' in line]
    assert bool(bars) == (variable == 'NO_COLOR')
    assert not any(COLOUR.search(line) for line in bars)


def test_an_error_leaves_the_terminal_as_it_was(classifier_config, tmp_path, terminal, monkeypatch):
    def fail(self, runner, batch_idx, data_batch=None):
        raise ZeroDivisionError

    monkeypatch.setattr(WarnOnce, 'before_train_iter', fail)
    with terminal.attached(), pytest.raises(ZeroDivisionError):
        run(classifier_config, tmp_path / 'run')
    assert terminal.shown.rstrip().endswith(CURSOR_SHOWN)


def test_without_a_terminal_log_lines_are_all_and_a_resumed_run_has_a_bar_from_where_it_goes_on(
    classifier_config, tmp_path, capsys, terminal
):
    run(classifier_config, tmp_path / 'run')
    out = capsys.readouterr().out
    assert 'Epoch(train) [2][2/4]' in out and '100 %' not in out
    more = {'train_cfg.max_epochs': 4}
    with terminal.attached():
        train(classifier_config, tmp_path / 'run', True, validate=False, cfg_options=more, progress_bar=True)
    percents = [int(value) for value in re.findall(r'(\d+) %', terminal.text)]
    assert min(percents) > 50 and max(percents) == 100
