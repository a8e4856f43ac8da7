"""Attention of the class token: by hand, from a module's own weights, in float64."""

import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.attention import _LastAttention, class_attention
from mmdclpp.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=24)
MMPRETRAIN = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
TIMM = dict(
    type='mmpretrain.TIMMBackbone',
    model_name='vit_tiny_patch16_224',
    patch_size=8,
    img_size=32,
    embed_dim=24,
    depth=2,
    num_heads=3,
    dynamic_img_size=True,
)


def build(config):
    torch.manual_seed(0)
    backbone = MODELS.build(config)
    backbone.eval()
    for parameter in backbone.parameters():  # far from uniform attention
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return backbone


def last_attention(backbone):
    return backbone.layers[-1].attn if hasattr(backbone, 'layers') else backbone.timm_model.blocks[-1].attn


def by_hand(backbone, images):
    """softmax(q·k / √d) of the first token."""
    attention = last_attention(backbone)
    seen = []
    handle = attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double()))
    with torch.no_grad():
        backbone(images)
    handle.remove()
    tokens = seen[0]
    qkv = tokens @ attention.qkv.weight.double().T + attention.qkv.bias.double()
    query, key, _ = qkv.view(*tokens.shape[:2], 3, attention.num_heads, -1).unbind(2)
    query, key = (
        norm.double()(part) if norm else part
        for norm, part in zip((getattr(attention, 'q_norm', None), getattr(attention, 'k_norm', None)), (query, key))
    )
    logits = torch.einsum('vhc,vnhc->vhn', query[:, 0], key) / query.shape[-1] ** 0.5
    return logits.softmax(dim=-1)


@pytest.mark.parametrize(
    ('config', 'prefix'),
    [
        (MMPRETRAIN, 1),
        (TIMM, 1),
        ({**TIMM, 'reg_tokens': 4}, 5),
        ({**TIMM, 'qk_norm': True}, 1),
    ],
    ids=['mmpretrain', 'timm', 'timm with registers', 'timm with normalised queries'],
)
@pytest.mark.parametrize('size', [(32, 32), (48, 24)])
def test_it_is_the_softmax_of_the_last_layers_queries_and_keys(config, prefix, size):
    backbone = build(config)
    images = torch.randn(2, 3, *size)
    found = class_attention(backbone, images)
    weights = torch.cat([found.prefix, found.positions], dim=2)
    torch.testing.assert_close(weights.double(), by_hand(backbone, images), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 3))
    assert found.grid == (size[0] // 8, size[1] // 8) and found.prefix.shape == (2, 3, prefix)
    assert weights.std() > 0.01  # else any weights would do


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8), 'ResNet has no class token'),
        (dict(type='mmpretrain.TIMMBackbone', model_name='test_resnet'), 'ResNet has no class token'),
        ({**MMPRETRAIN, 'with_cls_token': False, 'out_type': 'featmap'}, 'VisionTransformer has no class token'),
    ],
)
def test_a_backbone_without_class_token_is_refused(config, message):
    with pytest.raises(UserError, match=message):
        class_attention(build(config), torch.randn(1, 3, 32, 32))


def test_attention_by_other_means_is_refused():
    backbone = build(TIMM)
    last_attention(backbone).fused_attn = False
    backbone.timm_model.blocks[0].attn.fused_attn = False
    with pytest.raises(UserError, match='does not compute its last attention.*scaled_dot_product_attention'):
        class_attention(backbone, torch.randn(1, 3, 32, 32))


MASK = torch.tensor([[True, False, True, True], [True, True, True, False]])[:, None, None].expand(2, 3, 4, 4)


@pytest.mark.parametrize(
    'options',
    [{}, dict(scale=0.3), dict(attn_mask=MASK), dict(attn_mask=MASK.float())],
    ids=['plain', 'scale', 'mask of truth values', 'mask of addends'],
)
def test_the_weights_are_those_that_torch_mixes_the_values_by(options):
    query, key, value = torch.randn(3, 2, 3, 4, 8, generator=torch.Generator().manual_seed(0))
    with _LastAttention() as last:
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, **options)
    found = torch.einsum('vhk,vhkc->vhc', last.weights, value)
    torch.testing.assert_close(found, mixed[:, :, 0])
