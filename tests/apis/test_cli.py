"""A user's mistake ends as one line and status 2; a defect of the program keeps its traceback."""

import argparse

import pytest
import torch
from mmengine.config import ConfigDict

from mmdclpp.apis._cli import add_launcher, run_tool, user_message
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS


def raised(function, *args, **kwargs) -> Exception:
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError('nothing was raised')


def fail(error: BaseException):
    raise error


class Unreadable(torch.utils.data.Dataset):
    def __init__(self, error: Exception):
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        raise self.error


@MODELS.register_module()
class NeedsWidth(torch.nn.Linear):
    def __init__(self, width: int, **kwargs):
        super().__init__(width, width, **kwargs)
        if width > 9:
            None + width  # a defect, not the user's


def test_a_users_mistake_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as stop:
        run_tool(lambda: fail(UserError('loss_lambda=2 is\nwrong: use 0 to 1')))
    assert stop.value.code == 2
    assert capsys.readouterr().err == 'error: loss_lambda=2 is wrong: use 0 to 1\n'


@pytest.mark.parametrize('flag', ['--local-rank', '--local_rank'])
def test_the_rank_that_torch_distributed_launch_hands_over_is_accepted_and_dropped(flag):
    parser = argparse.ArgumentParser()
    add_launcher(parser)
    args = parser.parse_args([f'{flag}=1', '--launcher', 'pytorch'])
    assert vars(args) == dict(launcher='pytorch')
    assert 'rank' not in parser.format_help()


@pytest.mark.parametrize(('returned', 'status'), [(None, None), (0, 0), (1, 1)])
def test_a_tool_exits_with_what_it_returns(returned, status):
    with pytest.raises(SystemExit) as stop:
        run_tool(lambda: returned)
    assert stop.value.code == status


def test_a_defect_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 / 0)


def test_of_all_processes_of_a_job_one_tells_the_error(monkeypatch, capsys):
    store = torch.distributed.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv('TORCHELASTIC_USE_AGENT_STORE', 'True')
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setenv('MASTER_PORT', str(store.port))
    for rank in range(3):
        with pytest.raises(SystemExit) as stop:
            run_tool(lambda rank=rank: fail(UserError(f'no data on rank {rank}')))
        assert stop.value.code == 2
    assert capsys.readouterr().err == 'error: no data on rank 0\n'


@pytest.mark.parametrize('kind', [UserError, FileNotFoundError])
def test_an_error_in_a_data_worker_says_what_the_worker_said(kind):
    loader = torch.utils.data.DataLoader(Unreadable(kind('image a.jpg: broken')), num_workers=1)
    assert user_message(raised(next, iter(loader))).startswith('image a.jpg: broken')


def test_a_missing_file_is_named():
    assert "'no/such.json'" in user_message(raised(open, 'no/such.json'))


def test_an_incomplete_installation_points_to_the_check():
    assert 'tools/check_env.py' in user_message(ModuleNotFoundError("No module named 'mmcv'", name='mmcv'))


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='NoSuchHead'), "type='NoSuchHead' in the config names no model known to mmdclpp"),
        (dict(width=3), 'must contain the key "type"'),
        (dict(type='NeedsWidth'), "missing 1 required positional argument: 'width'"),
        (dict(type='NeedsWidth', width=3, hight=4), "unexpected keyword argument 'hight'"),
    ],
)
def test_a_config_that_fits_no_class_is_the_users_mistake(config, message):
    line = user_message(raised(MODELS.build, ConfigDict(config)))
    assert message in line
    assert '\n' not in line


@pytest.mark.parametrize(
    'error',
    [
        ModuleNotFoundError("No module named 'mmdclpp.oops'", name='mmdclpp.oops'),
        KeyError('oops'),
        TypeError('oops'),
        RuntimeError('oops'),
    ],
)
def test_other_errors_are_defects(error):
    assert user_message(raised(fail, error)) is None


def test_an_error_in_the_body_of_a_class_is_a_defect():
    error = raised(MODELS.build, ConfigDict(type='NeedsWidth', width=10))
    assert isinstance(error, TypeError)
    assert user_message(error) is None


def test_an_interrupted_tool_says_so_in_a_word_and_ends_as_shells_have_it(capsys):
    with pytest.raises(SystemExit) as end:
        run_tool(lambda: fail(KeyboardInterrupt()))
    assert end.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'
