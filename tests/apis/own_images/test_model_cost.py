"""What is counted on tensors without content, against a step that is done."""

import pytest
import torch

from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.own_images.model_cost import model_cost
from mmdclpp.registry import MODELS
from mmdclpp.utils.measure import peak_memory


def test_the_bytes_of_an_image_are_those_of_a_step():
    config = shipped_config('densecl_pp/vit-demo_scenes.py').model
    model, views = MODELS.build(config), [torch.zeros(16, 3, 48, 48)] * 2

    def step():
        losses = model.loss(views)
        sum(value for key, value in losses.items() if key.startswith('loss')).backward()
        model.zero_grad()

    step()  # the first one also makes the gradients
    assert 16 * model_cost(config, 48).bytes_per_image == pytest.approx(peak_memory(step), rel=0.15)


def test_weights_count_sixteen_bytes_and_work_grows_with_the_area():
    config = shipped_config('densecl_pp/vit-demo_scenes.py').model
    config.backbone = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='SyncBN'))
    config.neck.in_channels = 64
    small, large = model_cost(config, 64), model_cost(config, 128)
    assert small.fixed_bytes == large.fixed_bytes == 16 * sum(p.numel() for p in MODELS.build(config).parameters())
    assert large.flops_per_image == pytest.approx(4 * small.flops_per_image, rel=0.05)


def test_random_numbers_are_drawn_as_if_nothing_had_been_counted():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    model_cost(shipped_config('densecl_pp/vit-demo_scenes.py').model, 48)
    assert torch.rand(1) == expected
