"""Features of intermediate layers: those that the libraries themselves give, under one numbering."""

import pytest
import torch
from torch import nn

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.models.backbones.layers import extract_layers
from mmdclpp.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=24)
VIT = dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
RESNET = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)
SWIN = dict(
    type='SwinTransformer',
    arch=dict(embed_dims=12, depths=[1] * 4, num_heads=[1] * 4),
    img_size=32,
    window_size=2,
    pad_small_map=True,
)
SMALL_VIT = dict(patch_size=8, img_size=32, embed_dim=24, depth=3, num_heads=2)
TIMM = {
    'vit_tiny_patch16_224': SMALL_VIT,
    'vit_small_patch14_reg4_dinov2': SMALL_VIT,
    'swin_tiny_patch4_window7_224': dict(img_size=32, window_size=2, embed_dim=12, depths=(1, 1), num_heads=(1, 2)),
    'test_convnext': {},
    'test_resnet': {},
}


def build(config):
    torch.manual_seed(0)
    backbone = MODELS.build(config)
    backbone.eval()
    return backbone


def images(height=32, width=32):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def as_map(features):
    return features.positions.transpose(1, 2).unflatten(2, features.grid)


@pytest.mark.parametrize(
    ('config', 'number'), [({**VIT, 'out_type': 'featmap'}, 3), (RESNET, 4)], ids=['ViT', 'ResNet']
)
def test_layers_of_mmpretrain_are_its_out_indices(config, number):
    everything, last = build({**config, 'out_indices': list(range(number))}), build(config)
    last.load_state_dict(everything.state_dict())
    layers = extract_layers(last, images(32, 64), range(number))
    for features, expected in zip(layers, everything(images(32, 64)), strict=True):
        torch.testing.assert_close(as_map(features), expected, rtol=0, atol=0)


@pytest.mark.parametrize('name', TIMM)
def test_layers_of_timm_are_its_intermediates_and_the_last_its_own_output(name):
    backbone = build(dict(type='TIMMBackbone', model_name=name, **TIMM[name]))
    expected = backbone.timm_model.forward_intermediates(images(), intermediates_only=True)
    expected = expected[1:] if name == 'test_resnet' else expected  # without the stem
    *layers, last = extract_layers(backbone, images(), range(len(expected)))
    for features, intermediate in zip(layers, expected):
        torch.testing.assert_close(as_map(features), intermediate, rtol=0, atol=0)
    assert torch.equal(last.positions, extract_features(backbone, images()).positions)


def test_layers_come_as_asked_for_with_their_class_tokens_and_leave_no_hooks():
    backbone = build(VIT)
    first, last, same = extract_layers(backbone, images(), [0, -1, 2])
    assert torch.equal(last.positions, same.positions) and torch.equal(last.cls, same.cls)
    assert not torch.equal(first.cls, last.cls)
    assert not any(module._forward_hooks for module in backbone.modules())


def test_the_last_layer_is_the_one_whose_output_is_the_backbones():
    backbone = build({**RESNET, 'out_indices': (2,)})
    (last,) = extract_layers(backbone, images(), [-1])
    assert torch.equal(as_map(last), backbone(images())[0])
    with pytest.raises(UserError, match='no layer 3: ResNet has 3, 0 to 2'):
        extract_layers(backbone, images(), [3])


@pytest.mark.parametrize(
    ('backbone', 'layer', 'message'),
    [
        (VIT, 3, 'no layer 3: VisionTransformer has 3, 0 to 2'),
        (VIT, -4, 'no layer -4'),
        (
            SWIN,
            0,
            'more than feat',
        ),
        (nn.Conv2d(3, 4, 8), 0, 'those of Conv2d are not known'),
    ],
    ids=['too high', 'too low', 'not features alone', 'unknown'],
)
def test_layers_that_cannot_be_given_are_explained(backbone, layer, message):
    with pytest.raises(UserError, match=message):
        extract_layers(backbone if isinstance(backbone, nn.Module) else build(backbone), images(64, 64), [layer])
