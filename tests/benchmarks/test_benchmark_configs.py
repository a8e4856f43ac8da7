"""Each benchmark config, at small sizes: trains a step, evaluates, and takes a pretraining checkpoint."""

import json
import math
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, save_checkpoint
from PIL import Image

from mmdclpp.datasets.scenes import CLASSES
from mmdclpp.registry import MODELS

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / 'configs'
PROBES = sorted((CONFIGS / 'benchmarks/linear').glob('*.py'))
SEGMENTATIONS = sorted((CONFIGS / 'benchmarks/segmentation').glob('*.py'))
SIZE = 64


@pytest.fixture(autouse=True)
def own_scope():
    """A runner sets the default scope for the rest of the process; other tests are not to meet mmseg's."""
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        yield


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    """Short relative paths: mmengine formats the config several times, which takes seconds with long strings in it."""
    monkeypatch.chdir(tmp_path)


def small(path, work_dir, checkpoint=None):
    """The config at ``path`` for images of 64 px, with the data it names written under ``{work_dir}/data``."""
    config = Config.fromfile(path)
    root = Path(work_dir, 'data')
    config.work_dir = work_dir
    config.model.init_cfg.checkpoint = checkpoint
    if config.default_scope == 'mmseg':
        num_classes = config.model.decode_head.num_classes
        config.model.data_preprocessor.size = (SIZE, SIZE)
        if config.model.test_cfg.mode == 'slide':
            config.model.test_cfg.update(crop_size=(SIZE, SIZE), stride=(SIZE // 2, SIZE // 2))
        config.train_cfg.update(max_iters=1, val_interval=1)
    else:
        num_classes = config.model.head.num_classes
        config.train_cfg.update(max_epochs=1, val_interval=1)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[name].update(batch_size=2, num_workers=0, persistent_workers=False)
        dataset = config[name].dataset
        for part in dataset.get('datasets', [dataset]):
            part.data_root = str(root)
            write_data(part, root, num_classes)
            for transform in part.pipeline:
                for key in {'scale', 'crop_size'} & transform.keys():
                    transform[key] = (SIZE, SIZE)
    config.train_dataloader.drop_last = False
    config.param_scheduler = config.default_hooks.checkpoint = None
    return config


def write_data(dataset, root, num_classes):
    """Two images where the dataset looks for them, with masks or with boxes of all classes."""
    rng = np.random.default_rng(0)
    folder = root / dataset.data_prefix.img_path
    folder.mkdir(parents=True, exist_ok=True)
    for name in '01':
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(folder / f'{name}.jpg')
    if 'seg_map_path' in dataset.data_prefix:
        suffix = '_labelTrainIds.png' if dataset.type == 'COCOStuffDataset' else '.png'
        masks = root / dataset.data_prefix.seg_map_path
        masks.mkdir(parents=True, exist_ok=True)
        for name in '01':
            mask = rng.integers(0, num_classes, (SIZE, SIZE), dtype=np.uint8)
            Image.fromarray(mask).save(masks / f'{name}{suffix}')
        content = '0\n1\n'
    else:
        categories = [dict(id=c + 1, name=f'class {c}') for c in range(num_classes)]
        images = [dict(id=i, file_name=f'{i}.jpg', width=SIZE, height=SIZE) for i in range(2)]
        annotations = [
            dict(id=c, image_id=c % 2, category_id=c + 1, bbox=[0, 0, 9, 9], area=81, iscrowd=0)
            for c in range(num_classes)
        ]
        content = json.dumps(dict(categories=categories, images=images, annotations=annotations))
    if 'ann_file' in dataset:
        path = root / dataset.ann_file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def train(config):
    # The name keeps apart the runners that one process builds within a second.
    config.experiment_name = str(time.time_ns())
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def metric(runner, name):
    return runner.message_hub.get_scalar(f'val/{name}').current()


def backbone_equals(model, state_dict):
    state_dict = {key: value for key, value in state_dict.items() if key.startswith('backbone.')}
    mine = {f'backbone.{key}': value for key, value in model.backbone.state_dict().items()}
    return mine.keys() == state_dict.keys() and all(torch.equal(mine[key], state_dict[key]) for key in mine)


@pytest.mark.parametrize('path', PROBES, ids=lambda path: path.stem)
def test_a_probe_config_trains_its_head_and_evaluates(path):
    runner = train(small(path, 'run'))
    assert 0 < runner.message_hub.get_scalar('train/loss').current() < 2
    assert all(0 <= metric(runner, f'multi-label/{name}') <= 100 for name in ('mAP', 'CF1', 'OF1_top3'))
    trained = {name for name, parameter in runner.model.named_parameters() if parameter.requires_grad}
    assert trained == {'head.fc.weight', 'head.fc.bias'}


@pytest.mark.parametrize('path', SEGMENTATIONS, ids=lambda path: path.stem)
def test_a_segmentation_config_trains_a_step_and_evaluates(path):
    runner = train(small(path, 'run'))
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert 0 <= metric(runner, 'mIoU') <= 100
    trained = {name.split('.')[0] for name, parameter in runner.model.named_parameters() if parameter.requires_grad}
    # The FCN heads train all weights; a linear layer is measured on frozen features.
    assert trained == ({'backbone', 'decode_head'} if 'fcn' in path.stem else {'decode_head'})


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    """A checkpoint of the demo's pretraining model, and its state dict."""
    config = Config.fromfile(CONFIGS / 'densecl_pp/vit-demo_scenes.py')
    # Pretraining may see smaller images; the position embedding would then be resized, and not be the same.
    config.model.backbone.img_size = SIZE
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        model = MODELS.build(config.model)
    model.init_weights()
    path = tmp_path_factory.mktemp('pretrained') / 'epoch_8.pth'
    save_checkpoint(dict(meta=dict(epoch=8), state_dict=model.state_dict()), str(path))
    return path, model.state_dict()


@pytest.mark.parametrize('benchmark', ['linear', 'segmentation'])
def test_the_frozen_backbone_is_the_pretrained_one_bit_for_bit_after_training(benchmark, pretrained):
    path, state_dict = pretrained
    config = CONFIGS / 'benchmarks' / benchmark / 'vit-demo_scenes.py'
    shutil.copy(path, 'epoch_8.pth')
    runner = train(small(config, 'run', checkpoint='epoch_8.pth'))
    assert backbone_equals(runner.model, state_dict)


def test_a_checkpoint_that_a_runner_wrote_is_taken_too():
    """It holds optimiser, scheduler and message hub besides the weights."""
    probe = train(small(CONFIGS / 'benchmarks/linear/vit-demo_scenes.py', 'probe'))
    probe.save_checkpoint('.', 'epoch_1.pth')
    segmentation = CONFIGS / 'benchmarks/segmentation/vit-demo_scenes.py'
    runner = train(small(segmentation, 'segmentation', checkpoint='epoch_1.pth'))
    assert backbone_equals(runner.model, probe.model.state_dict())


def test_the_configs_for_the_scenes_name_the_generators_classes():
    segmentation = Config.fromfile(CONFIGS / 'benchmarks/segmentation/vit-demo_scenes.py')
    assert tuple(segmentation.val_dataloader.dataset.metainfo.classes) == ('background', *CLASSES)
    assert segmentation.model.decode_head.num_classes == 1 + len(CLASSES)
    probe = Config.fromfile(CONFIGS / 'benchmarks/linear/vit-demo_scenes.py')
    assert probe.model.head.num_classes == len(CLASSES)
