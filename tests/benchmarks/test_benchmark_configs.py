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

from mmdclpp.apis import test as evaluate
from mmdclpp.datasets.scenes import CLASSES
from mmdclpp.registry import DATASETS, MODELS

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / 'configs'
PROBES = sorted((CONFIGS / 'benchmarks/linear').glob('*.py'))
SEGMENTATIONS = sorted((CONFIGS / 'benchmarks/segmentation').glob('*.py'))
DETECTIONS = sorted((CONFIGS / 'benchmarks/detection').glob('*.py'))
# One for each head and for each data set; the others differ from these in their data (a test below).
BY_DEFAULT = {
    'r50_fcn_voc12aug',
    'r50_upernet_voc12',
    'vit-s16_fcn_cocoobjects',
    'vit-s16_upernet_cocostuff164k',
    'vit-demo_scenes',
}
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
    config = Config.fromfile(path, format_python_code=False)
    root = Path(work_dir, 'data')
    config.work_dir = work_dir
    config.model.init_cfg.checkpoint = checkpoint
    if config.default_scope == 'mmseg':
        num_classes = config.model.decode_head.num_classes
        for head in filter(None, (config.model.decode_head, config.model.get('auxiliary_head'))):
            if head.get('num_convs') != 0:
                head.channels = 8
    elif config.default_scope == 'mmdet':
        num_classes = config.model.roi_head.bbox_head.num_classes
        # Few regions, but whatever their scores: an untrained detector is sure of nothing.
        config.model.train_cfg.rcnn.sampler.num = 16
        config.model.train_cfg.rpn_proposal.max_per_img = config.model.test_cfg.rpn.max_per_img = 16
        config.model.test_cfg.rcnn.score_thr = 0.0
    else:
        num_classes = config.model.head.num_classes
    config.train_cfg.update({'max_epochs' if 'max_epochs' in config.train_cfg else 'max_iters': 1, 'val_interval': 1})
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[name].update(batch_size=2, num_workers=0, persistent_workers=False)
        dataset = config[name].dataset
        for part in dataset.get('datasets', [dataset]):
            part.data_root = str(root)
            write_data(part, root, num_classes)
    for key in ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'tta_pipeline'):
        shrink(config.get(key))
    for key in ('val_evaluator', 'test_evaluator'):
        if 'ann_file' in config[key]:
            config[key].ann_file = str(root / config.val_dataloader.dataset.ann_file)
    config.train_dataloader.drop_last = False
    config.param_scheduler = config.default_hooks.checkpoint = None
    return config


def shrink(part):
    """Set every size of an image, of a model or a pipeline, to 64 px, and strides between crops to half of it."""
    sizes = dict(scale=SIZE, crop_size=SIZE, size=SIZE, stride=SIZE // 2)
    if isinstance(part, dict):
        for key in sizes.keys() & part.keys():
            if isinstance(part[key], (list, tuple)):
                part[key] = (sizes[key], sizes[key])
        if 'scales' in part and part.type == 'RandomChoiceResize':
            part.scales = [(SIZE, SIZE)]
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for child in part:
            shrink(child)


def write_data(dataset, root, num_classes):
    """Two images where the dataset looks for them, with masks, boxes or outlines of all classes."""
    rng = np.random.default_rng(0)
    prefix = dataset.data_prefix
    folder = root / (prefix.get('img_path') or prefix.get('img') or f'{prefix.get("sub_data_root")}/JPEGImages')
    folder.mkdir(parents=True, exist_ok=True)
    for name in '01':
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(folder / f'{name}.jpg')
    content = '0\n1\n'
    if 'seg_map_path' in prefix:
        suffix = '_labelTrainIds.png' if dataset.type == 'COCOStuffDataset' else '.png'
        masks = root / prefix.seg_map_path
        masks.mkdir(parents=True, exist_ok=True)
        for name in '01':
            mask = rng.integers(0, num_classes, (SIZE, SIZE), dtype=np.uint8)
            Image.fromarray(mask).save(masks / f'{name}{suffix}')
    elif dataset.type == 'VOCDataset':
        annotations = folder.parent / 'Annotations'
        annotations.mkdir(exist_ok=True)
        for name in '01':
            (annotations / f'{name}.xml').write_text(_VOC_ANNOTATION)
    else:
        names = coco_names() if dataset.type == 'CocoDataset' else [f'class {c}' for c in range(num_classes)]
        categories = [dict(id=c + 1, name=name) for c, name in enumerate(names)]
        images = [dict(id=i, file_name=f'{i}.jpg', width=SIZE, height=SIZE) for i in range(2)]
        square = dict(bbox=[8, 8, 40, 40], area=1600, segmentation=[[8, 8, 48, 8, 48, 48, 8, 48]], iscrowd=0)
        annotations = [dict(id=c, image_id=c % 2, category_id=c + 1, **square) for c in range(num_classes)]
        content = json.dumps(dict(categories=categories, images=images, annotations=annotations))
    if 'ann_file' in dataset:
        path = root / dataset.ann_file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


_VOC_ANNOTATION = f"""<annotation><size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>
<object><name>dog</name><difficult>0</difficult>
<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>48</xmax><ymax>48</ymax></bndbox></object></annotation>"""


def coco_names():
    from mmdet.datasets import CocoDataset

    return CocoDataset.METAINFO['classes']


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


def some_are_slow(path):
    return pytest.param(path, marks=() if path.stem in BY_DEFAULT else pytest.mark.slow, id=path.stem)


@pytest.mark.parametrize('path', map(some_are_slow, SEGMENTATIONS))
def test_a_segmentation_config_trains_a_step_and_evaluates(path):
    runner = train(small(path, 'run'))
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert 0 <= metric(runner, 'mIoU') <= 100
    trained = {name.split('.')[0] for name, parameter in runner.model.named_parameters() if parameter.requires_grad}
    if not {'fcn', 'upernet'} & set(path.stem.split('_')):
        assert trained == {'decode_head'}  # a linear layer is measured on frozen features
    else:
        assert trained == {name for name, _ in runner.model.named_children()} - {'data_preprocessor'}


@pytest.mark.parametrize('head', ['linear', 'fcn', 'upernet'])
@pytest.mark.parametrize('arch', ['vit-s16', 'r50'])
def test_segmentation_configs_of_one_model_differ_in_their_data_and_number_of_classes_alone(arch, head):
    models = []
    for data in ('voc12', 'voc12aug', 'cocostuff164k', 'cocoobjects'):
        config = small(CONFIGS / f'benchmarks/segmentation/{arch}_{head}_{data}.py', data)
        with DefaultScope.overwrite_default_scope('mmseg'):
            dataset = DATASETS.build(dict(config.val_dataloader.dataset, pipeline=[], serialize_data=False))
        heads = filter(None, (config.model.decode_head, config.model.get('auxiliary_head')))
        assert {head.pop('num_classes') for head in heads} == {len(dataset.metainfo['classes'])}
        models.append(config.model)
    assert models[1:] == models[:-1]


@pytest.mark.parametrize('name', ['vit-demo_scenes', 'r50_linear_voc12'])
def test_a_segmentation_config_is_measured_with_augmentation(name):
    config = small(CONFIGS / f'benchmarks/segmentation/{name}.py', 'run')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config.model)
    save_checkpoint(dict(state_dict=model.state_dict()), 'trained.pth')
    assert 0 <= evaluate(config, 'trained.pth', tta=True)['mIoU'] <= 100


@pytest.mark.parametrize('arch', ['vit-s16', 'r50'])
def test_a_linear_layer_is_trained_on_the_pretrained_backbone_which_stays_as_it_was(arch):
    """Weights, and of a ResNet the statistics of its batch norms; a ViT's position embedding is resized on loading."""
    backbone = build_backbone(f'densecl_pp/{arch}_coco.py')
    before = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    save_checkpoint(dict(state_dict=before), 'pretrained.pth')
    runner = train(small(CONFIGS / f'benchmarks/segmentation/{arch}_linear_cocoobjects.py', 'run', 'pretrained.pth'))
    after = {key: value for key, value in runner.model.state_dict().items() if key.startswith('backbone.')}
    before.pop('backbone.pos_embed', None), after.pop('backbone.pos_embed', None)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


def build_backbone(config):
    """The backbone of a pretraining config, with statistics that one training step would change."""
    backbone = MODELS.build(Config.fromfile(CONFIGS / config, format_python_code=False).model.backbone)
    for name, buffer in backbone.named_buffers():
        if name.endswith('running_mean'):
            torch.nn.init.normal_(buffer, std=0.1)
    return backbone


@pytest.mark.parametrize('path', DETECTIONS, ids=lambda path: path.stem)
def test_a_detection_config_is_read_without_mmdet(path):
    config = Config.fromfile(path, format_python_code=False)
    assert config.default_scope == 'mmdet'
    assert config.model.roi_head.bbox_head.num_classes == config.num_classes


@pytest.mark.ops
@pytest.mark.parametrize('path', DETECTIONS, ids=lambda path: path.stem)
def test_a_detection_config_takes_a_pretrained_backbone_trains_a_step_and_evaluates(path):
    backbone = build_backbone('densecl_pp/r50_coco.py').state_dict()
    save_checkpoint(dict(state_dict={f'backbone.{key}': value for key, value in backbone.items()}), 'pretrained.pth')
    config = small(path, 'run', 'pretrained.pth')
    config.optim_wrapper.optimizer.lr = 0.0  # the weights that are compared below
    runner = train(config)
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert 0 <= metric(runner, 'pascal_voc/mAP' if 'voc' in path.stem else 'coco/bbox_mAP') <= 1
    assert all(parameter.requires_grad for parameter in runner.model.parameters())
    model = dict(runner.model.named_parameters())
    for key in backbone.keys() - {name for name, _ in build_backbone('densecl_pp/r50_coco.py').named_buffers()}:
        place = 'roi_head.shared_head' if 'c4' in path.stem and key.startswith('layer4.') else 'backbone'
        assert torch.equal(model[f'{place}.{key}'], backbone[key])


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
