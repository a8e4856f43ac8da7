import numpy as np
import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.visualization import feature_pca, pca_colours


@pytest.mark.parametrize('shift, scale', [(0.0, 7.5), (100.0, 1.0), (-3.0, 1e-3)])
def test_colours_do_not_change_when_features_are_translated_or_scaled(positions, shift, scale):
    positions = positions.double()
    moved = positions * scale + shift * torch.linspace(-1, 1, 8, dtype=torch.float64)
    expected, share = pca_colours(positions)
    colours, moved_share = pca_colours(moved)
    torch.testing.assert_close(colours, expected)
    assert moved_share == pytest.approx(share)


def test_each_channel_is_the_projection_on_one_singular_vector(positions):
    colours, share = pca_colours(positions, percentiles=(0, 100))
    centred = (positions - positions.mean(dim=(0, 1))).reshape(-1, 8).double()
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    for channel in range(3):
        correlation = torch.corrcoef(torch.stack([left[:, channel], colours.view(-1, 3)[:, channel]]))[0, 1]
        assert abs(correlation) == pytest.approx(1)
    assert share == pytest.approx((singular[:3].square().sum() / singular.square().sum()).item())
    assert (colours.amin((0, 1)) == 0).all() and (colours.amax((0, 1)) == 1).all()


@pytest.mark.parametrize('roll', range(8))
def test_a_component_grows_with_the_channel_that_weighs_most_in_it(positions, roll):
    positions = positions.roll(roll, dims=2).double()
    colours, _ = pca_colours(positions, percentiles=(0, 100))
    for channel in range(3):
        covariance = (colours[..., channel, None] * (positions - positions.mean((0, 1)))).sum((0, 1))
        assert covariance[covariance.abs().argmax()] > 0  # a component's covariances are its weights, scaled


def test_an_extreme_position_does_not_flatten_the_others():
    features = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    features[0] *= 1000
    colours, _ = pca_colours(features)
    assert (colours[1:].std(dim=0) > 0.15).all()


@pytest.mark.parametrize(
    'features, share',
    [
        (torch.full((2, 12, 8), 0.1), 0),  # a collapsed backbone
        (torch.arange(24.0).view(2, 12, 1).expand(2, 12, 8), 1),  # rank one
        (torch.arange(24.0).view(2, 12, 1), 1),  # fewer channels than colours
    ],
)
def test_a_component_without_variance_is_grey(features, share):
    colours, explained = pca_colours(features)
    assert explained == pytest.approx(share)
    assert (colours[..., share:] == 0.5).all()
    assert share == 0 or colours[..., 0].std() > 0.2


def test_a_picture_has_a_row_an_image_and_a_column_for_each_model_and_the_masks(
    tmp_path, images, positions, read_picture
):
    square = [images[1], images[1][::-1]]
    masks = [np.eye(48, dtype=np.uint8), np.full((48, 48), 255, dtype=np.uint8)]
    one = read_picture(feature_pca(square, positions, (3, 4), tmp_path / 'one' / 'pca.png'))
    models = {'random': positions, 'trained': positions.flip(1)}
    two = read_picture(
        feature_pca(square, models, (3, 4), tmp_path / 'two' / 'pca.png', masks, interpolation='bicubic')
    )
    assert two.shape[1] / one.shape[1] == pytest.approx(4 / 2, rel=0.1)
    assert two.shape[0] == pytest.approx(one.shape[0], rel=0.1)
    assert one.shape[0] / one.shape[1] == pytest.approx(1.2, rel=0.15)


@pytest.mark.parametrize('palette, colour', [(None, (128, 0, 0)), ([(0, 0, 0), (10, 200, 30)], (10, 200, 30))])
def test_masks_take_the_colours_of_the_palette_and_ignored_pixels_are_grey(
    tmp_path, images, positions, read_picture, palette, colour
):
    masks = [np.ones(image.shape[:2], dtype=np.int64) for image in images]
    masks[1][:] = 255
    pixels = read_picture(feature_pca(images, positions, (3, 4), tmp_path / 'pca.png', masks, palette))
    middle = pixels[:, -60]  # a column of pixels through the masks
    assert (middle == colour).all(axis=1).sum() > 100
    assert (middle == (224, 224, 224)).all(axis=1).sum() > 100


@pytest.mark.parametrize(
    'change, message',
    [
        ({'grid': (3, 5)}, r'grid=\(3, 5\) has 15 cells but positions \(features\) have 12'),
        ({'positions': torch.zeros(3, 12, 8)}, r'\(3, 12, 8\).*N=2'),
        ({'positions': torch.full((2, 12, 8), float('nan'))}, 'not finite'),
        ({'images': []}, 'images is empty'),
        ({'images': [np.zeros((4, 4, 3))] * 2}, r'images\[0\].*float64.*to_rgb'),
        ({'masks': [np.zeros((4, 4), dtype=np.uint8)]}, 'masks has 1 entries for 2 images'),
        ({'masks': [np.zeros((4, 4))] * 2}, r'masks\[0\].*float64.*class indices'),
        ({'palette': [(0, 0)], 'masks': [np.zeros((4, 4), dtype=np.uint8)] * 2}, r'palette has shape \(1, 2\)'),
    ],
)
def test_inputs_that_do_not_belong_together_are_explained(tmp_path, images, positions, change, message):
    arguments = {'images': images, 'positions': positions, 'grid': (3, 4), 'out_png': tmp_path / 'pca.png', **change}
    with pytest.raises(UserError, match=message):
        feature_pca(**arguments)
    assert not list(tmp_path.iterdir())
