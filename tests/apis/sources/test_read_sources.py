"""What an evaluation reads from a checkpoint."""

import dataclasses

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import MAEViT, MoCoV3ViT
from safetensors.torch import save_file

from mmdclpp.apis.sources.from_config import source_from_config
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import MODELS
from mmdclpp.utils.paths import config_path
from mmdclpp.utils.safetensors_file import pack_safetensors

DEMO = 'densecl_pp/vit-demo_scenes.py'


def write(path, config=DEMO, seed=3, options=None, epoch=2, **changes):
    """A checkpoint as a runner writes it, of a model with random weights."""
    cfg = Config.fromfile(config_path(config), format_python_code=False)
    cfg.merge_from_dict(options or {})
    model = MODELS.build(cfg.model)
    content = dict(meta=dict(cfg=cfg.pretty_text, seed=seed, epoch=epoch, iter=9), state_dict=model.state_dict())
    torch.save({**content, **changes}, path)
    return str(path)


@pytest.mark.parametrize(
    ('config', 'options', 'name', 'pair_feature'),
    [
        ('simclr/vit-demo_scenes.py', {}, 'SimCLR', None),
        ('densecl/vit-demo_scenes.py', {}, 'DenseCL', 'backbone'),
        (DEMO, {'model.dense_head.pair_feature': 'projection'}, 'DenseCL++', 'projection'),
        ('densecl_pp/vit-mini_star_photos.py', {}, 'DenseCL++*', 'backbone'),
        (DEMO, {'model.dense_head.negatives': [dict(type='AllNegatives')]}, 'DenseCL++ (All)', 'backbone'),
        (DEMO, {'model.loss_gamma': 0.1}, 'DenseCL++ + ConvDecoder, γ = 0.1', 'backbone'),
    ],
)
def test_a_pretraining_checkpoint_tells_all_that_its_evaluation_needs(tmp_path, config, options, name, pair_feature):
    (source,) = read_sources([write(tmp_path / 'a.pth', config, options=options)])
    assert (source.name, source.pair_feature) == (name, pair_feature)
    assert (source.arch, source.aggregate, source.image_size, source.seed) == ('ViT 128×4/8', 'gap', 48, 3)
    assert source.normalise == dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def test_the_backbone_built_is_the_checkpoints_bit_for_bit(tmp_path):
    path = write(tmp_path / 'a.pth')
    expected = torch.load(path)['state_dict']
    state = read_sources([path])[0].build().state_dict()
    assert state and all(torch.equal(value, expected[f'backbone.{key}']) for key, value in state.items())


def test_random_takes_the_first_checkpoints_architecture_and_its_own_seed(tmp_path):
    first, other, trained = read_sources(['random:1', 'random', write(tmp_path / 'a.pth')])
    assert (first.name, first.seed, first.arch) == ('random', 1, trained.arch)
    fingerprints = [source.fingerprint(source.build()) for source in (first, first, other, trained)]
    assert fingerprints[0] == fingerprints[1] and len(set(fingerprints)) == 3


def test_the_users_choices_come_before_the_checkpoints(tmp_path):
    paths = [write(tmp_path / name) for name in ('a.pth', 'b.pth')]
    sources = read_sources(paths, names=['mine', 'yours'], aggregate='cls')
    assert [(source.name, source.aggregate) for source in sources] == [('mine', 'cls'), ('yours', 'cls')]


def test_a_config_serves_a_checkpoint_that_holds_none(tmp_path):
    path = write(tmp_path / 'a.pth', meta={})
    (source,) = read_sources([path], config=str(config_path(DEMO)))
    assert source.name == 'DenseCL++'
    source.build()


@pytest.mark.parametrize(
    ('kind', 'pretraining'), [(MAEViT, dict(mask_ratio=0.6)), (MoCoV3ViT, dict(stop_grad_conv1=True, norm_eval=True))]
)
def test_mmpretrains_pretraining_vits_become_plain_ones_with_the_same_weights(tmp_path, kind, pretraining):
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32)
    vit = dict(type=kind.__name__, arch=arch, img_size=32, patch_size=8, **pretraining)
    backbone = kind(**{key: value for key, value in vit.items() if key != 'type'})
    torch.nn.init.normal_(backbone.cls_token)
    text = f"default_scope = 'mmpretrain'\nmodel = dict(type='MAE', backbone={vit!r})"
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.save(dict(meta=dict(cfg=text), state_dict=state), tmp_path / 'a.pth')
    built = read_sources([str(tmp_path / 'a.pth')])[0].build()
    features = extract_features(built, torch.rand(1, 3, 32, 32))
    assert features.positions.shape == (1, 16, 24) and features.cls is not None


def test_a_mocov3_vit_is_known_by_the_name_that_only_its_constructor_adds():
    name = 'mocov3_vit-small-p16_16xb256-amp-coslr-300e_in1k'
    (source,) = read_sources(['random'], backbone=f'mmpretrain:{name}')
    assert (source.backbone['arch']['embed_dims'], source.backbone['arch']['num_heads']) == (384, 12)


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='ResNet', depth=18, frozen_stages=2, norm_eval=True, norm_cfg=dict(type='BN', requires_grad=False)),
        dict(type='VisionTransformer', arch='deit-tiny', frozen_stages=3),
        dict(type='MoCoV3ViT', arch='mocov3-small', patch_size=16, frozen_stages=2, stop_grad_conv1=True),
        dict(type='Conformer', arch='tiny'),  # its norms are frozen by default
    ],
    ids=lambda backbone: backbone['type'],
)
def test_what_a_config_froze_can_be_trained_in_an_evaluation(tmp_path, backbone):
    (tmp_path / 'config.py').write_text(f"default_scope = 'mmpretrain'\nmodel = dict(type='X', backbone={backbone!r})")
    (source,) = read_sources(['random'], config=str(tmp_path / 'config.py'))
    built = MODELS.build(source.backbone)
    built.train()
    assert all(parameter.requires_grad for parameter in built.parameters())
    assert all(module.training for module in built.modules())


def test_seeds_of_one_recipe_are_told_from_other_settings(tmp_path):
    paths = [
        write(tmp_path / 'first.pth', options=dict(randomness=dict(seed=1), work_dir='one'), seed=1),
        write(tmp_path / 'second.pth', options=dict(randomness=dict(seed=2), work_dir='two'), seed=2),
        write(tmp_path / 'longer.pth', epoch=3),
        write(tmp_path / 'other.pth', options={'optim_wrapper.optimizer.lr': 0.123}),
    ]
    first, second, longer, other, *random = read_sources([*paths, 'random:0', 'random:1'])
    assert first.recipe == second.recipe and random[0].recipe == random[1].recipe
    assert len({source.recipe for source in (first, longer, other, random[0])}) == 4
    unseeded = write(tmp_path / 'unseeded.pth', seed=None)
    assert read_sources([unseeded])[0].recipe is None


@pytest.mark.parametrize('again', ['a.pth', './a.pth'])
def test_a_checkpoint_given_twice_is_refused(tmp_path, monkeypatch, again):
    monkeypatch.chdir(tmp_path)
    write('a.pth')
    with pytest.raises(UserError, match='a.pth is given twice'):
        read_sources(['a.pth', again])


def test_a_timm_model_comes_with_its_own_normalisation_and_size(tmp_path):
    import timm

    model = timm.create_model('vit_tiny_patch16_224')
    torch.save(model.state_dict(), tmp_path / 'timm.pth')
    (source,) = read_sources([str(tmp_path / 'timm.pth')], backbone='timm:vit_tiny_patch16_224')
    assert source.normalise == dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True) and source.image_size == 224
    backbone = source.build()
    torch.testing.assert_close(backbone.timm_model.pos_embed, model.pos_embed)
    assert extract_features(backbone, torch.rand(1, 3, 64, 64)).grid == (4, 4)


def timm_state(name, **kwargs):
    import timm

    return timm.create_model(name, **kwargs).state_dict()


@pytest.mark.parametrize('classes', [0, 7, 1000])
@pytest.mark.parametrize('prefix', ['', 'module.', 'model.', 'timm_model.', 'backbone.', 'backbone.timm_model.'])
def test_a_file_of_a_timm_model_is_loaded_whole_whatever_is_around_it(tmp_path, prefix, classes):
    expected = timm_state('resnet10t', num_classes=classes)
    path = str(tmp_path / 'mine.pth')
    state = {f'{prefix}{key}': value for key, value in expected.items()}
    torch.save(dict(state_dict=state) if prefix else state, path)
    (source,) = read_sources([path], backbone='timm:resnet10t')
    assert (source.name, source.arch, source.checkpoint) == ('mine', 'timm resnet10t', path)
    loaded = source.build().timm_model.state_dict()
    assert loaded and all(torch.equal(value, expected[key]) for key, value in loaded.items())


@pytest.mark.parametrize('prefix', ['', 'model.'])
def test_a_safetensors_file_of_a_timm_model_is_loaded_whole(tmp_path, prefix):
    expected = timm_state('resnet10t')
    save_file({f'{prefix}{key}': value for key, value in expected.items()}, tmp_path / 'mine.safetensors')
    (source,) = read_sources([str(tmp_path / 'mine.safetensors')], backbone='timm:resnet10t')
    loaded = source.build().timm_model.state_dict()
    assert loaded and all(torch.equal(value, expected[key]) for key, value in loaded.items())


def test_a_safetensors_file_of_ours_tells_what_the_checkpoint_told(tmp_path):
    checkpoint = torch.load(write(tmp_path / 'a.pth'))
    state = {
        key.removeprefix('backbone.'): value for key, value in checkpoint['state_dict'].items() if 'backbone' in key
    }
    content = pack_safetensors(state, {key: [f'elsewhere.{key}'] for key in state}, checkpoint['meta'])
    (tmp_path / 'a.safetensors').write_bytes(content)
    before, after = read_sources([str(tmp_path / name) for name in ('a.pth', 'a.safetensors')])
    assert after == dataclasses.replace(before, checkpoint=after.checkpoint)
    assert before.fingerprint(before.build()) == after.fingerprint(after.build())


def test_a_safetensors_file_without_config_needs_one(tmp_path):
    save_file(timm_state('resnet10t'), tmp_path / 'mine.safetensors')
    with pytest.raises(UserError, match='mine.safetensors does not hold the config of its model: name it'):
        read_sources([str(tmp_path / 'mine.safetensors')])


def test_a_safetensors_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / 'mine.safetensors'
    save_file(timm_state('resnet10t'), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match='mine.safetensors is cut off'):
        read_sources([str(path)], backbone='timm:resnet10t')


def without_a_layer(state):
    del state['conv1.0.weight']
    return state


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: timm_state('vit_tiny_patch16_224'), 'holds no weights of a ResNet'),
        (lambda: timm_state('resnet14t'), 'does not fit ResNet, keys: .* unexpected'),
        (lambda: without_a_layer(timm_state('resnet10t')), r'1 missing \(conv1.0.weight\)'),
        (lambda: dict(timm_state('resnet10t'), more=torch.zeros(1)), r'1 unexpected \(more\)'),
    ],
    ids=['another kind', 'another depth', 'one key missing', 'one key too many'],
)
def test_a_file_of_another_timm_model_is_refused_in_one_line(tmp_path, make, message):
    torch.save(make(), tmp_path / 'bad.pth')
    with pytest.raises(UserError, match=message) as error:
        read_sources([str(tmp_path / 'bad.pth')], backbone='timm:resnet10t')[0].build()
    assert 'bad.pth' in str(error.value) and '\n' not in str(error.value)


def truncated(path):
    write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = {
    'missing': (lambda path: None, 'does not exist'),
    'empty': (lambda path: path.write_bytes(b''), 'cut off or no checkpoint'),
    'truncated': (truncated, 'cut off or no checkpoint'),
    'without config': (
        lambda path: write(path, meta={}),
        'does not hold the config of its model: name it with --config',
    ),
    'with a broken config': (lambda path: write(path, meta=dict(cfg='model = (')), 'its own config cannot be read'),
    'of another kind': (
        lambda path: write(path, meta=dict(cfg="model = dict(type='X')")),
        'has no model.backbone to evaluate',
    ),
    'without backbone weights': (
        lambda path: write(path, state_dict={'neck.weight': torch.zeros(2)}),
        'holds no weights of a VisionTransformer: it has the keys neck.weight',
    ),
    'of another architecture': (
        lambda path: write(path, state_dict=MODELS.build(dict(type='ResNet', depth=18)).state_dict()),
        'holds no weights of a VisionTransformer',
    ),
    'of a deeper network': (
        lambda path: write(path, meta=dict(cfg=text_of_a_deeper_network())),
        'does not fit VisionTransformer, keys: 12 missing',
    ),
}


def text_of_a_deeper_network():
    cfg = Config.fromfile(config_path(DEMO), format_python_code=False)
    cfg.model.backbone.arch.num_layers = 5
    return cfg.pretty_text


@pytest.mark.parametrize('kind', BAD)
def test_a_wrong_checkpoint_is_refused_in_one_line_that_names_it(tmp_path, kind):
    make, message = BAD[kind]
    path = tmp_path / 'bad.pth'
    make(path)
    with pytest.raises(UserError, match=message) as error:
        read_sources([str(path)])[0].build()
    assert 'bad.pth' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(models=[]), 'models: none given'),
        (dict(models=['random']), 'random: of which architecture'),
        (dict(models=['random:x'], config='CONFIG'), "random:x: 'x' is no seed"),
        (dict(models=[], backbone='vit'), "backbone='vit' is unknown: write timm:NAME"),
        (dict(models=['random'], backbone='timm:vit_tini_patch16_224'), "did you mean 'vit_tiny_patch16_224'"),
        (dict(models=['random'], backbone='mmpretrain:nothing'), "mmpretrain has no model 'nothing'"),
        (dict(models=['random'], config='CONFIG', backbone='timm:resnet18'), 'both name the architecture'),
        (dict(models=['random'], config='CONFIG', names=['a', 'b']), 'names: 2 given for 1 models'),
        (dict(models=['random'], config='CONFIG', aggregate='max'), "aggregate='max' is unknown"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_remedy(arguments, message):
    arguments = {key: str(config_path(DEMO)) if value == 'CONFIG' else value for key, value in arguments.items()}
    with pytest.raises(UserError, match=message):
        read_sources(**arguments)


@pytest.mark.parametrize('crop', ['RandomResizedCrop', 'RandomResizedCropWithBox'])
def test_a_backbone_of_any_image_size_has_that_of_its_training_crops(crop):
    pipeline = [dict(type='MultiView', num_views=2, transforms=[[dict(type=crop, scale=96)]])]
    cfg = Config(dict(model=dict(backbone=dict(type='ResNet', depth=18))))
    cfg.train_dataloader = dict(dataset=dict(type='UnlabelledImages', pipeline=pipeline))
    assert source_from_config(cfg, None, {}, 'config').image_size == 96
