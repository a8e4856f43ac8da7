"""Layer-wise learning rate decay: every parameter's rate, in models of mmpretrain, mmseg and timm."""

import re

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS

LR, DECAY, RATE, DEPTH = 0.1, 0.05, 0.5, 3
VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=8, num_layers=DEPTH, num_heads=2, feedforward_channels=8),
    img_size=16,
    patch_size=8,
    out_type='featmap',
)
TIMM = dict(
    type='mmpretrain.TIMMBackbone',
    model_name='vit_tiny_patch16_224',
    embed_dim=8,
    depth=DEPTH,
    num_heads=2,
    img_size=16,
    patch_size=8,
)
HEAD = dict(type='FCNHead', in_channels=8, channels=8, num_classes=2, num_convs=1)


def segmentor(backbone):
    return ('mmseg', dict(type='EncoderDecoder', backbone=backbone, decode_head=HEAD, auxiliary_head=HEAD))


def inside_a_feature_map(backbone):
    return segmentor(dict(type='FeatureMap', _scope_='mmdclpp', backbone=backbone))


MODELS_WITH_A_VIT = {
    'classifier': (
        'mmdclpp',
        dict(type='ImageClassifier', backbone=VIT, head=dict(type='LinearClsHead', num_classes=2, in_channels=8)),
    ),
    'mmseg': segmentor(VIT),
    'FeatureMap in mmseg': inside_a_feature_map(VIT),
    'timm in mmseg': inside_a_feature_map(TIMM),
}


def build(scope, model):
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(model)
        return model, wrapper(model)


def wrapper(model, **paramwise_cfg):
    config = dict(
        constructor='mmpretrain.mmdclpp.LayerDecayOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=LR, weight_decay=DECAY),
        paramwise_cfg=dict(
            layer_decay_rate=RATE,
            norm_decay_mult=0.0,
            bias_decay_mult=0.0,
            custom_keys={'pos_embed': dict(decay_mult=0.0), 'cls_token': dict(decay_mult=0.0)},
        )
        | paramwise_cfg,
    )
    return build_optim_wrapper(model, config)


def layers_above(name, timm):
    """How many layers stand above a parameter, written down anew."""
    if 'backbone.' not in name:
        return 0
    block = re.search(r'\.(?:layers|blocks)\.(\d+)\.', name)
    if block:
        return DEPTH - int(block[1])
    if any(part in name for part in ('patch_embed', 'pos_embed', 'cls_token')):
        return DEPTH + 1
    return 1 if timm else 0  # the last norm


@pytest.mark.parametrize('name', MODELS_WITH_A_VIT)
def test_each_parameter_learns_by_its_layer_and_none_is_left_out_or_taken_twice(name):
    model, optim_wrapper = build(*MODELS_WITH_A_VIT[name])
    names = {id(parameter): key for key, parameter in model.named_parameters() if parameter.requires_grad}
    groups = {names[id(p)]: group for group in optim_wrapper.optimizer.param_groups for p in group['params']}
    assert sorted(groups) == sorted(names.values())
    assert sum(len(group['params']) for group in optim_wrapper.optimizer.param_groups) == len(names)

    rates = {key: group['lr'] for key, group in groups.items()}
    assert rates == {key: pytest.approx(LR * RATE ** layers_above(key, 'timm' in name)) for key in rates}
    assert len(set(rates.values())) == DEPTH + 2

    norms = {id(p) for m in model.modules() if isinstance(m, (nn.LayerNorm, nn.BatchNorm2d)) for p in m.parameters()}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = names[id(parameter)]
            plain = id(parameter) in norms or key.endswith(('bias', 'pos_embed', 'cls_token'))
            assert groups[key]['weight_decay'] == (0 if plain else DECAY), key


def test_the_benchmark_with_it_learns_from_half_a_percent_to_all_of_its_rate(repo):
    config = Config.fromfile(repo / 'configs/benchmarks/segmentation/vit-s16_upernet_layer-decay_voc12aug.py')
    model = dict(config.model, init_cfg=None)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        groups = build_optim_wrapper(MODELS.build(model), config.optim_wrapper).optimizer.param_groups
    rates = sorted({round(group['lr'] / config.optim_wrapper.optimizer.lr, 6) for group in groups})
    assert rates == [round(0.65**above, 6) for above in range(13, -1, -1)]


@pytest.mark.parametrize(
    ('paramwise_cfg', 'message'),
    [
        (dict(layer_decay_rate=None), 'layer_decay_rate=None must lie in'),
        (dict(layer_decay_rate=1.5), 'layer_decay_rate=1.5 must lie in'),
        (dict(custom_keys={'head': dict(lr_mult=10)}), 'head multiplies learning rates, which layer_decay_rate sets'),
        (dict(bias_lr_mult=2), 'bias_lr_mult multiplies learning rates'),
    ],
)
def test_settings_that_would_do_nothing_are_refused(paramwise_cfg, message):
    with pytest.raises(UserError, match=message):
        wrapper(nn.Linear(1, 1), **paramwise_cfg)


def test_a_backbone_that_does_not_tell_its_layers_is_refused():
    model = nn.Module()
    model.backbone = nn.Linear(1, 1)
    with pytest.raises(UserError, match='Linear does not tell its layers'):
        wrapper(model)
