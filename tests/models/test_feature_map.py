import pytest
import torch

from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import MODELS

VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    patch_size=8,
    out_type='raw',
)
RESNET = dict(type='mmpretrain.ResNet', depth=18)
TIMM = dict(
    type='TIMMBackbone', model_name='vit_tiny_patch16_224', img_size=32, embed_dim=24, depth=2, dynamic_img_size=True
)


def build(backbone, **kwargs):
    return MODELS.build(dict(type='FeatureMap', backbone=backbone, **kwargs))


@pytest.mark.parametrize('backbone', [VIT, RESNET, TIMM], ids=['ViT', 'ResNet', 'timm ViT'])
def test_cell_ij_of_the_map_is_the_position_in_row_i_and_column_j(backbone):
    model, images = build(backbone), torch.rand(2, 3, 32, 64)
    model.eval()
    (feature_map,) = model(images)
    features = extract_features(model.backbone, images)
    rows, columns = features.grid
    assert feature_map.shape[2:] == (rows, columns) == (rows, 2 * rows)
    for row in range(rows):
        for column in range(columns):
            torch.testing.assert_close(feature_map[:, :, row, column], features.positions[:, row * columns + column])


@pytest.mark.parametrize('frozen', [True, False])
def test_frozen_means_no_gradient_and_no_moving_statistics(frozen):
    torch.manual_seed(0)
    model = build(RESNET, frozen=frozen)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    (feature_map,) = model(torch.rand(2, 3, 32, 32))
    assert feature_map.requires_grad is not frozen
    moved = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert bool(moved) is not frozen
