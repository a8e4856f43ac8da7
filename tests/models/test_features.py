"""The backbone adapter: which output is the class token, which are the positions, and in which order."""

import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures, extract_features
from mmdclpp.registry import MODELS
from tests.core.cases import one_line

ARCH = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=24)
VIT = dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
RESNET = dict(
    type='ResNet',
    depth=18,
    stem_channels=8,
    base_channels=8,
    num_stages=3,
    strides=(1, 2, 2),
    dilations=(1, 1, 1),
    out_indices=(2,),
)
TIMM_VIT = dict(img_size=(32, 48), embed_dim=24, depth=1, num_heads=2)
TIMM_SWIN = dict(img_size=(32, 48), window_size=2, embed_dim=12, depths=(1, 1), num_heads=(1, 2))

# Name -> (config, image size, channels, grid, whether there is a class token).
BACKBONES = {
    'ViT raw': (VIT, (32, 32), 24, (4, 4), True),
    'ViT raw, not square': (VIT, (32, 48), 24, (4, 6), True),
    'ViT raw, square number of positions': (VIT, (16, 64), 24, (2, 8), True),
    'ViT raw, no class token': ({**VIT, 'with_cls_token': False}, (32, 48), 24, (4, 6), False),
    'ViT featmap': ({**VIT, 'out_type': 'featmap'}, (32, 48), 24, (4, 6), False),
    'ResNet': (RESNET, (64, 96), 32, (4, 6), False),
    'ResNet, several stages': ({**RESNET, 'out_indices': (1, 2)}, (64, 96), 32, (4, 6), False),
    'timm ViT': (
        dict(type='TIMMBackbone', model_name='vit_tiny_patch16_224', patch_size=8, **TIMM_VIT),
        (32, 48), 24, (4, 6), True,
    ),
    'timm ViT, registers': (
        dict(type='TIMMBackbone', model_name='vit_small_patch14_reg4_dinov2', patch_size=8, **TIMM_VIT),
        (32, 48), 24, (4, 6), True,
    ),
    'timm ViT, registers, no class token': (
        dict(type='TIMMBackbone', model_name='vit_medium_patch16_reg4_gap_256', patch_size=8, **TIMM_VIT),
        (32, 48), 24, (4, 6), False,
    ),
    'timm ViT, distilled': (
        dict(type='TIMMBackbone', model_name='deit_tiny_distilled_patch16_224', patch_size=8, **TIMM_VIT),
        (32, 48), 24, (4, 6), True,
    ),
    'timm CNN': (dict(type='TIMMBackbone', model_name='resnet10t'), (128, 192), 512, (4, 6), False),
    'timm CNN, features only': (
        dict(type='TIMMBackbone', model_name='resnet10t', features_only=True, out_indices=(2,)),
        (32, 48), 128, (4, 6), False,
    ),
    'timm Swin (NHWC)': (
        dict(type='TIMMBackbone', model_name='swin_tiny_patch4_window7_224', **TIMM_SWIN),
        (32, 48), 24, (4, 6), False,
    ),
    'timm Swin (NHWC), features only': (
        dict(type='TIMMBackbone', model_name='swin_tiny_patch4_window7_224', features_only=True, **TIMM_SWIN),
        (32, 48), 24, (4, 6), False,
    ),
}  # fmt: skip


def build(config: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    backbone = MODELS.build(config)
    backbone.eval()
    return backbone


@pytest.mark.parametrize('name', BACKBONES)
def test_every_backbone_gives_positions_on_a_grid_and_perhaps_a_class_token(name):
    config, size, channels, (rows, columns), has_cls = BACKBONES[name]
    features = extract_features(build(config), torch.randn(2, 3, *size))
    assert features.grid == (rows, columns)
    assert features.positions.shape == (2, rows * columns, channels)
    assert (features.cls is not None) == has_cls
    if has_cls:
        assert features.cls.shape == (2, channels)


@torch.no_grad()
@pytest.mark.parametrize('name', BACKBONES)
def test_positions_are_row_major(name):
    config, size, _, (rows, columns), _ = BACKBONES[name]
    backbone = build(config)
    blank, cell = torch.zeros(1, 3, *size), torch.zeros(rows, columns)
    for row, column in ((0, columns - 1), (rows - 1, 0)):
        cell.zero_()[row, column] = 4.0  # an image that is black but for one cell of the grid
        scale = (size[0] // rows, size[1] // columns)
        spot = cell.repeat_interleave(scale[0], 0).repeat_interleave(scale[1], 1).expand_as(blank)
        change = extract_features(backbone, spot).positions - extract_features(backbone, blank).positions
        found = divmod(change.norm(dim=-1).argmax().item(), columns)
        reach = 1 if config['type'] == 'ResNet' else 0  # random stacks of convolutions are not centred
        assert abs(found[0] - row) <= reach and abs(found[1] - column) <= reach


@torch.no_grad()
def test_raw_tokens_are_the_class_token_and_the_feature_map():
    raw, featmap, token = (build({**VIT, 'out_type': kind}) for kind in ('raw', 'featmap', 'cls_token'))
    images = torch.randn(2, 3, 32, 48)
    features = extract_features(raw, images)
    torch.testing.assert_close(features.positions, extract_features(featmap, images).positions)
    torch.testing.assert_close(features.cls, token(images)[-1])


@torch.no_grad()
def test_the_class_token_of_timm_comes_first_and_registers_are_left_out():
    backbone = build(BACKBONES['timm ViT, registers'][0])
    images = torch.randn(2, 3, 32, 48)
    tokens, features = backbone(images)[-1], extract_features(backbone, images)
    assert torch.equal(features.cls, tokens[:, 0]) and torch.equal(features.positions, tokens[:, 5:])


def test_an_aggregate_is_the_class_token_or_the_mean_of_the_positions():
    features = BackboneFeatures(torch.randn(2, 3), torch.randn(2, 4, 3), (2, 2))
    assert torch.equal(features.aggregate('cls'), features.cls)
    torch.testing.assert_close(features.aggregate('gap'), features.positions.sum(1) / 4)


def test_an_aggregate_must_exist():
    features = BackboneFeatures(None, torch.randn(2, 4, 3), (2, 2))
    with pytest.raises(UserError, match=one_line("aggregate='cls'", 'gap')):
        features.aggregate('cls')
    with pytest.raises(UserError, match=one_line("aggregate='max'", 'cls', 'gap')):
        features.aggregate('max')


def test_a_timm_model_that_gives_no_positions_is_refused_with_what_can_be_done_in_timm():
    backbone = build(dict(type='TIMMBackbone', model_name='resnet10t'))
    backbone.timm_model.reset_classifier(0, 'avg')  # as models do that cannot leave their pooling out
    with pytest.raises(UserError, match=one_line('ResNet', 'use another model')):
        extract_features(backbone, torch.randn(1, 3, 64, 64))


def test_an_output_without_positions_is_refused():
    with pytest.raises(UserError, match=one_line('VisionTransformer', "out_type='raw'")):
        extract_features(build({**VIT, 'out_type': 'cls_token'}), torch.randn(1, 3, 32, 32))
