"""Training on a folder, with nothing else written."""

import json

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdclpp import apis
from mmdclpp.errors import UserError
from mmdclpp.utils.paths import config_path

CONFIG = config_path('densecl_pp/vit-demo_folder.py')
SMALL = {
    'model.backbone.arch': dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=32),
    'model.neck.in_channels': 24,
    'train_cfg.max_epochs': 1,
    'train_dataloader.num_workers': 0,
    'default_hooks.logger.interval': 1,
}


@pytest.fixture
def folder(tiny_coco, tmp_path):
    """Eight images, nested, a grey one of 16 bits, and one that is broken."""
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'some').symlink_to(tiny_coco / 'images')
    Image.effect_noise((70, 60), 50).convert('I;16').point(lambda value: value * 16).save(tmp_path / 'mine' / 'deep.tif')
    (tmp_path / 'mine' / 'broken.jpg').write_bytes(b'\xff\xd8 cut off')
    return tmp_path / 'mine'


def test_a_folder_is_surveyed_and_trained_on(folder, tmp_path, capsys):
    runner = apis.train(CONFIG, work_dir=tmp_path / 'run', data=folder, cfg_options=SMALL)
    assert runner.iter == 1 and len(runner.train_dataloader.dataset) == 9
    printed = capsys.readouterr().out
    assert 'mine/: 10 images' in printed and '1, left out: broken.jpg (cut off)' in printed
    assert (tmp_path / 'run' / 'left_out.txt').read_text() == 'broken.jpg\tcut off\n'
    assert 'train_dataloader.batch_size=8' in (tmp_path / 'run' / 'survey.txt').read_text()
    written = Config.fromfile(tmp_path / 'run' / 'vit-demo_folder.py')
    assert (written.train_dataloader.batch_size, written.optim_wrapper.optimizer.lr) == (8, 1e-3)  # 2e-3 · √(8/32)
    assert written.param_scheduler[-1].end == 1


def test_a_resumed_run_keeps_images_and_settings_whatever_was_changed_meanwhile(folder, tmp_path, capsys):
    arguments = dict(work_dir=tmp_path / 'run', data=folder)
    apis.train(CONFIG, **arguments, cfg_options=SMALL)
    for index in range(30):
        Image.effect_noise((60, 60), 50).save(folder / f'{index}.png')
    runner = apis.train(CONFIG, **arguments, resume=True, cfg_options={**SMALL, 'train_cfg.max_epochs': 2})
    assert 'images and settings as before' in capsys.readouterr().out
    assert (runner.train_dataloader.batch_size, runner.epoch) == (8, 2)


def test_a_dry_run_tells_and_writes_nothing(folder, tmp_path, capsys):
    assert apis.train(CONFIG, work_dir=tmp_path / 'run', data=folder, dry_run=True) is None
    assert '--cfg-options train_dataloader.batch_size=8' in capsys.readouterr().out
    assert not (tmp_path / 'run').exists()


def test_training_begins_with_the_weights_given_and_resumes_without_them(folder, tmp_path):
    apis.train(CONFIG, work_dir=tmp_path / 'first', data=folder, cfg_options=SMALL)
    first = tmp_path / 'first' / 'epoch_1.pth'
    arguments = dict(work_dir=tmp_path / 'second', data=folder, init=str(first))
    frozen = {key: value for key, value in SMALL.items() if not key.startswith('model.')}
    runner = apis.train(CONFIG, **arguments, cfg_options={**frozen, 'optim_wrapper.optimizer.lr': 0.0})
    expected = torch.load(first)['state_dict']
    state = runner.model.backbone.state_dict()
    assert all(torch.equal(value, expected[f'backbone.{key}']) for key, value in state.items())
    first.unlink()
    runner = apis.train(CONFIG, **arguments, resume=True, cfg_options={**frozen, 'train_cfg.max_epochs': 2})
    assert runner.epoch == 2


def test_settings_are_plain_json_for_scripts(folder, tmp_path):
    apis.train(CONFIG, work_dir=tmp_path / 'run', data=folder, cfg_options=SMALL)
    content = json.loads((tmp_path / 'run' / 'settings.json').read_text())
    assert content['data'] == {'data_root': str(folder)}
    assert content['settings']['train_dataloader.batch_size'] == 8
    assert 'train_cfg.max_epochs' not in content['settings']  # the user's


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
