"""Checkpoints to export."""

import re
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
import torch
from mmengine.config import Config

from mmdclpp.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=50)  # 50/24 is no finite binary fraction
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
RESNET = dict(type='mmpretrain.ResNet', depth=18, base_channels=8)
TIMM_VIT = dict(
    type='mmpretrain.TIMMBackbone',
    model_name='vit_tiny_patch16_224',
    img_size=32,
    patch_size=8,
    embed_dim=24,
    depth=1,
    num_heads=2,
)
TIMM_CNN = dict(type='mmpretrain.TIMMBackbone', model_name='resnet10t')
BACKBONES = {
    'ViT, cls': (VIT, 'cls'),
    'ViT, gap': (VIT, 'gap'),
    'ViT, variant': (
        {**VIT, 'with_cls_token': False, 'pre_norm': True, 'layer_scale_init_value': 0.1, 'qkv_bias': False},
        'gap',
    ),
    'ResNet': (RESNET, 'gap'),
    'ResNet, bottlenecks': ({**RESNET, 'depth': 50}, 'gap'),
    'ResNet-C': ({**RESNET, 'type': 'mmpretrain.ResNetV1c', 'depth': 50}, 'gap'),
    'ResNet-D': ({**RESNET, 'type': 'mmpretrain.ResNetV1d'}, 'gap'),
    'timm ViT': (TIMM_VIT, 'cls'),
    'timm CNN': (TIMM_CNN, 'gap'),
}


def write_checkpoint(path: Path, backbone: Dict[str, Any], aggregate: str = 'gap', to_rgb: bool = True) -> str:
    """A checkpoint as a runner writes it, in which no weight has the value that its layer begins with."""
    model = dict(
        type='DenseCLPlusPlus',
        loss_lambda=0,
        data_preprocessor=dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 55.0], to_rgb=to_rgb),
        backbone=backbone,
        neck=dict(aggregate=aggregate),
    )
    dataset = dict(type='UnlabelledImages', data_root='photos/', pipeline=[dict(type='RandomResizedCrop', scale=64)])
    loader = dict(batch_size=2, dataset=dict(type='ConcatDataset', datasets=[dataset]))
    cfg = Config(
        dict(default_scope='mmdclpp', model=model, train_dataloader=loader, work_dir='/home/somebody/runs'),
        format_python_code=False,
    )
    torch.manual_seed(1)
    built = MODELS.build(backbone)
    for name, value in built.state_dict().items():
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.5, 1.5) if 'running_var' in name else torch.nn.init.normal_(value, std=0.3)
    state_dict = {f'backbone.{key}': value for key, value in built.state_dict().items()}
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, seed=3, epoch=2, iter=9), state_dict=state_dict), path)
    return str(path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[str], str]:
    """Write the checkpoint of one of ``BACKBONES``."""

    def _checkpoint(name: str) -> str:
        backbone, aggregate = BACKBONES[name]
        return write_checkpoint(tmp_path / 'epoch_2.pth', backbone, aggregate)

    return _checkpoint


def run_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Dict[str, Any]:
    """What the variables are after the code of a model card has run where the card says."""
    code = re.search(r'## Loading.*?```python\n(.*?)```', (folder / 'README.md').read_text(), re.DOTALL)[1]
    variables: Dict[str, Any] = {}
    monkeypatch.chdir(folder.parent)
    with torch.no_grad():
        exec(code, variables)
    return variables
