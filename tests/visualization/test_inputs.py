import numpy as np
import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.visualization import to_rgb

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize('bgr', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_to_rgb_restores_the_pixels_that_were_normalised(images, bgr, dtype):
    image = images[0]
    channels = torch.from_numpy(image[..., ::-1].copy() if bgr else image).permute(2, 0, 1)
    normalised = (channels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    np.testing.assert_array_equal(to_rgb(normalised.to(dtype), MEAN, STD, bgr), image)
    np.testing.assert_array_equal(to_rgb(normalised.to(dtype)[None], MEAN, STD, bgr), image[None])


def test_to_rgb_clips_what_lies_outside_of_a_byte():
    extremes = torch.tensor([-100.0, 100.0]).expand(3, 1, 2)
    assert to_rgb(extremes, MEAN, STD).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_to_rgb_refuses_statistics_in_units_of_0_to_1_and_other_shapes():
    with pytest.raises(UserError, match=r'std=.*multiply mean and std by 255'):
        to_rgb(torch.zeros(3, 2, 2), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with pytest.raises(UserError, match=r'\(1, 2, 2\).*\(3, H, W\)'):
        to_rgb(torch.zeros(1, 2, 2), MEAN, STD)
