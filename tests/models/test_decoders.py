import math

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures, extract_features
from mmdclpp.models.decoders import ConvDecoder, TransformerDecoder
from mmdclpp.models.decoders.transformer_decoder import position_embedding
from tests.core.cases import one_line

from .test_features import BACKBONES, VIT, build

RESNET50 = dict(type='ResNet', depth=50, stem_channels=8, base_channels=8)
TIMM_VIT14 = dict(type='TIMMBackbone', model_name='vit_tiny_patch16_224', patch_size=14, img_size=(28, 42))
CONVNEXT = dict(type='ConvNeXt', arch=dict(depths=[1] * 4, channels=[8] * 4), gap_before_final_norm=False)
# Name -> (config, image size, channels, grid).
CASES = {
    **{name: case[:4] for name, case in BACKBONES.items()},
    'ViT, patches of 14 px': ({**VIT, 'img_size': (28, 42), 'patch_size': 14}, (28, 42), 24, (2, 3)),
    'ViT, patches of 16 px': ({**VIT, 'patch_size': 16}, (96, 64), 24, (6, 4)),
    'timm ViT, patches of 14 px': ({**TIMM_VIT14, 'embed_dim': 24, 'depth': 1, 'num_heads': 2}, (28, 42), 24, (2, 3)),
    'ResNet-50, 224 px': (RESNET50, (224, 224), 256, (7, 7)),
    'ResNet-50, no multiple of its stride': (RESNET50, (100, 75), 256, (4, 3)),
    'ConvNeXt, no multiple of its stride': (CONVNEXT, (70, 130), 8, (2, 4)),
}
DECODERS = {
    'conv': lambda channels, **options: ConvDecoder(channels, **{'widths': (8, 4), **options}),
    'transformer': lambda channels, **options: TransformerDecoder(
        channels, **{'embed_dims': 16, 'depth': 1, 'num_heads': 2, 'patch_size': 8, **options}
    ),
}


@pytest.fixture(params=DECODERS)
def decoder_of(request):
    def make(channels, **options):
        torch.manual_seed(0)
        return DECODERS[request.param](channels, **options)

    return make


def features_of(grid, channels=6, num_views=2) -> BackboneFeatures:
    generator = torch.Generator().manual_seed(0)
    return BackboneFeatures(None, torch.randn(num_views, math.prod(grid), channels, generator=generator), grid)


@pytest.mark.parametrize('name', CASES)
def test_a_reconstruction_has_the_size_of_the_image_for_every_backbone(name):
    config, size, channels, grid = CASES[name]
    features = extract_features(build(config), torch.randn(2, 3, *size))
    assert features.grid == grid
    for make in DECODERS.values():
        decoder = make(channels)
        images = decoder(features, torch.Size(size))
        assert images.shape == (2, 3, *size)
        images.square().sum().backward(retain_graph=True)
        assert all(parameter.grad.abs().max() > 0 for parameter in decoder.parameters())


GRIDS = [((7, 7), (224, 224)), ((12, 8), (96, 64)), ((2, 2), (16, 16)), ((1, 1), (9, 5)), ((3, 5), (50, 33))]


def test_one_decoder_serves_every_grid_and_size(decoder_of):
    decoder = decoder_of(6)
    for grid, size in GRIDS:
        assert decoder(features_of(grid), size).shape == (2, 3, *size)


@pytest.mark.parametrize('name', ['ConvDecoder', 'TransformerDecoder'])
def test_the_default_sizes_fit_together(name):
    decoder = dict(ConvDecoder=ConvDecoder, TransformerDecoder=TransformerDecoder)[name](24)
    assert decoder(features_of((2, 3), 24), (32, 48)).shape == (2, 3, 32, 48)


@torch.no_grad()
@pytest.mark.parametrize(('grid', 'size'), [((4, 9), (32, 72)), ((9, 4), (100, 45)), ((6, 6), (80, 50))])
def test_a_position_is_decoded_to_its_place_in_the_image(decoder_of, grid, size):
    decoder, features = decoder_of(6), features_of(grid, num_views=1)
    before = decoder(features, size)
    for row, column in ((0, grid[1] - 1), (grid[0] - 1, 0), (grid[0] // 2, grid[1] // 2)):
        positions = features.positions.clone()
        positions[:, row * grid[1] + column] += torch.tensor([5.0, -5, 5, -5, 5, -5])
        change = (decoder(features._replace(positions=positions), size) - before).square().sum(dim=(0, 1))
        found = divmod(adaptive_avg_pool2d(change[None], grid).argmax().item(), grid[1])
        # Random stacks of convolutions are not centred.
        assert abs(found[0] - row) <= 1 and abs(found[1] - column) <= 1


@torch.no_grad()
def test_views_are_decoded_each_by_itself(decoder_of):
    decoder, features = decoder_of(6), features_of((4, 6), num_views=3)
    alone = torch.cat(
        [decoder(BackboneFeatures(None, positions[None], (4, 6)), (32, 48)) for positions in features.positions]
    )
    torch.testing.assert_close(decoder(features, (32, 48)), alone)


def test_the_transformer_tells_positions_apart_by_sines_and_cosines_of_row_and_column():
    (rows, columns), channels = (3, 5), 8
    embedding = position_embedding((rows, columns), channels)
    for row in range(rows):
        for column in range(columns):
            angles = [place / 10000 ** (i / 2) for place in (row, column) for i in range(2)]
            expected = [*map(math.sin, angles), *map(math.cos, angles)]
            torch.testing.assert_close(embedding[row * columns + column], torch.tensor(expected))


@torch.no_grad()
def test_equal_features_give_other_pixels_at_other_positions_of_a_transformer():
    decoder = DECODERS['transformer'](6)
    same = BackboneFeatures(None, torch.ones(1, 6, 6), (2, 3))
    squares = decoder(same, (16, 24)).unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3)
    assert all((squares[:, :, i] - squares[:, :, j]).abs().max() > 0.01 for i in range(6) for j in range(i))


@pytest.mark.parametrize('name', DECODERS)
def test_a_decoder_learns_what_lies_within_a_position(name):
    """A checkerboard of single pixels, which nothing interpolated can show: its deviation from the mean is 1."""
    torch.manual_seed(0)
    decoder = DECODERS[name](6, **(dict(widths=(16, 8, 8)) if name == 'conv' else {}))
    features = features_of((3, 4))
    board = torch.ones(24, 32)
    board[::2, ::2] = board[1::2, 1::2] = -1
    target = board.expand(2, 3, 24, 32)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
    for _ in range(60):
        loss = (decoder(features, (24, 32)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ('build', 'words'),
    [
        (lambda: ConvDecoder(8)(features_of((2, 2)), (16, 16)), ['in_channels=8', 'gives 6']),
        (lambda: TransformerDecoder(8)(features_of((2, 2)), (16, 16)), ['in_channels=8', 'gives 6']),
        (lambda: ConvDecoder(0), ['ConvDecoder', 'in_channels=0']),
        (lambda: ConvDecoder(8, widths=()), ['widths=()']),
        (lambda: ConvDecoder(8, widths=64), ['widths=64']),
        (lambda: ConvDecoder(8, widths=(8, 0.5)), ['widths[1]=0.5']),
        (lambda: TransformerDecoder(8, depth=0), ['TransformerDecoder', 'depth=0']),
        (lambda: TransformerDecoder(8, depth=True), ['depth=True']),
        (lambda: TransformerDecoder(8, patch_size=-1), ['patch_size=-1']),
        (lambda: TransformerDecoder(8, embed_dims=30, num_heads=2), ['embed_dims=30', 'num_heads=2']),
        (lambda: TransformerDecoder(8, embed_dims=32, num_heads=3), ['embed_dims=32', 'num_heads=3']),
    ],
    ids=lambda case: ' '.join(case) if isinstance(case, list) else '',
)
def test_a_wrong_value_is_named(build, words):
    with pytest.raises(UserError, match=one_line(*words)):
        build()
