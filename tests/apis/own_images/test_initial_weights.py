"""Weights to begin with, and what a config becomes with them."""

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config

from mmdclpp.apis._runner import load_config, shipped_config
from mmdclpp.apis.own_images.initial_weights import initial_weights, set_initial_weights
from mmdclpp.apis.own_images.prepare import prepare
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS

NAME = 'test_vit'


@pytest.fixture
def cfg(tmp_path):
    return load_config(shipped_config('densecl_pp/vit-demo_folder.py'), dict(work_dir=str(tmp_path / 'run')))


@pytest.fixture(scope='module')
def timm_file(tmp_path_factory):
    """timm's own state dict, with its classifier."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp('timm') / 'tiny.pth'
    torch.save(timm.create_model(NAME).state_dict(), path)
    return path


def built(cfg, init, size=48):
    set_initial_weights(cfg, initial_weights(str(init), cfg, size), size)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def test_the_architecture_follows_a_checkpoint_and_every_weight_is_its(cfg, checkpoint):
    model = built(cfg, checkpoint)
    expected = torch.load(checkpoint)['state_dict']
    state = model.backbone.state_dict()
    assert state.pop('pos_embed').shape == (1, 1 + 6 * 6, 24)  # resized to the views
    assert state and all(torch.equal(value, expected[f'backbone.{key}']) for key, value in state.items())
    assert (cfg.model.neck.in_channels, cfg.model.data_preprocessor.mean) == (24, [1.0, 2.0, 3.0])
    assert model.loss([torch.rand(2, 3, 48, 48)] * 2)['loss_dense'].isfinite()


def test_the_config_keeps_what_is_of_training(cfg, checkpoint):
    cfg.model.backbone.drop_path_rate = 0.1
    built(cfg, checkpoint)
    assert (cfg.model.backbone.drop_path_rate, cfg.model.backbone.arch.embed_dims) == (0.1, 24)


def test_a_timm_model_comes_with_its_normalisation(cfg, timm_file):
    model = built(cfg, f'timm:{NAME}={timm_file}', size=64)
    expected = torch.load(timm_file)
    state = model.backbone.timm_model.state_dict()
    assert state and all(torch.equal(value, expected[key]) for key, value in state.items())
    np.testing.assert_allclose(cfg.model.data_preprocessor.mean, 127.5)
    assert cfg.model.neck.in_channels == 64
    assert model.loss([torch.rand(2, 3, 64, 64)] * 2)['loss_dense'].isfinite()


def test_what_training_began_with_can_be_evaluated_and_begun_with_again(cfg, timm_file):
    weights = initial_weights(f'timm:{NAME}={timm_file}', cfg, 64)
    (source,) = read_sources([weights.file])
    assert source.backbone['model_name'] == NAME
    again = initial_weights(weights.file, cfg, 64)
    assert again._replace(normalise=None) == weights._replace(normalise=None)


def test_a_file_without_config_is_of_the_configs_backbone(cfg, tmp_path):
    torch.manual_seed(3)
    backbone = MODELS.build(cfg.model.backbone)
    torch.save(backbone.state_dict(), tmp_path / 'bare.pth')
    state = built(cfg, tmp_path / 'bare.pth').backbone.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())


def test_nothing_is_written_if_nothing_shall_be(cfg, checkpoint, tmp_path):
    initial_weights(str(checkpoint), cfg, 48, write=False)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('init', 'message'),
    [
        ('none.pth', 'init: checkpoint none.pth does not exist'),
        ('timm:vit_tinny_patch16_224', "timm has no model 'vit_tinny_patch16_224', did you mean 'vit_tiny"),
        ('timm:', "backbone='timm:' is unknown"),
        ('timm:test_resnet={timm_file}', 'holds no weights of a ResNet|does not fit ResNet'),
        ('{timm_file}', 'init: .*tiny.pth holds no config, and has keys of timm: name the model, timm:NAME='),
        (
            f'timm:{NAME}',
            'cannot be downloaded .*: go online, or give a checkpoint file of them: --init timm:NAME=FILE, or',
        ),
    ],
)
def test_what_cannot_be_begun_with_is_told_in_one_line(cfg, init, message, timm_file, monkeypatch):
    if init == f'timm:{NAME}':
        monkeypatch.setattr('timm.models._builder.load_state_dict_from_hf', _offline)
    with pytest.raises(UserError, match=message):
        initial_weights(init.format(timm_file=timm_file), cfg, 48)


def _offline(*args, **kwargs):
    raise OSError('offline')


def test_other_models_are_not_fitted_to_a_backbone(cfg, checkpoint):
    weights = initial_weights(str(checkpoint), cfg, 48)
    mae = Config(dict(model=dict(type='MAE')))
    with pytest.raises(UserError, match='init: MAE is not fitted to other backbones'):
        set_initial_weights(mae, weights, 48)


def test_a_backbone_that_takes_one_size_alone_names_it(cfg, checkpoint, monkeypatch):
    def refuse(*_):
        raise AssertionError('Input height (48) does not match model (32).')

    monkeypatch.setattr('mmdclpp.apis.own_images.initial_weights.extract_features', refuse)
    with pytest.raises(UserError, match=r'does not take views of 48 px \(Input height .*: set the scale of .* to 32'):
        initial_weights(str(checkpoint), cfg, 48)


def test_weights_can_be_given_without_images(checkpoint, tmp_path):
    config = shipped_config('densecl_pp/vit-mini_photos.py')
    cfg = prepare(config, init=str(checkpoint), work_dir=str(tmp_path / 'run'))
    assert cfg.train_dataloader == config.train_dataloader
    assert cfg.model.init_cfg.checkpoint == str(tmp_path / 'run' / 'initial_backbone.pth')
    assert cfg.model.backbone.img_size == 48  # of its views
