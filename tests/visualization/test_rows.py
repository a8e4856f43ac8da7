import numpy as np
import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.visualization import attention_heads, attention_maps
from mmdclpp.visualization.rows import HEAT, heat_over, over_grey


def test_cells_cover_the_image_and_its_own_colours_are_gone():
    image = np.zeros((12, 9, 3), dtype=np.uint8)
    image[..., 0] = 200
    colours = np.zeros((4, 3, 3))
    colours[3, 2] = 1
    blended = over_grey(image, colours, opacity=0.5)
    assert blended.shape == image.shape
    grey = round(0.5 * 200 * 0.299)
    assert (blended[:9] == grey).all() and (blended[:, :6] == grey).all()
    assert (blended[9:, 6:] == round(0.5 * 200 * 0.299 + 127.5)).all()


def test_an_image_smaller_than_its_grid_is_enlarged():
    blended = over_grey(np.zeros((8, 8, 3), dtype=np.uint8), np.zeros((7, 30, 3)))
    assert blended.shape == (64, 64, 3)


def test_heat_is_the_brighter_the_higher_the_value():
    blended = heat_over(np.full((40, 40, 3), 90, dtype=np.uint8), np.linspace(0, 1, 10)[None])
    lightness = blended[0].astype(float) @ (0.299, 0.587, 0.114)
    assert (np.diff(lightness) >= 0).all() and lightness[-1] - lightness[0] > 100
    assert HEAT(0.0)[:3] < HEAT(1.0)[:3]


def test_attention_is_drawn_for_models_and_for_heads(tmp_path, images, read_picture):
    square = [images[1], images[1]]
    weights = torch.rand(2, 3, 12, generator=torch.Generator().manual_seed(0))
    models = attention_maps(
        square, {'a': weights, 'b': weights[:, :1, :6]}, {'a': (3, 4), 'b': (2, 3)}, tmp_path / 'm' / 'a.png'
    )
    heads = attention_heads(square, weights, (3, 4), tmp_path / 'h' / 'a.png')
    assert read_picture(heads).shape[1] / read_picture(models).shape[1] == pytest.approx(5 / 3, rel=0.1)


def test_attention_that_does_not_belong_to_the_images_is_explained(tmp_path, images):
    with pytest.raises(UserError, match=r'attention \(a\) has shape \(2, 12\): give \(N, heads, K\)'):
        attention_maps(images, {'a': torch.rand(2, 12)}, (3, 4), tmp_path / 'a.png')
    with pytest.raises(UserError, match='has 9 cells but attention'):
        attention_heads(images, torch.rand(2, 3, 12), (3, 3), tmp_path / 'a.png')
