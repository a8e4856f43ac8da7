"""Training on a folder, with nothing else written."""

import json
import os

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdclpp import apis
from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.own_images.images import list_images
from mmdclpp.apis.own_images.prepare import prepare
from mmdclpp.errors import UserError

CONFIG = shipped_config('densecl_pp/vit-demo_folder.py')


@pytest.fixture
def folder(tiny_coco, tmp_path):
    """Eight images, nested, a grey one of 16 bits, and one that is broken."""
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'some').symlink_to(tiny_coco / 'images')
    Image.effect_noise((70, 60), 50).convert('I;16').point(lambda value: value * 16).save(
        tmp_path / 'mine' / 'deep.tif'
    )
    (tmp_path / 'mine' / 'broken.jpg').write_bytes(b'\xff\xd8 \xff\xda cut off')
    return tmp_path / 'mine'


def test_a_folder_is_surveyed_and_trained_on_from_the_weights_given(folder, checkpoint, tmp_path, capsys):
    options = {
        'train_cfg.max_epochs': 1,
        'train_dataloader.num_workers': 0,
        'optim_wrapper.optimizer.lr': 0.0,
        'default_hooks.diagnostics.interval': 0,
    }
    runner = apis.train(CONFIG, work_dir=tmp_path / 'run', data=folder, init=str(checkpoint), cfg_options=options)
    assert runner.iter == 1 and len(runner.train_dataloader.dataset) == 9
    printed = capsys.readouterr().out
    assert 'mine/: 10 images' in printed and '1, left out: broken.jpg (cut off)' in printed
    assert (tmp_path / 'run' / 'left_out.txt').read_text() == 'broken.jpg\tcut off\n'
    assert 'train_dataloader.batch_size=8' in (tmp_path / 'run' / 'survey.txt').read_text()
    written = Config.fromfile(tmp_path / 'run' / 'vit-demo_folder.py')
    assert (written.train_dataloader.batch_size, written.model.neck.in_channels) == (8, 24)
    expected, state = torch.load(checkpoint)['state_dict'], runner.model.backbone.state_dict()
    assert state.pop('pos_embed').shape == (1, 1 + 6 * 6, 24)
    assert state and all(torch.equal(value, expected[f'backbone.{key}']) for key, value in state.items())


def test_settings_are_plain_json_and_the_configs(folder, tmp_path):
    cfg = prepare(CONFIG, folder, work_dir=tmp_path / 'run', options={'train_cfg.max_epochs': 100})
    content = json.loads((tmp_path / 'run' / 'settings.json').read_text())
    assert content['data'] == {'data_root': str(folder)}
    assert content['settings']['train_dataloader.batch_size'] == cfg.train_dataloader.batch_size == 8
    assert content['settings']['optim_wrapper.optimizer.lr'] == cfg.optim_wrapper.optimizer.lr == 1e-3  # 2e-3 · √(8/32)
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs == 100
    assert content['settings']['train_cfg.max_epochs'] == 100  # the user's too, for a resumed run


def test_a_resumed_run_keeps_images_settings_and_first_weights(folder, checkpoint, tmp_path, capsys):
    arguments = dict(work_dir=tmp_path / 'run', data=folder, init=str(checkpoint))
    first = prepare(CONFIG, **arguments)
    checkpoint.unlink()
    for index in range(30):
        Image.effect_noise((60, 60), 50).save(folder / f'{index}.png')
    again = prepare(CONFIG, **arguments, resume=True, options={'optim_wrapper': dict(optimizer=dict(lr=0.5))})
    assert 'images and settings as before' in capsys.readouterr().out
    assert again.optim_wrapper.optimizer.lr == 0.5
    again.optim_wrapper.optimizer.lr = first.optim_wrapper.optimizer.lr
    again.model.data_preprocessor, again.model.backbone = first.model.data_preprocessor, first.model.backbone
    assert again.to_dict() == first.to_dict()


def test_a_resumed_run_is_as_long_as_it_was_started(folder, tmp_path):
    arguments = dict(data=folder, work_dir=tmp_path / 'run')
    first = prepare(CONFIG, **arguments, options={'train_cfg.max_epochs': 1})
    for options in ({}, {'train_cfg.max_epochs': 1}):
        assert prepare(CONFIG, **arguments, options=options, resume=True).to_dict() == first.to_dict()
    for changed in ({'train_cfg.max_epochs': 3}, {'train_dataloader': dict(batch_size=4)}):
        with pytest.raises(UserError, match=r'resume: .*=[34], but learning rate and schedule of the run are those of'):
            prepare(CONFIG, **arguments, options=changed, resume=True)


def test_accumulated_batches_count_for_the_rate(folder, tmp_path, capsys):
    apis.train(CONFIG, work_dir=tmp_path, data=folder, accumulate=4, dry_run=True)
    assert '0.002 · √(32/32)' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (dict(accumulate=0), 'accumulate=0'),
        (dict(ema=2.0), 'ema=2'),
        (dict(amp=True), 'needs an accelerator'),
        (dict(resume='gone.pth'), 'resume: checkpoint gone.pth does not exist'),
        (dict(auto_scale_lr=True), 'config .*vit-demo_folder.py cannot be .*: add auto_scale_lr.base_batch_size'),
        (dict(auto_scale_lr=True, dry_run=True), 'add auto_scale_lr.base_batch_size'),
    ],
)
def test_flags_are_checked_before_the_images_are_looked_at(folder, tmp_path, monkeypatch, flags, message):
    monkeypatch.setattr('mmdclpp.apis._runner.get_device', lambda: 'cpu')
    monkeypatch.setattr('mmdclpp.apis.own_images.prepare.survey_images', None)
    with pytest.raises(UserError, match=message):
        apis.train(CONFIG, work_dir=tmp_path / 'run', data=folder, **flags)


def test_a_dry_run_tells_and_writes_nothing(folder, checkpoint, tmp_path, capsys):
    arguments = dict(work_dir=tmp_path / 'run', data=folder, init=str(checkpoint))
    assert apis.train(CONFIG, **arguments, dry_run=True) is None
    assert '--cfg-options train_dataloader.batch_size=8' in capsys.readouterr().out
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(data='none'), 'data: none does not exist'),
        (dict(dry_run=True), 'dry_run: there are no images to survey: give data'),
        (dict(data='{broken}'), 'data: no image of .* can be read, of the first the reason is: cut off'),
        (dict(data='{folder}', cfg_options={'train_dataloadr.batch_size': 4}), "did you mean 'train_dataloader'"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(folder, tmp_path, arguments, message):
    (tmp_path / 'broken').mkdir()
    (folder / 'broken.jpg').rename(tmp_path / 'broken' / 'a.jpg')
    if 'data' in arguments:
        data = arguments['data'].format(folder=folder, broken=tmp_path / 'broken')
        arguments = {**arguments, 'data': data}
    with pytest.raises(UserError, match=message):
        apis.train(CONFIG, work_dir=tmp_path / 'run', **arguments)
    assert not (tmp_path / 'run').exists()


def test_broken_images_are_left_out_whatever_their_names(folder, tmp_path):
    for name in ('tab\tbed.jpg', os.fsdecode(b'caf\xe9.jpg')):
        (folder / name).write_bytes((folder / 'broken.jpg').read_bytes())
    dataset = prepare(CONFIG, folder, work_dir=tmp_path / 'run').train_dataloader.dataset
    left = list_images(dict(data_root=str(folder), exclude_file=dataset.exclude_file))
    assert len(left) == 9
    assert {image['img_path'] for image in left}.isdisjoint(map(str, folder.glob('*.jpg')))


def test_a_list_of_the_users_is_obeyed_beside_that_of_the_broken_images(folder, tmp_path):
    mine = tmp_path / 'mine.txt'
    mine.write_text('one.jpg\n')
    options = {'train_dataloader.dataset.exclude_file': str(mine)}
    dataset = prepare(CONFIG, folder, work_dir=tmp_path / 'run', options=options).train_dataloader.dataset
    assert dataset.exclude_file == [str(mine), str(tmp_path / 'run' / 'left_out.txt')]
