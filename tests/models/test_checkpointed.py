"""Gradient checkpointing: the same gradients and statistics for less memory."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.checkpointed import checkpoint_blocks
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.models.backbones.wrapped import innermost_backbone
from mmdclpp.registry import MODELS

TINY = dict(embed_dim=16, depth=3, num_heads=2, img_size=32, patch_size=8)
VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=64),
    img_size=32,
    patch_size=8,
    out_type='raw',
    drop_path_rate=0.5,
    drop_rate=0.3,
)
RESNET = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN'))
# Name -> (config, number of blocks).
BACKBONES = {
    'mmpretrain ViT': (VIT, 3),
    'mmpretrain ResNet': (RESNET, 8),
    'mmpretrain ConvNeXt': (dict(type='ConvNeXt', arch='atto', gap_before_final_norm=False), 12),
    'timm ViT': (dict(type='TIMMBackbone', model_name='vit_tiny_patch16_224', drop_path_rate=0.5, **TINY), 3),
    'timm ResNet': (dict(type='TIMMBackbone', model_name='resnet10t'), 4),
    'timm ConvNeXt': (dict(type='TIMMBackbone', model_name='convnext_atto'), 12),
}


class Model(BaseModel):
    """A model with a backbone, in float64, and a loss that no norm of features keeps constant."""

    def __init__(self, config):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = MODELS.build(config).double()

    def forward(self, images):
        return extract_features(self.backbone, images).positions.sin().mean()


def images(number=2):
    return torch.rand(number, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def step(model):
    """Gradients, buffers and bytes kept between the passes of one training step."""
    kept = {}

    def pack(tensor):
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(images())
    size = sum(kept.values())
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return gradients, dict(model.named_buffers()), size


@pytest.mark.parametrize(('config', 'number'), BACKBONES.values(), ids=BACKBONES)
def test_gradients_and_statistics_are_those_without_it_for_less_memory(config, number):
    plain = Model(config).train()
    model = copy.deepcopy(plain)
    assert checkpoint_blocks(innermost_backbone(model)[0]) == number

    expected, expected_buffers, size = step(plain)
    gradients, buffers, smaller = step(model)
    torch.testing.assert_close(gradients, expected)
    torch.testing.assert_close(buffers, expected_buffers)
    assert smaller < 0.75 * size
    with torch.no_grad():
        assert torch.equal(model.eval()(images()), plain.eval()(images()))


def test_a_backbone_without_known_blocks_is_refused():
    with pytest.raises(UserError, match='gradient checkpointing: the blocks of LeNet5 are not known: train without it'):
        checkpoint_blocks(MODELS.build(dict(type='LeNet5')))
    with pytest.raises(UserError, match='Linear has no backbone'):
        innermost_backbone(nn.Linear(1, 1))


def _gradients(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        model = Model(dict(VIT, drop_path_rate=0.0, drop_rate=0.0))
    checkpoint_blocks(model.backbone)
    distributed = DistributedDataParallel(model)
    distributed(images(4)[2 * rank : 2 * rank + 2]).backward()
    torch.save({name: parameter.grad for name, parameter in model.named_parameters()}, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(tmp_path):
    mp.spawn(_gradients, args=(str(tmp_path),), nprocs=2)
    model = Model(dict(VIT, drop_path_rate=0.0, drop_rate=0.0))
    model(images(4)).backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f'{rank}.pt'), expected)
