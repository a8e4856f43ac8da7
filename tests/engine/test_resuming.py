"""A run that was stopped goes on as if nothing had been, bit for bit."""

import pytest

from mmdclpp.apis import train
from mmdclpp.errors import Preempted, UserError

from .tiny_runs import assert_same, saved, start  # noqa: F401  a fixture

RUNS = {
    'plain': ({}, {}),
    'workers': ({'train_dataloader.num_workers': 2}, {}),
    'averaged weights': ({}, dict(ema=0.1)),
    # 12 iterations make 2 updates of 5 batches and one of 2: none at the end of an epoch but the last
    'accumulated gradients': ({}, dict(accumulate=5)),
    "mmpretrain's transforms": (
        {
            'train_dataloader.dataset.pipeline.0.backend': 'mmpretrain',
            'train_dataloader.dataset.pipeline.1.meta_keys': ('img_path', 'view_boxes', 'view_flips'),
            'train_dataloader.num_workers': 1,
        },
        {},
    ),
}


@pytest.mark.parametrize('name', RUNS)
def test_a_run_that_is_preempted_again_and_again_ends_as_one_that_was_not(start, tmp_path, name):  # noqa: F811
    options, arguments = RUNS[name]
    start('whole', options, **arguments)
    for iterations in (1, 3, 4, 6, 9, 11):
        with pytest.raises(Preempted, match=f'SIGTERM after iteration {iterations}: .*iter_{iterations}.pth is saved'):
            start('stopped', options, stop=(iterations, True), resume=True, **arguments)
    start('stopped', options, resume=True, stop=(12, True), **arguments)  # too late to be of use
    assert_same(saved(tmp_path / 'stopped'), saved(tmp_path / 'whole'))
    assert not list((tmp_path / 'stopped').glob('iter_*.pth')), 'what was saved in between is no longer needed'


@pytest.mark.parametrize('name', RUNS)
def test_a_run_that_is_killed_goes_on_from_its_last_epoch_and_ends_the_same(start, tmp_path, name):  # noqa: F811
    options, arguments = RUNS[name]
    start('whole', options, **arguments)
    for iterations in (2, 6, 11):
        with pytest.raises(KeyboardInterrupt):
            start('stopped', options, stop=(iterations, False), resume=True, **arguments)
    start('stopped', options, resume=True, **arguments)
    assert_same(saved(tmp_path / 'stopped'), saved(tmp_path / 'whole'))


def test_validation_is_done_again_where_it_may_have_been_cut_off_and_changes_nothing(classifier_config, tmp_path):
    checkpoint = dict(type='CheckpointHook', interval=1, save_best='accuracy/top1', max_keep_ckpts=2)
    options = {
        'train_cfg.max_epochs': 3,
        'default_hooks.checkpoint': checkpoint,
        'train_dataloader.sampler.shuffle': True,
    }

    def run(name, *stops, **arguments):
        hooks = [dict(type='mmdclpp.DrawsRandomly'), *stops]
        train(classifier_config, tmp_path / name, cfg_options={**options, 'custom_hooks': hooks}, seed=0, **arguments)

    run('whole')
    for stop in (
        dict(type='mmdclpp.StopsInValidation', epoch=1),
        dict(type='mmdclpp.StopsInValidation', epoch=3),
    ):
        with pytest.raises(KeyboardInterrupt):
            run('stopped', stop, resume=True)
    run('stopped', resume=True)
    # One whose checkpoint was written again by the validation, with its score.
    with pytest.raises(KeyboardInterrupt):
        run('later', dict(type='mmdclpp.StopsAfter', iterations=6, by_signal=False))
    run('later', resume=True)
    whole, stopped, later = (saved(tmp_path / name) for name in ('whole', 'stopped', 'later'))
    assert_same(stopped, whole)
    assert_same(later, whole)
    best = [[file.name for file in (tmp_path / name).glob('best_*')] for name in ('whole', 'stopped')]
    assert best[0] == best[1] and len(best[0]) == 1


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'model.backbone.arch.embed_dims': 32, 'model.neck.in_channels': 32}, 'size mismatch for backbone.cls_token'),
        ({'model.backbone.arch.num_layers': 2}, 'missing keys in source state_dict: backbone.layers.1'),
        ({'optim_wrapper.paramwise_cfg': None}, 'parameter group'),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_in_one_line(start, tmp_path, options, reason):  # noqa: F811
    start('run', {'train_cfg.max_epochs': 1})
    with pytest.raises(UserError, match=rf'resume: .*epoch_1.pth does not fit this run \(.*{reason}') as caught:
        start('run', options, resume=True)
    assert '\n' not in str(caught.value)
