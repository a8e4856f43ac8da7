"""Names of weights in other libraries."""

import pytest

from mmdclpp.apis.exporting import to_hf, to_timm
from mmdclpp.apis.exporting.keys import rename
from mmdclpp.errors import UserError


@pytest.mark.parametrize(
    ('rules', 'key', 'names'),
    [
        (to_timm.VIT_RULES, 'cls_token', ('cls_token',)),
        (to_timm.VIT_RULES, 'patch_embed.projection.bias', ('patch_embed.proj.bias',)),
        (to_timm.VIT_RULES, 'layers.11.ln2.weight', ('blocks.11.norm2.weight',)),
        (to_timm.VIT_RULES, 'layers.0.attn.qkv.bias', ('blocks.0.attn.qkv.bias',)),
        (to_timm.VIT_RULES, 'layers.0.attn.gamma1.weight', ('blocks.0.ls1.gamma',)),
        (to_timm.VIT_RULES, 'layers.3.ffn.layers.0.0.weight', ('blocks.3.mlp.fc1.weight',)),
        (to_timm.VIT_RULES, 'layers.3.ffn.layers.1.weight', ('blocks.3.mlp.fc2.weight',)),
        (to_timm.VIT_RULES, 'ln1.bias', ('norm.bias',)),
        (to_timm.RESNET_RULES, 'stem.1.conv.weight', ('conv1.3.weight',)),
        (to_timm.RESNET_RULES, 'layer4.1.bn2.running_var', ('layer4.1.bn2.running_var',)),
        (to_timm.RESNET_RULES, 'layer1.0.downsample.0.weight', ('layer1.0.downsample.0.weight',)),
        (to_timm.POOLED_RESNET_RULES, 'layer1.0.downsample.0.weight', ('layer1.0.downsample.1.weight',)),
        (to_timm.POOLED_RESNET_RULES, 'layer2.0.downsample.1.weight', ('layer2.0.downsample.1.weight',)),
        (
            to_hf.VIT_RULES,
            'layers.7.attn.qkv.weight',
            tuple(f'encoder.layer.7.attention.attention.{part}.weight' for part in ('query', 'key', 'value')),
        ),
        (to_hf.VIT_RULES, 'layers.7.attn.proj.bias', ('encoder.layer.7.attention.output.dense.bias',)),
        (to_hf.VIT_RULES, 'layers.7.ln1.bias', ('encoder.layer.7.layernorm_before.bias',)),
        (to_hf.VIT_RULES, 'layers.7.ffn.layers.1.bias', ('encoder.layer.7.output.dense.bias',)),
        (to_hf.resnet_rules(3), 'bn1.running_mean', ('embedder.embedder.normalization.running_mean',)),
        (to_hf.resnet_rules(3), 'layer2.1.conv3.weight', ('encoder.stages.1.layers.1.layer.2.convolution.weight',)),
        (
            to_hf.resnet_rules(2),
            'layer4.0.downsample.1.bias',
            ('encoder.stages.3.layers.0.shortcut.normalization.bias',),
        ),
    ],
)
def test_a_weight_has_its_name_in_the_library(rules, key, names):
    assert rename([key], rules, 'there') == {key: names}


def test_a_weight_that_the_library_has_no_name_for_is_refused():
    with pytest.raises(UserError, match='to=hf: there is no weight like layers.0.attn.gamma1.weight'):
        rename(['layers.0.attn.gamma1.weight'], to_hf.VIT_RULES, 'hf')


def test_a_rule_fits_a_whole_key_or_not_at_all():
    assert rename(['ln1.weight'], [(r'ln1\.weight', ['norm'])], 'timm') == {'ln1.weight': ('norm',)}
    with pytest.raises(UserError, match='no weight like ln1.weight_extra'):
        rename(['ln1.weight_extra'], [(r'ln1\.weight', ['norm'])], 'timm')


def test_two_weights_of_one_name_are_refused():
    with pytest.raises(UserError, match='two weights would be called same'):
        rename(['a', 'b'], [('a|b', ['same'])], 'timm')
