"""Batch norm between a frozen backbone and a linear head."""

import pytest
import torch

from mmdclpp.models.necks import FeatureBatchNorm


@pytest.mark.parametrize('scale', [1e-2, 1.0, 1e3])
def test_channels_are_normalised_over_images_and_positions_whatever_their_scale(scale):
    features = torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(0)) * scale + scale
    (normalised,) = FeatureBatchNorm(3)((torch.zeros(1), features))
    variance, mean = torch.var_mean(normalised, (0, 2, 3), unbiased=False)
    torch.testing.assert_close(mean, torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(variance, torch.ones(3), atol=2e-2, rtol=0)


def test_it_has_no_weights():
    assert not list(FeatureBatchNorm(3).parameters())
