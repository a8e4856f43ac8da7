"""The rules by which settings are chosen."""

import pytest
from mmengine.config import Config, DictAction

from mmdclpp.apis._runner import load_config, shipped_config
from mmdclpp.apis.own_images.images import set_images
from mmdclpp.apis.own_images.machine import Machine
from mmdclpp.apis.own_images.model_cost import ModelCost
from mmdclpp.apis.own_images.settings import Images, as_options, changes, describe_settings, suggest_settings
from mmdclpp.errors import UserError

COCO = Images(118_287, 640 * 480)
COST = ModelCost(bytes_per_image=144_000_000, fixed_bytes=450_000_000, flops_per_image=60_000_000_000)
GPUS = Machine(processes=8, cores=16, memory=80 * 10**9, gpu=True)
LAPTOP = Machine(processes=1, cores=4, memory=16 * 10**9, gpu=False)
CROP = 'train_dataloader.dataset.pipeline.0.transforms.0.0.crop_ratio_range'


@pytest.fixture(scope='module')
def base():
    cfg = shipped_config('densecl_pp/vit-s16_folder.py')
    set_images(cfg, dict(data_root='x'))
    return cfg


def suggest(base, images=COCO, machine=GPUS, cost=COST, given=None, pretrained=False):
    given = given or {}
    return suggest_settings(load_config(base, given), base, images, machine, cost, given, pretrained)


def values(*args, **kwargs):
    return {setting.key: setting.value for setting in suggest(*args, **kwargs)}


def test_coco_on_eight_gpus_gets_the_configs_own_recipe(base):
    found = values(base)
    assert found['train_dataloader.batch_size'] == 128
    assert found['optim_wrapper.optimizer.lr'] == 6e-4
    assert found[CROP] == [0.16, 1.0]
    assert found['train_cfg.max_epochs'] == 800
    assert not any(key.startswith('param_scheduler') for key in found)


@pytest.mark.parametrize(
    ('change', 'batch', 'reason'),
    [
        (dict(), 128, 'the most of this config is 128'),
        (dict(machine=GPUS._replace(memory=12 * 10**9)), 32, '60% of the memory holds 46 images'),
        (dict(machine=LAPTOP), 32, 'on CPUs'),
        (dict(images=COCO._replace(number=2000)), 8, '20 steps an epoch'),
        (dict(images=COCO._replace(number=40)), 4, 'no more than there are images'),
        (dict(cost=None), 128, 'the most of this config'),
    ],
)
def test_the_smallest_bound_of_the_batch_is_named(base, change, batch, reason):
    setting = suggest(base, **change)[0]
    assert (setting.key, setting.value) == ('train_dataloader.batch_size', batch)
    assert reason in setting.rule


@pytest.mark.parametrize(('optimizer', 'rate'), [('AdamW', 3e-4), ('SGD', 1.5e-4), ('LARS', 1.5e-4)])
def test_the_learning_rate_follows_the_global_batch_by_the_optimizers_rule(base, optimizer, rate):
    base = load_config(base, {'optim_wrapper.optimizer.type': optimizer})
    assert values(base, machine=GPUS._replace(processes=2))['optim_wrapper.optimizer.lr'] == rate  # 256 of 1024


def test_the_rate_counts_the_images_of_an_update(base):
    given = {'optim_wrapper.accumulative_counts': 4}
    assert values(base, machine=GPUS._replace(processes=2), given=given)['optim_wrapper.optimizer.lr'] == 6e-4


def test_a_rate_that_the_runner_scales_is_told_and_a_quarter_of_it_for_trained_weights(base):
    given = {'auto_scale_lr': dict(enable=True), 'train_dataloader.batch_size': 64}
    rate = suggest(base, given=given, pretrained=True)[1]
    assert (rate.key, rate.value) == ('optim_wrapper.optimizer.lr', 1.5e-4)
    assert rate.rule.endswith(
        'a quarter of it since the weights are trained; auto_scale_lr makes it 7.5e-05, times 512/1024'
    )
    assert suggest(base, given=given)[1].value == 6e-4


@pytest.mark.parametrize('key', ['train_dataloader.batch_size', 'train_cfg.max_epochs'])
@pytest.mark.parametrize('value', [0, -2, 'big', 1.5])
def test_counts_that_are_none_are_refused(base, key, value):
    with pytest.raises(UserError, match=f'cfg_options: {key}={value} must be a whole number of 1 or more'):
        suggest(base, given={key: value})


@pytest.mark.parametrize(('pixels', 'smallest'), [(160 * 120, 0.2), (640 * 480, 0.16), (6000 * 4000, 0.08)])
def test_large_images_get_smaller_crops(base, pixels, smallest):
    assert values(base, images=COCO._replace(median_pixels=pixels))[CROP] == [smallest, 1.0]


def test_crops_are_of_the_users_views(base):
    assert values(base, given={CROP.replace('crop_ratio_range', 'scale'): 96})[CROP] == [0.08, 1.0]


@pytest.mark.parametrize(('cores', 'workers'), [(1, 1), (16, 15), (64, 16)])
def test_of_the_cores_beside_a_gpu_one_is_left_for_training(base, cores, workers):
    assert values(base, machine=GPUS._replace(cores=cores))['train_dataloader.num_workers'] == workers


@pytest.mark.parametrize(('number', 'epochs'), [(500, 1600), (118_287, 800), (1_281_167, 243)])
def test_few_images_are_seen_more_often(base, number, epochs):
    assert values(base, images=COCO._replace(number=number))['train_cfg.max_epochs'] == epochs


def test_without_a_gpu_a_night_is_enough(base):
    found = values(base, images=COCO._replace(number=2000), machine=LAPTOP)
    assert found['train_cfg.max_epochs'] == round(12 * 3600 * 4 * 20e9 / (2000 * 60e9))
    two = values(base, images=COCO._replace(number=2000), machine=LAPTOP._replace(processes=2))
    assert two['train_cfg.max_epochs'] == 2 * found['train_cfg.max_epochs']
    assert values(base, machine=LAPTOP)['train_cfg.max_epochs'] == 10


def test_trained_weights_get_a_quarter_of_rate_and_epochs(base):
    found = values(base, pretrained=True)
    assert (found['optim_wrapper.optimizer.lr'], found['train_cfg.max_epochs']) == (1.5e-4, 200)


def test_what_the_user_gives_stands_and_the_rest_follows_it(base):
    settings = suggest(base, given={'train_dataloader.batch_size': 32, 'train_cfg': dict(max_epochs=100)})
    found = {setting.key: setting.value for setting in settings}
    assert found['optim_wrapper.optimizer.lr'] == 3e-4
    assert (found['param_scheduler.0.end'], found['param_scheduler.1.T_max']) == (5, 95)
    assert found['default_hooks.checkpoint.interval'] == 5
    assert {setting.key for setting in settings if setting.given} == {
        'train_dataloader.batch_size',
        'train_cfg.max_epochs',
    }
    assert not {'train_dataloader.batch_size', 'train_cfg.max_epochs'} & changes(settings).keys()


def test_a_schedule_of_the_users_own_is_kept(base):
    given = {'param_scheduler': [dict(type='ConstantLR', factor=1.0, begin=0, end=50)], 'train_cfg.max_epochs': 50}
    assert not any(key.startswith('param_scheduler') for key in values(base, given=given))


def test_a_run_counted_in_iterations_keeps_its_length(base):
    base = load_config(base, {'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=100)})
    assert 'train_cfg.max_epochs' not in values(base)


def pasted_options(settings):
    flag, *options = as_options(settings).split()
    pasted = {}
    for option in options:
        key, _, value = option.partition('=')
        pasted[key] = DictAction._parse_iterable(value)
    assert flag == '--cfg-options'
    return pasted


def test_pasted_the_settings_give_the_same_config(base):
    settings = suggest(base, images=Images(5000, 640 * 480))
    assert load_config(base, pasted_options(settings)).to_dict() == load_config(base, changes(settings)).to_dict()


def test_pasted_the_settings_of_a_single_epoch_give_the_same_training(base):
    given = {'train_cfg.max_epochs': 1}
    settings = suggest(base, given=given)
    pasted = pasted_options(settings)
    again = load_config(load_config(base, pasted), changes(suggest(base, given=pasted)))
    assert again.param_scheduler[-1].end == 1
    assert again.to_dict() == load_config(load_config(base, given), changes(settings)).to_dict()


def test_each_setting_is_told_with_its_rule(base):
    lines = describe_settings(suggest(base, given={'train_dataloader.batch_size': 64}))
    assert lines[:4] == [
        '  train_dataloader.batch_size=64',
        '      yours',
        '  optim_wrapper.optimizer.lr=0.00042',
        "      0.0006 · √(512/1024), the config's for a batch of 1024",
    ]


def test_fewer_than_two_images_a_process_are_refused(base):
    with pytest.raises(UserError, match='data: 15 images for 8 processes: give two or more for each'):
        suggest(base, images=COCO._replace(number=15))
    with pytest.raises(UserError, match='data: 1 image: give two or more$'):
        suggest(base, images=COCO._replace(number=1), machine=GPUS._replace(processes=1))


def test_a_config_without_a_schedule_has_only_its_epochs_changed():
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=4, dataset=dict(pipeline=[])),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            train_cfg=dict(max_epochs=3),
        )
    )
    found = suggest_settings(cfg, cfg, Images(500, 1e5), GPUS, None, {})
    assert [setting.key for setting in found][2:] == ['train_cfg.max_epochs', 'train_dataloader.num_workers']
