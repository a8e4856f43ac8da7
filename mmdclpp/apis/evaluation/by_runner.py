"""Evaluations by the mm* runners: a linear probe with augmentation, and segmentation."""

from typing import Any, Dict, Tuple

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size

from mmdclpp.apis._runner import load_config, shipped_config, show_as_bar
from mmdclpp.apis.evaluation.job import Job, NotApplicable
from mmdclpp.apis.evaluation.on_features import check_splits
from mmdclpp.apis.evaluation.resize import PUBLISHED_CROP, set_crop_size, set_image_size
from mmdclpp.apis.training import train
from mmdclpp.datasets.scenes import CLASSES
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import DATASETS
from mmdclpp.utils.imports import import_quietly

import_quietly('mmseg.datasets')

_NEVER = 10**9
# By the name of a data set: what the fine-tuning configs call it, its class in mmseg, and how many classes it has.
_SEGMENTATION_DATA = {
    'VOC2012Aug': ('voc12aug', dict(type='PascalVOCDataset'), 21),
    'VOC2012': ('voc12', dict(type='PascalVOCDataset'), 21),
    'voc_seg': ('voc12', dict(type='PascalVOCDataset'), 21),
    'COCO objects': ('cocoobjects', dict(type='CocoObjectsDataset', _scope_='mmdclpp'), 81),
    'COCO-Stuff 164k': ('cocostuff164k', dict(type='COCOStuffDataset'), 171),
    'scenes': ('', dict(type='BaseSegDataset', metainfo=dict(classes=['background', *CLASSES])), len(CLASSES) + 1),
}
# What makes a backbone dense: such keys of the benchmark's backbone go to the evaluated one.
_DENSE_KEYS = ('img_size', 'out_type', 'out_indices', 'strides', 'dilations', 'drop_path_rate')


def linear_with_augmentation(job: Job) -> Dict[str, Any]:
    """fnc's linear evaluation: augmented crops, 90 epochs."""
    cfg = shipped_config(f'benchmarks/linear/vit-s16_{"voc07" if job.data.protocol == "voc" else "coco"}.py')
    for split, loader in (('train', cfg.train_dataloader), ('test', cfg.val_dataloader)):
        loader.dataset.update(job.data.options(split))
        loader.dataset.pipeline = set_image_size(loader.dataset.pipeline, job.image_size)
    classes = check_splits(*(DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.val_dataloader)))
    cfg.model.backbone = job.source.backbone
    cfg.model.aggregate = job.source.aggregate
    cfg.model.data_preprocessor.update(job.source.normalise)
    # The learning rate of the config counts classes, over which our loss is a mean.
    cfg.optim_wrapper.optimizer.lr *= len(classes) / cfg.model.head.num_classes
    cfg.model.head.update(in_channels=_channels(job), num_classes=len(classes))
    cfg.val_evaluator.classwise = True
    measured, schedule = _measure(cfg, job)
    metrics = {key.removeprefix('multi-label/'): value for key, value in measured.items()}
    per_class = [{'class': name, 'AP': metrics.pop(f'AP_{name}')} for name in classes]
    return dict(metrics=metrics, per_class=per_class, settings=dict(image_size=job.image_size, **schedule))


def linear_segmentation(job: Job) -> Dict[str, Any]:
    """A linear layer on frozen features of whole images."""
    cfg = shipped_config('benchmarks/quick/linear_segmentation.py')
    size = job.segmentation_size
    _, dataset, num_classes = _SEGMENTATION_DATA[job.data.name]
    for split, loader in (('train', cfg.train_dataloader), ('test', cfg.val_dataloader)):
        loader.dataset.update(**dataset, **job.data.options(split))
        loader.dataset.pipeline = set_image_size(loader.dataset.pipeline, size)
    cfg.model.data_preprocessor.size = (size, size)
    cfg.model.backbone.backbone = job.source.backbone
    channels = _channels(job)
    cfg.model.neck.in_channels = channels
    cfg.model.decode_head.update(in_channels=channels, channels=channels, num_classes=num_classes)
    return _segment(cfg, job, size)


def fcn_segmentation(job: Job) -> Dict[str, Any]:
    """All weights trained with an FCN head: DenseCL's protocol on VOC."""
    return _fine_tuned(job, 'fcn')


def upernet_segmentation(job: Job) -> Dict[str, Any]:
    """All weights trained with UPerNet."""
    return _fine_tuned(job, 'upernet')


def _fine_tuned(job: Job, head: str) -> Dict[str, Any]:
    backbone = job.source.backbone
    kind = backbone['type'].split('.')[-1]
    family = {'VisionTransformer': 'vit-s16', 'ResNet': 'r50'}.get(kind)
    if head == 'upernet' and family is None:
        raise NotApplicable(f'which feature maps of a {kind} UPerNet should take is not known')
    cfg = shipped_config(
        f'benchmarks/segmentation/{family or "vit-s16"}_{head}_{_SEGMENTATION_DATA[job.data.name][0]}.py'
    )
    _place_data(cfg, job)
    size = job.options.segmentation_size or PUBLISHED_CROP
    set_crop_size(cfg, size)
    if family is None:
        # In the form in which it was pretrained; timm interpolates a position embedding at run time.
        cfg.model.backbone = dict(type='FeatureMap', _scope_='mmdclpp', backbone=backbone)
        cfg.model.init_cfg.part = 'backbone.backbone'
    else:
        dense = {key: value for key, value in cfg.model.backbone.items() if key in _DENSE_KEYS}
        if family == 'vit-s16' and 'out_indices' in dense:
            depth = len(job.backbone.layers)
            if depth < 4:
                raise NotApplicable(f'UPerNet takes the maps of four layers, and {job.source.arch} has {depth}')
            dense['out_indices'] = tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4))
        cfg.model.backbone = {**backbone, **dense}
    _set_width(cfg.model, _channels(job))
    return _segment(cfg, job, size)


def _set_width(model: Dict[str, Any], width: int) -> None:
    """Make the heads of a segmentor, written for a ViT-S or a ResNet-50, fit a backbone whose last map is so wide."""

    def scaled(channels: Any) -> Any:
        return [scaled(each) for each in channels] if isinstance(channels, (list, tuple)) else channels * width // last

    published = model['decode_head']['in_channels']
    last = published if isinstance(published, int) else published[-1]
    for part in ('neck', 'decode_head', 'auxiliary_head'):
        for key in ('in_channels', 'out_channels'):
            if key in (model.get(part) or {}):
                model[part][key] = scaled(model[part][key])


def _place_data(cfg: Config, job: Job) -> None:
    """Point the data sets of a config, which lie below ``data/``, to where they are."""
    for split, loader in (('train', cfg.train_dataloader), ('test', cfg.val_dataloader)):
        for dataset in loader.dataset.get('datasets', [loader.dataset]):
            if job.data.full:
                dataset.data_root = str(job.options.data_root / dataset.data_root.removeprefix('data/')) + '/'
            else:
                dataset.update(job.data.options(split))


def _channels(job: Job) -> int:
    """The width of the backbone's features."""
    side = job.source.image_size
    with torch.no_grad():
        return extract_features(job.backbone.cpu(), torch.zeros(1, 3, side, side)).positions.shape[2]


def _segment(cfg: Config, job: Job, size: int) -> Dict[str, Any]:
    """Train and measure a segmentation config whose model and data are set."""
    normalise = dict(job.source.normalise)
    normalise['bgr_to_rgb'] = normalise.pop('to_rgb')
    cfg.model.data_preprocessor.update(normalise)
    metrics, schedule = _measure(cfg, job)
    return dict(metrics=metrics, settings=dict(crop_size=size, **schedule))


def _measure(cfg: Config, job: Job) -> Tuple[Dict[str, float], Dict[str, Any]]:
    """Train a config from where it stopped, and measure the result once; also, what tells of its schedule."""
    cfg.model.init_cfg.checkpoint = str(job.weights)
    cfg.train_cfg.val_begin = _NEVER  # measured once, below: also if only that was interrupted
    show_as_bar(cfg)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers = job.options.num_workers
    # The protocol's batch, of all processes together: it must not depend on how many there are.
    cfg.train_dataloader.batch_size = cfg.auto_scale_lr.base_batch_size
    cfg = load_config(cfg, job.options.cfg_options)
    schedule = _schedule(cfg)
    batch, processes = cfg.train_dataloader.batch_size, get_world_size()
    if batch % processes:
        raise UserError(
            f'train_dataloader.batch_size={batch}, of all processes together, cannot be shared by {processes}: choose '
            'another number of processes'
        )
    cfg.train_dataloader.batch_size = batch // processes
    runner = train(cfg, work_dir=str(job.folder), resume=True, seed=job.options.seed, launcher=job.options.launcher)
    return {key: float(value) for key, value in runner.val().items()}, schedule


def _schedule(cfg: Config) -> Dict[str, Any]:
    length = {key: cfg.train_cfg[key] for key in ('max_epochs', 'max_iters') if key in cfg.train_cfg}
    return dict(
        **length,
        batch_size=cfg.train_dataloader.batch_size,
        optimizer=cfg.optim_wrapper.optimizer.type,
        learning_rate=cfg.optim_wrapper.optimizer.lr,
    )
