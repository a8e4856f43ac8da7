"""Optimizer wrappers that leave out updates by gradients that are not finite."""

import copy
import math

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmdclpp.apis._tuned_runner import Tuned
from mmdclpp.engine import AmpOptimWrapper, OptimWrapper
from mmdclpp.registry import OPTIM_WRAPPERS, OPTIMIZERS

KINDS = {
    'SGD': dict(lr=0.1, momentum=0.9),
    'SGD, fused': dict(lr=0.1, momentum=0.9, fused=True),
    'AdamW': dict(lr=0.1),
    'AdamW, fused': dict(lr=0.1, fused=True),
    'LARS': dict(lr=0.1, momentum=0.9),
}


def updates(name, losses):
    """Weights and state of the optimizer after updates by these losses' gradients."""
    weights = nn.Parameter(torch.linspace(-1, 1, 5))
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    kind = name.partition(',')[0]
    optimizer = OPTIMIZERS.build(dict(KINDS[name], type=kind, params=[dict(params=[weights]), dict(params=[frozen])]))
    wrapper = OPTIM_WRAPPERS.build(dict(type='OptimWrapper', optimizer=optimizer))
    wrapper.guarded = True
    states = []
    for factor in losses:
        wrapper.update_params((weights.square().sum() + weights.sum()) * factor)
        states.append(copy.deepcopy((weights.detach(), optimizer.state_dict()['state'])))
        assert weights.grad is None, 'gradients are cleared in any case'
        assert wrapper.norms.total.isfinite() == math.isfinite(factor)
    return states


@pytest.mark.parametrize('name', KINDS)
@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_an_update_left_out_is_as_if_it_had_not_been_also_the_very_first(name, bad):
    junk = torch.full((5,), 7e7)  # what memory that nobody initialises may hold
    del junk
    good = updates(name, [1, 2, 3])
    with_bad = updates(name, [bad, 1, bad, 2, 3])
    torch.testing.assert_close([with_bad[index] for index in (1, 3, 4)], good, rtol=0, atol=0)
    torch.testing.assert_close(with_bad[2], with_bad[1], rtol=0, atol=0)
    assert with_bad[0][1] == {}


def test_a_model_without_gradients_is_no_error():
    wrapper = OptimWrapper(torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=1.0))
    wrapper.guarded = True
    wrapper.step()
    assert wrapper.norms.total == 0


@pytest.mark.parametrize('scope', ['mmdclpp', 'mmpretrain', 'mmseg', 'mmengine'])
@pytest.mark.parametrize('options', [{}, dict(type='OptimWrapper'), dict(constructor='DefaultOptimWrapperConstructor')])
def test_runs_of_every_scope_have_it(scope, options):
    runner = object.__new__(type('Tuned', (Tuned, Runner), {}))
    runner.model = nn.Linear(2, 2)
    with DefaultScope.overwrite_default_scope(scope):
        wrapper = runner.build_optim_wrapper(dict(optimizer=dict(type='SGD', lr=0.1), **options))
    assert type(wrapper) is OptimWrapper
    assert not wrapper.guarded, "without a FiniteHook it is mmengine's"


def test_mixed_precision_has_it_by_the_same_name():
    assert OPTIM_WRAPPERS.get('AmpOptimWrapper') is AmpOptimWrapper
