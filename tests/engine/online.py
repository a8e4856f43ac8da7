"""A small pretraining with online evaluation on few scenes."""

from types import SimpleNamespace
from typing import Any, Dict, List, Optional

import torch
import torch.distributed as dist
from mmengine.registry import DefaultScope
from mmengine.visualization import BaseVisBackend
from torch import nn

from mmdclpp.registry import HOOKS, MODELS, VISBACKENDS

VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
    img_size=16,  # other than the labelled images
    patch_size=8,
    out_type='raw',
    drop_path_rate=0.5,
    drop_rate=0.2,
)
RESNET = dict(type='ResNet', depth=18, stem_channels=8, base_channels=4, norm_cfg=dict(type='BN'))
CHANNELS = {'VisionTransformer': 16, 'ResNet': 32}


def model(backbone: dict = VIT, aggregate: str = 'gap') -> dict:
    projector = dict(type='MLPProjector', hidden_channels=8, out_channels=8, num_layers=2, norm_cfg=dict(type='BN'))
    return dict(
        type='DenseCLPlusPlus',
        data_preprocessor=dict(
            type='SelfSupDataPreprocessor', mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0], to_rgb=True
        ),
        backbone=backbone,
        neck=dict(
            type='DenseCLPlusPlusNeck',
            in_channels=CHANNELS[backbone['type']],
            aggregate=aggregate,
            global_projector=projector,
            dense_projector=projector,
        ),
    )


def labels(root: str, split: str) -> dict:
    return dict(
        type='CocoMultiLabel',
        serialize_data=False,  # it takes longer than all the rest
        data_root=str(root),
        ann_file=f'annotations/instances_{split}.json',
        data_prefix=f'images/{split}',
        pipeline=[dict(type='LoadImage'), dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')],
    )


def masks(root: str, split: str) -> dict:
    return dict(
        type='BaseSegDataset',
        serialize_data=False,
        _scope_='mmseg',
        data_root=str(root),
        data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'masks/{split}'),
        metainfo=dict(classes=list(range(9))),
        pipeline=[
            dict(type='LoadImage', _scope_='mmdclpp'),
            dict(type='LoadAnnotations'),
            dict(type='Resize', scale=(32, 32), keep_ratio=False),
            dict(type='PackSegInputs'),
        ],
    )


def hooks(root: str, **options: Any) -> List[dict]:
    """Both hooks; every image of the scenes, unless ``options`` say otherwise."""
    options = dict(num_workers=0, **options)
    return [
        dict(type=kind, train=data(root, 'train'), val=data(root, 'val'), **options)
        for kind, data in (('OnlineMultiLabelHook', labels), ('OnlineDenseHook', masks))
    ]


def config(root: str, custom_hooks: List[dict], backbone: dict = VIT, max_epochs: int = 2) -> dict:
    views = [dict(type='RandomResizedCrop', scale=16), dict(type='RandomFlip', prob=0.5)]
    pipeline = [
        dict(type='LoadImage'),
        dict(type='MultiView', num_views=2, transforms=[views]),
        dict(type='PackInputs'),
    ]
    return dict(
        default_scope='mmdclpp',
        model=model(backbone),
        train_dataloader=dict(
            batch_size=6,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                type='UnlabelledImages', data_root=f'{root}/images/train', pipeline=pipeline, serialize_data=False
            ),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        visualizer=dict(
            type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='KeepingVisBackend')]
        ),
        randomness=dict(seed=0),
        custom_hooks=custom_hooks,
    )


@VISBACKENDS.register_module(force=True)
class KeepingVisBackend(BaseVisBackend):
    """A second backend, which keeps what it is given."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.scalars: List[dict] = []

    def _init_env(self) -> None:
        pass

    @property
    def experiment(self) -> 'KeepingVisBackend':
        return self

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: Optional[str] = None) -> None:
        self.scalars.append(dict(scalar_dict, step=step))


def stub_runner(model: nn.Module) -> SimpleNamespace:
    """As much of a runner as the hooks need, with what they logged in ``logged``."""
    logged: Dict[str, float] = {}
    return SimpleNamespace(
        model=model,
        hooks=[],
        epoch=0,
        max_epochs=1,
        iter=4,
        timestamp='now',
        logged=logged,
        visualizer=SimpleNamespace(add_scalars=lambda scalars, **_: logged.update(scalars)),
        logger=SimpleNamespace(info=lambda line: None),
    )


def evaluate(hook_configs: List[dict], model: nn.Module) -> Dict[str, float]:
    """What hooks log after an epoch, except the cost."""
    runner = stub_runner(model)
    for config in hook_configs:
        hook = HOOKS.build(config)
        hook.before_train(runner)
        hook.after_train_epoch(runner)
    return {name: value for name, value in runner.logged.items() if not name.endswith(('seconds', 'cost_percent'))}


def evaluate_in_a_group(rank: int, world_size: int, root: str, folder: str) -> None:
    """Process ``rank`` of several."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world_size)
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        torch.save(evaluate(hooks(root, max_images=11), small_model()), f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def small_model(**kwargs) -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(model(**kwargs))
