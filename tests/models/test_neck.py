import pytest
import torch

from mmdclpp.core import match_positions
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures
from mmdclpp.models.necks import DenseCLPlusPlusNeck, MLPProjector
from tests.core.cases import one_line

PROJECTOR = dict(type='MLPProjector', hidden_channels=5, out_channels=3)


def features_of(rows: int, columns: int, channels: int = 6, num_views: int = 4) -> BackboneFeatures:
    generator = torch.Generator().manual_seed(0)
    positions = torch.randn(num_views, rows * columns, channels, generator=generator)
    return BackboneFeatures(torch.randn(num_views, channels, generator=generator), positions, (rows, columns))


def neck_of(**kwargs) -> DenseCLPlusPlusNeck:
    defaults = dict(in_channels=6, global_projector=PROJECTOR, dense_projector=PROJECTOR)
    return DenseCLPlusPlusNeck(**{**defaults, **kwargs})


@pytest.mark.parametrize('aggregate', ['cls', 'gap'])
def test_the_aggregate_and_each_position_have_a_projector_of_their_own(aggregate):
    neck, features = neck_of(aggregate=aggregate), features_of(2, 3)
    out = neck(features)
    torch.testing.assert_close(out.global_projections, neck.global_projector(features.aggregate(aggregate)))
    for k in range(6):
        torch.testing.assert_close(out.dense_projections[:, k], neck.dense_projector(features.positions[:, k]))
    assert torch.equal(out.positions, features.positions)
    assert set(neck.global_projector.parameters()).isdisjoint(neck.dense_projector.parameters())


@pytest.mark.parametrize(('rows', 'columns', 'num_grid'), [(4, 4, 2), (4, 8, 2), (6, 3, 3), (4, 4, 1), (4, 4, 4)])
def test_num_grid_averages_blocks_of_cells(rows, columns, num_grid):
    features = features_of(rows, columns)
    high, wide = rows // num_grid, columns // num_grid
    cells = features.positions.view(4, rows, columns, 6)
    blocks = [
        cells[:, r * high : (r + 1) * high, c * wide : (c + 1) * wide].mean(dim=(1, 2))
        for r in range(num_grid)
        for c in range(num_grid)
    ]
    neck = neck_of(num_grid=num_grid)
    out = neck(features)
    torch.testing.assert_close(out.positions, torch.stack(blocks, dim=1))
    torch.testing.assert_close(out.dense_projections, neck.dense_projector(out.positions))
    torch.testing.assert_close(out.global_projections, neck_of_same(neck)(features).global_projections)
    assert match_positions(out.positions).shape == out.dense_projections.shape[:2]


def neck_of_same(neck: DenseCLPlusPlusNeck) -> DenseCLPlusPlusNeck:
    """The same weights without pooling: the global branch must not notice ``num_grid``."""
    unpooled = neck_of()
    unpooled.load_state_dict(neck.state_dict())
    return unpooled


@pytest.mark.parametrize('branch', ['global', 'dense'])
def test_a_projector_of_none_projects_nothing(branch):
    out = neck_of(**{f'{branch}_projector': None})(features_of(2, 2))
    assert getattr(out, f'{branch}_projections') is None


def test_a_projector_is_linear_layers_with_relu_and_normalisation_between():
    def layers(**kwargs):
        return ' '.join(type(layer).__name__ for layer in MLPProjector(6, 5, 3, **kwargs).layers)

    assert layers() == 'Linear ReLU Linear'
    assert layers(num_layers=3) == 'Linear ReLU Linear ReLU Linear'
    assert layers(num_layers=3, norm_cfg=dict(type='BN')) == 'Linear BatchNorm1d ReLU Linear BatchNorm1d ReLU Linear'
    assert layers(norm_cfg=dict(type='SyncBN')) == 'Linear SyncBatchNorm ReLU Linear'


def test_batch_statistics_run_over_views_and_positions():
    projector, dense = MLPProjector(6, 5, 3, norm_cfg=dict(type='BN')), torch.randn(2, 4, 6)
    hidden = projector.layers[:2](dense.view(8, 6))
    torch.testing.assert_close(hidden.mean(dim=0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(projector(dense), projector.layers[2:](hidden).view(2, 4, 3))


@pytest.mark.parametrize(
    ('build', 'words'),
    [
        (lambda: neck_of(aggregate='max'), ["aggregate='max'"]),
        (lambda: neck_of(num_grid=0), ['num_grid=0']),
        (lambda: neck_of(num_grid=2.5), ['num_grid=2.5']),
        (lambda: neck_of(in_channels=7)(features_of(2, 2)), ['in_channels=7', '6']),
        (lambda: neck_of(dense_projector=dict(PROJECTOR, num_layers=4)), ['num_layers=4']),
    ],
    ids=['aggregate', 'num_grid 0', 'num_grid 2.5', 'in_channels', 'num_layers'],
)
def test_a_wrong_value_is_named(build, words):
    with pytest.raises(UserError, match=one_line(*words)):
        build()
