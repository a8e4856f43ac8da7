"""Each pretraining config, as it stands, with few and small images: it trains a step."""

import math

import pytest
from mmengine.config import Config

from mmdclpp.apis import train

CONFIGS = ('simclr', 'densecl', 'densecl_pp')
# The smallest crop on which the config's number of cross-view negatives leaves a positive.
CROPS = {'vit-s16_star_coco.py': 144, 'r50_star_coco.py': 192}


def pytest_generate_tests(metafunc):
    if 'config' in metafunc.fixturenames:
        root = metafunc.config.rootpath / 'configs'
        files = [file for folder in CONFIGS for file in sorted((root / folder).glob('*.py'))]
        metafunc.parametrize('config', files, ids=[f'{file.parent.name}/{file.stem}' for file in files])


def _with_few_small_images(config: Config, images) -> Config:
    loader = config.train_dataloader
    pipeline = loader.dataset.get('datasets', [loader.dataset])[0].pipeline
    pipeline[0].transforms[0][0].scale = CROPS.get(config.filename.rpartition('/')[2], 64)
    config.train_dataloader = dict(
        batch_size=2,
        num_workers=0,
        sampler=loader.sampler,
        collate_fn=loader.collate_fn,
        dataset=dict(type='UnlabelledImages', data_root=str(images), indices=2, pipeline=pipeline),
    )
    config.train_cfg.max_epochs = 1
    config.custom_hooks = []  # online evaluation, on labelled data that are not here
    config.default_hooks.update(logger=dict(type='LoggerHook', interval=1), checkpoint=None)
    return config


def test_a_pretraining_config_builds_and_steps(config, tiny_coco, tmp_path):
    runner = train(_with_few_small_images(Config.fromfile(config), tiny_coco / 'images'), work_dir=tmp_path)
    assert runner.iter == 1
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())


@pytest.mark.parametrize('kind', CONFIGS)
def test_each_config_opens_with_its_purpose_and_its_command(kind, repo):
    for file in (repo / 'configs' / kind).glob('*.py'):
        header = file.read_text().split('_base_')[0]
        assert '# Reproduces:' in header
        assert f'configs/{kind}/{file.name}' in header.partition('# Command:')[2], file


def test_configs_for_own_images_go_on_without_the_broken_ones(repo):
    for file in (repo / 'configs').glob('*/*_folder.py'):
        assert Config.fromfile(file).train_dataloader.dataset.get('skip_broken'), file


def test_a_new_variant_takes_three_lines(repo, tmp_path):
    variant = tmp_path / 'variant.py'
    variant.write_text(
        f"_base_ = '{repo}/configs/densecl_pp/vit-s16_coco.py'\n"
        "model = dict(neck=dict(aggregate='cls', num_grid=7),\n"
        "             dense_head=dict(negatives=[dict(type='GuidedNegatives', num_sets=16)]))\n"
    )
    model = Config.fromfile(variant).model
    assert (model.neck.aggregate, model.neck.num_grid, model.neck.in_channels) == ('cls', 7, 384)
    assert [negatives.type for negatives in model.dense_head.negatives] == ['GuidedNegatives']


def test_the_baselines_differ_from_densecl_pp_in_the_negatives_and_the_weight_alone(repo):
    def differences(name):
        ours, other = (
            Config.fromfile(repo / 'configs' / file).to_dict() for file in ('densecl_pp/vit-demo_scenes.py', name)
        )
        flat = [dict(_leaves(config)) for config in (ours, other)]
        return {key for key in flat[0].keys() | flat[1].keys() if flat[0].get(key) != flat[1].get(key)}

    assert differences('simclr/vit-demo_scenes.py') == {'model.loss_lambda'}
    assert differences('densecl/vit-demo_scenes.py') == {'model.dense_head.negatives'}


def _leaves(value, path=''):
    for key, item in value.items():
        name = f'{path}.{key}' if path else key
        if isinstance(item, dict):
            yield from _leaves(item, name)
        else:
            yield name, item
