import math

import pytest
import torch

from mmdclpp.core import reconstruction_loss
from mmdclpp.errors import UserError

from .cases import one_line


def views(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def reference(prediction, target):
    """The formula of the poster, value by value in float64, over the root of the number of values."""
    norms = []
    for reconstructed, image in zip(prediction.double(), target.double(), strict=True):
        differences = [a - b for a, b in zip(image.flatten().tolist(), reconstructed.flatten().tolist(), strict=True)]
        norms.append(math.sqrt(math.fsum(value**2 for value in differences) / len(differences)))
    return math.fsum(norms) / len(norms)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('shape', [(1, 3, 1, 1), (2, 3, 4, 4), (5, 3, 7, 12)])
def test_the_loss_is_the_norm_of_each_view_over_the_root_of_its_size(shape, dtype):
    prediction, target = views(*shape, dtype=dtype), views(*shape, seed=1, dtype=dtype)
    loss = reconstruction_loss(prediction, target)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(loss.double(), torch.tensor(reference(prediction, target), dtype=torch.float64))


def test_the_gradient_is_that_of_the_formula():
    prediction, target = views(3, 3, 2, 4).requires_grad_(), views(3, 3, 2, 4, seed=1)
    (gradient,) = torch.autograd.grad(reconstruction_loss(prediction, target), prediction)
    errors = prediction.detach() - target
    expected = [error / (error.square().sum().sqrt() * math.sqrt(24) * 3) for error in errors]  # a unit vector a view
    torch.testing.assert_close(gradient, torch.stack(expected))
    assert torch.autograd.gradcheck(reconstruction_loss, (prediction, target))


def test_an_error_of_one_size_costs_the_same_at_every_resolution():
    losses = [reconstruction_loss(target + 0.5, target) for target in (torch.zeros(2, 3, side, 32) for side in (8, 96))]
    torch.testing.assert_close(torch.stack(losses), torch.tensor([0.5, 0.5]))


def test_a_perfect_view_has_no_gradient_and_does_not_spoil_that_of_others():
    target = views(2, 3, 4, 4)
    prediction = target.clone()
    prediction[1] += 1
    prediction.requires_grad_()
    (gradient,) = torch.autograd.grad(reconstruction_loss(prediction, target), prediction)
    assert (gradient[0] == 0).all()
    torch.testing.assert_close(gradient[1].norm(), torch.tensor(1 / (math.sqrt(48) * 2), dtype=torch.float64))


def test_half_precision_under_autocast_loses_nothing():
    prediction, target = views(2, 3, 64, 64, dtype=torch.bfloat16), views(2, 3, 64, 64, seed=1, dtype=torch.float32)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = reconstruction_loss(prediction, target)
    torch.testing.assert_close(loss, reconstruction_loss(prediction.float(), target), rtol=0, atol=0)


@pytest.mark.parametrize('shape', [(2, 3, 4, 5), (1, 3, 4, 4), (2, 1, 4, 4)])
def test_shapes_that_would_be_broadcast_are_refused(shape):
    with pytest.raises(UserError, match=one_line('prediction (2, 3, 4, 4)', f'target {shape}')):
        reconstruction_loss(torch.zeros(2, 3, 4, 4), torch.zeros(shape))
