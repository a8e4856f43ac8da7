"""The hook's limits, and where it says that a process is."""

from types import SimpleNamespace

import pytest

from mmdclpp.engine import RankWatchHook
from mmdclpp.errors import UserError
from mmdclpp.utils.rank_watch import Place


@pytest.mark.parametrize('limits', [dict(beat_timeout=-1), dict(beat_timeout=None), dict(progress_timeout='long')])
def test_a_limit_is_a_number_of_seconds(limits):
    with pytest.raises(UserError, match=f'RankWatchHook: {next(iter(limits))}='):
        RankWatchHook(**limits)


def test_places_follow_each_other_in_the_order_of_training():
    hook = RankWatchHook()
    hook._watch = SimpleNamespace(place=Place())
    runner = SimpleNamespace(iter=0, train_dataloader=[0, 0])
    places = []

    def event(name, *arguments):
        getattr(hook, name)(runner, *arguments)
        places.append(hook._watch.place)

    event('before_train_epoch')
    for index in range(2):
        event('before_train_iter', index)
        event('after_train_iter', index)
        runner.iter += 1
    event('after_train_epoch')
    event('before_val_epoch')
    event('after_val_iter', 0)
    event('after_val_epoch')

    assert sorted(places) == places and len(set(places)) == len(places)
    assert [place.told for place in places] == [
        'at iteration 1 waiting for data',
        'at iteration 1 in its step',
        'at iteration 2 waiting for data',
        'at iteration 2 in its step',
        'at iteration 2 in the hooks after an epoch',
        'at iteration 2 in the hooks after an epoch',
        'at iteration 2 in validation',
        'at iteration 2 in validation',
        'at iteration 3 waiting for data',
    ]


def test_a_checkpoint_is_being_saved_until_the_next_event():
    hook = RankWatchHook()
    hook._watch = SimpleNamespace(place=Place((7, 1, 0), 'at iteration 7 in its step'))
    runner = SimpleNamespace(iter=6, train_dataloader=[0, 0])
    hook.before_save_checkpoint(runner, {})
    assert hook._watch.place == ((7, 1, 0), 'at iteration 7 in its step, saving a checkpoint', True)
    hook.after_train_iter(runner, 0)
    assert not hook._watch.place.saving


def test_a_config_may_set_the_limits(classifier_config):
    from mmdclpp.apis._runner import build_runner, load_config

    cfg = load_config(classifier_config, {'default_hooks.rank_watch.type': 'mmdclpp.RankWatchHook'})
    cfg.default_hooks.rank_watch.beat_timeout = 300
    cfg.work_dir = str(classifier_config.parent / 'out')
    runner = build_runner(cfg)
    assert RankWatchHook.of(runner).beat_timeout == 300
    assert sum(isinstance(hook, RankWatchHook) for hook in runner.hooks) == 1
