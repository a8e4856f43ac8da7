"""Which weights are evaluated during training."""

from types import SimpleNamespace

import torch
from mmengine.hooks import EMAHook

from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.engine.unwrapped import evaluated
from mmdclpp.registry import HOOKS

from . import online


def averaging(model):
    """A runner with an EMAHook that has seen one iteration, after which the weights of ``model`` changed."""
    hook = EMAHook(momentum=0.1)
    runner = SimpleNamespace(model=model, hooks=[hook], iter=0)
    hook.before_run(runner)
    assert evaluated(runner) is model  # nothing is averaged yet
    hook.after_train_iter(runner, 0)
    return runner, hook


def test_the_averaged_model_is_evaluated_as_soon_as_there_is_one():
    model = online.small_model()
    runner, hook = averaging(model)
    assert evaluated(runner) is hook.ema_model.module
    assert evaluated(SimpleNamespace(model=model, hooks=[])) is model


def test_online_evaluation_measures_what_the_checkpoint_holds(tmp_path):
    scenes = str(generate_scenes(tmp_path / 'scenes', 12, 6, size=32, workers=0, progress=False))
    config = online.hooks(scenes)[0]
    model = online.small_model()
    expected = online.evaluate([config], model)
    runner, ema = averaging(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()  # what training made of them since, of which the average knows nothing
    assert online.evaluate([config], model) != expected

    stub = online.stub_runner(model)
    stub.hooks = [ema]
    hook = HOOKS.build(config)
    hook.before_train(stub)
    hook.after_train_epoch(stub)
    assert {name: stub.logged[name] for name in expected} == expected
