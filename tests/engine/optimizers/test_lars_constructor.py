"""LARS: mmpretrain's update against a float64 reference, and what it leaves out."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdclpp.registry import MODELS

LR, MOMENTUM, DECAY, ETA = 0.5, 0.9, 1e-2, 0.001


def lars(model, **options):
    config = dict(
        optimizer=dict(type='LARS', lr=LR, momentum=MOMENTUM, weight_decay=DECAY, eta=ETA),
        constructor='LARSOptimWrapperConstructor',
        **options,
    )
    return build_optim_wrapper(model, config)


def reference(parameter, gradients):
    """Some steps on one parameter, in float64 (SimCLR, and Algorithm 1 of arXiv 1708.03888)."""
    w = parameter.detach().double()
    velocity = torch.zeros_like(w)
    for gradient in gradients:
        g, rate = gradient.double(), LR
        if w.ndim > 1:
            rate *= ETA * w.norm() / (g.norm() + DECAY * w.norm())
            g = g + DECAY * w
        velocity = MOMENTUM * velocity + rate * g
        w = w - velocity
    return w


def test_weights_are_adapted_and_decayed_and_biases_and_norms_are_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    gradients = {name: [torch.randn_like(p) for _ in range(3)] for name, p in model.named_parameters()}
    expected = {name: reference(parameter, gradients[name]) for name, parameter in model.named_parameters()}

    wrapper = lars(model)
    for index in range(3):
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name][index]
        wrapper.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-7, atol=0)


@pytest.mark.parametrize('paramwise_cfg', [None, dict(custom_keys={'backbone': dict(lr_mult=0.5)})])
def test_every_norm_and_bias_of_a_pretraining_model_is_left_out(paramwise_cfg):
    projector = dict(type='MLPProjector', hidden_channels=8, out_channels=8, norm_cfg=dict(type='BN'))
    neck = dict(type='DenseCLPlusPlusNeck', in_channels=64, global_projector=projector, dense_projector=projector)
    backbone = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)
    model = MODELS.build(dict(type='DenseCLPlusPlus', backbone=backbone, neck=neck))
    groups = lars(model, paramwise_cfg=paramwise_cfg).optimizer.param_groups
    excluded = {id(group['params'][0]) for group in groups if group.get('lars_exclude')}
    of_norms_and_biases = {id(p) for p in model.parameters() if p.ndim == 1}
    assert excluded == of_norms_and_biases
    assert len(groups) == len(list(model.parameters()))
    if paramwise_cfg is None:
        assert all(group['weight_decay'] == 0 for group in groups if group.get('lars_exclude'))
