import pytest

from .tiny_runs import assert_same, saved, start  # noqa: F401  a fixture


@pytest.mark.parametrize(('length', 'kept'), [(5, 7), (2, 4), (100, 12)])
def test_old_values_are_forgotten_and_all_else_is_the_same(start, tmp_path, length, kept):  # noqa: F811
    hook = {'default_hooks.history': dict(type='HistoryHook', length=length)}
    histories = start('bounded', hook).message_hub.log_scalars
    whole = start('whole', {'default_hooks.history.length': 1000}).message_hub.log_scalars
    assert len(histories['train/loss'].data[0]) == kept
    for part in (0, 1):
        assert_same(histories['train/loss'].data[part], whole['train/loss'].data[part][-kept:])
    checkpoints = [saved(tmp_path / name) for name in ('bounded', 'whole')]
    assert_same(*({key: value for key, value in one.items() if key != 'message_hub'} for one in checkpoints))


def test_a_window_over_the_whole_run_keeps_everything(start):  # noqa: F811
    processor = dict(
        window_size=10, custom_cfg=[dict(data_src='loss', method_name='mean', log_name='mean', window_size='global')]
    )
    options = {'default_hooks.history': dict(type='HistoryHook', length=4), 'log_processor': processor}
    assert len(start('run', options).message_hub.log_scalars['train/loss'].data[0]) == 12
