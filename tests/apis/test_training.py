"""Training, and how the arguments change a config."""

import json
import os
import re

import pytest
import torch
from mmengine.config import Config

from mmdclpp import apis
from mmdclpp.apis._cli import user_message
from mmdclpp.apis.training import _set_resume
from mmdclpp.errors import UserError


@pytest.fixture
def finished(tmp_path):
    """A work dir with a checkpoint, as mmengine leaves it."""
    torch.save(dict(state_dict={}), tmp_path / 'epoch_2.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    return tmp_path


def config(work_dir) -> Config:
    return Config(dict(work_dir=str(work_dir), load_from='pretrained.pth'))


def test_resume_takes_the_last_checkpoint_of_the_work_dir(finished):
    cfg = config(finished)
    assert _set_resume(cfg, True) is True
    assert (cfg.resume, cfg.load_from) == (True, str(finished / 'epoch_2.pth'))


def test_resume_finds_the_checkpoint_in_a_work_dir_that_was_moved(finished, tmp_path):
    moved = finished.rename(tmp_path.with_name('moved'))
    cfg = config(moved)
    _set_resume(cfg, True)
    assert cfg.load_from == str(moved / 'epoch_2.pth')


def test_resume_without_a_checkpoint_starts_from_the_configs_weights(tmp_path):
    cfg = config(tmp_path)
    assert _set_resume(cfg, True) is False
    assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')


def test_resume_of_a_path_takes_that_checkpoint(finished, tmp_path):
    cfg = config(tmp_path / 'elsewhere')
    assert _set_resume(cfg, str(finished / 'epoch_2.pth')) is True
    assert (cfg.resume, cfg.load_from) == (True, str(finished / 'epoch_2.pth'))


def test_resume_of_a_missing_checkpoint_is_refused(finished):
    with pytest.raises(UserError, match='gone.pth does not exist'):
        _set_resume(config(finished), 'gone.pth')
    (finished / 'epoch_2.pth').unlink()
    with pytest.raises(UserError, match='last_checkpoint names .*epoch_2.pth, which does not exist'):
        _set_resume(config(finished), True)


def test_resume_of_a_checkpoint_that_was_cut_off_goes_on_from_the_one_before(finished):
    checkpoint, content = finished / 'epoch_2.pth', (finished / 'epoch_2.pth').read_bytes()
    checkpoint.write_bytes(content[:-20])
    with pytest.raises(UserError, match='epoch_2.pth is cut off or no checkpoint, and there is no other checkpoint'):
        _set_resume(config(finished), True)

    written = os.path.getmtime(checkpoint)
    for age, (name, data) in enumerate({'epoch_1': content[:-20], 'iter_5': content, 'epoch_0': content}.items()):
        (finished / f'{name}.pth').write_bytes(data)
        os.utime(finished / f'{name}.pth', (written - age, written - age))
    (finished / 'epoch_9.pth').write_bytes(content)  # of another run, later
    os.utime(finished / 'epoch_9.pth', (written + 9, written + 9))
    cfg = config(finished)
    with pytest.warns(UserWarning, match='epoch_2.pth is cut off .*: training goes on from .*iter_5.pth'):
        assert _set_resume(cfg, True) is True
    assert cfg.load_from == str(finished / 'iter_5.pth')
    with pytest.raises(UserError, match='epoch_2.pth is cut off'):
        _set_resume(config(finished), str(checkpoint))  # which was named


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (
            {'train_dataloader.batch_size': 100, 'train_dataloader.drop_last': True},
            '8 images make no batch of batch_size=100',
        ),
        ({'train_dataloader.batch_size': 0}, 'correct train_dataloader'),
        ({'train_dataloader.batchsize': 3}, 'correct train_dataloader'),
        ({'randomness': dict(sed=1)}, 'correct randomness'),
        ({'optim_wrapper.optimizer.lr': 'high'}, 'correct optim_wrapper'),
    ],
)
def test_a_wrong_value_in_the_config_is_told_in_one_line(classifier_config, tmp_path, option, message):
    with pytest.raises(Exception) as caught:
        apis.train(classifier_config, work_dir=tmp_path / 'run', validate=False, cfg_options=option)
    line = user_message(caught.value)
    assert message in line and '\n' not in line


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'cfg_options': {'optim_wrapper': None}}, 'cannot be trained: add optim_wrapper'),
        (
            {'auto_scale_lr': True, 'cfg_options': {'auto_scale_lr': None}},
            'with auto_scale_lr: add auto_scale_lr.base_batch_size',
        ),
        ({'resume': 'gone.pth'}, 'gone.pth does not exist'),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_before_anything_starts(classifier_config, tmp_path, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        apis.train(classifier_config, work_dir=str(tmp_path / 'run'), **options)
    assert not (tmp_path / 'run').exists()


def test_the_arguments_reach_the_run(classifier_config, tmp_path):
    runner = apis.train(
        classifier_config,
        work_dir=str(tmp_path / 'run'),
        resume=True,
        validate=False,
        auto_scale_lr=True,
        seed=7,
        deterministic=True,
        cfg_options={'train_dataloader.batch_size': 4, 'optim_wrapper.optimizer.lr': 0.5},
    )
    assert (runner.iter, runner.seed, runner.deterministic) == (2, 7, True)
    assert runner.optim_wrapper.get_lr() == {'lr': [1.0]}  # 0.5 for a batch of 2, and the batch is 4
    assert runner.val_loop is None
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'No checkpoint to resume' in log
    assert 'accuracy' not in log


def two_views(tiny_coco, preprocessor='ViewDataPreprocessor', keys=('view_photometric',), repeated=False, **options):
    """Options of the demo's config for training on ``tiny_coco`` with views of LoadViews."""
    crop = dict(type='RandomResizedCropWithBox', scale=48)
    loader = dict(type='LoadViews', transforms=[[crop, dict(type='ColorJitter', brightness=0.4)]], **options)
    pipeline = [loader, dict(type='PackInputs', meta_keys=keys)]
    dataset = dict(type='UnlabelledImages', data_root=str(tiny_coco / 'images'), pipeline=pipeline)
    if repeated:
        dataset = dict(type='RepeatDataset', dataset=dataset, times=2)
    return {
        'train_dataloader.dataset': dict(dataset, _delete_=True),
        'train_dataloader.batch_size': 4,
        'train_dataloader.num_workers': 0,
        'model.data_preprocessor.type': preprocessor,
        'train_cfg.max_epochs': 1,
    }


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(preprocessor='SelfSupDataPreprocessor'),
            'model.data_preprocessor: SelfSupDataPreprocessor does not jitter and blur the views of LoadViews: use '
            "ViewDataPreprocessor, or LoadViews(backend='mmpretrain')",
        ),
        (dict(preprocessor='SelfSupDataPreprocessor', repeated=True), 'model.data_preprocessor: SelfSup'),
        (
            dict(keys=('img_path',)),
            "train_dataloader.dataset.pipeline: PackInputs loses how LoadViews' views are to be jittered and blurred: "
            "add 'view_photometric' to its meta_keys",
        ),
    ],
    ids=['another preprocessor', 'repeated images', 'no key'],
)
def test_views_that_nobody_would_finish_are_refused_in_one_line(tiny_coco, repo, tmp_path, options, message):
    config = repo / 'configs/densecl_pp/vit-demo_scenes.py'
    with pytest.raises(UserError) as caught:
        apis.train(config, tmp_path / 'run', cfg_options=two_views(tiny_coco, **options))
    assert str(caught.value).startswith(message) and '\n' not in str(caught.value)
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize('options', [dict(), dict(preprocessor='SelfSupDataPreprocessor', backend='mmpretrain')])
def test_views_that_somebody_finishes_are_trained_on(tiny_coco, repo, tmp_path, options):
    config = repo / 'configs/densecl_pp/vit-demo_scenes.py'
    runner = apis.train(config, tmp_path / 'run', cfg_options=two_views(tiny_coco, **options))
    assert runner.iter == 2


@pytest.mark.parametrize('seed', [3, None])  # None: drawn by the run, and kept in its checkpoints
def test_a_resumed_run_sees_the_views_of_one_without_a_break(tiny_coco, repo, tmp_path, seed):
    def second_epoch(name, **resume):
        config = repo / 'configs/densecl_pp/vit-demo_scenes.py'
        options = {**two_views(tiny_coco), 'train_cfg.max_epochs': 2, 'default_hooks.logger.interval': 1}
        apis.train(config, tmp_path / name, cfg_options={**options, 'randomness.seed': seed}, **resume)
        (log,) = (tmp_path / name).glob('*/vis_data/scalars.json')
        lines = map(json.loads, log.read_text().splitlines())
        return [line['loss'] for line in lines if line.get('epoch') == 2]

    whole = second_epoch('whole')
    assert len(whole) == 2
    assert second_epoch('resumed', resume=str(tmp_path / 'whole/epoch_1.pth')) == pytest.approx(whole, rel=1e-6)
