"""Pictures of reconstructions: pretraining goes on as if there were none, and they show the current model's."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.runner.checkpoint import CheckpointLoader

from mmdclpp.apis import train
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.engine import ReconstructionHook, reconstruction_hook
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import DATASETS, MODELS
from mmdclpp.visualization import reconstruction_pairs
from tests.core.cases import one_line

from . import online

RECONSTRUCTION = dict(loss_gamma=1.0, decoder=dict(type='ConvDecoder', widths=[8, 4]))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return str(generate_scenes(tmp_path_factory.mktemp('data') / 'scenes', 12, 1, size=40, workers=0, progress=False))


@pytest.mark.parametrize('backbone', [online.VIT, online.RESNET], ids=lambda config: config['type'])
def test_a_run_with_pictures_is_bit_for_bit_the_run_without(scenes, tmp_path, backbone):
    """Random views, dropout and batch norm would tell of any draw, mode or statistic that had changed."""
    outcomes = []
    for name, hooks in dict(plain=[], watched=[dict(type='ReconstructionHook', interval=1, by_epoch=False)]).items():
        config = online.config(scenes, hooks, backbone)
        config['model'].update(RECONSTRUCTION)
        config['experiment_name'] = f'{name}_{backbone["type"]}'  # runs of one name and second share their logs
        runner = train(Config(config, format_python_code=False), work_dir=str(tmp_path / name))
        checkpoint = CheckpointLoader.load_checkpoint(str(tmp_path / name / 'epoch_2.pth'))
        outcomes.append(
            dict(
                losses=runner.message_hub.get_scalar('train/loss').data[0].tolist(),
                weights=checkpoint['state_dict'],
                optimizer=checkpoint['optimizer']['state'],
                next_draws=(torch.rand(1), np.random.rand(), random.random()),
                modes=[module.training for module in runner.model.modules()],
            )
        )
        files = {file.name for file in Path(runner.log_dir, 'vis_data').rglob('*.png')}
        assert files == ({f'reconstruction_{step}.png' for step in range(1, 5)} if hooks else set())
    torch.testing.assert_close(outcomes[1], outcomes[0], rtol=0, atol=0)


@pytest.fixture
def runner_of(scenes):
    """As much of a runner as the hook needs, with the pictures that it logged in ``logged``."""

    def make(to_rgb=True, max_epochs=3, model=None):
        torch.manual_seed(0)
        config = dict(online.model(), **RECONSTRUCTION)
        config['data_preprocessor']['to_rgb'] = to_rgb
        loader = SimpleNamespace(
            dataset=DATASETS.build(online.config(scenes, [])['train_dataloader']['dataset']),
            collate_fn=default_collate,
        )
        logged = {}
        visualizer = SimpleNamespace(add_image=lambda name, image, step: logged.update({(name, step): image}))
        return SimpleNamespace(
            model=model or MODELS.build(config),
            train_dataloader=loader,
            train_loop=loader,
            visualizer=visualizer,
            logged=logged,
            iter=0,
            max_iters=4 * max_epochs,
            epoch=0,
            max_epochs=max_epochs,
        )

    return make


def run_through(hook, runner):
    hook.before_train(runner)
    for epoch in range(runner.max_epochs):
        runner.epoch = epoch
        for index in range(4):
            hook.after_train_iter(runner, index)
            runner.iter += 1
        hook.after_train_epoch(runner)
    return [step for _, step in runner.logged]


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(), [4, 8, 12]),
        (dict(interval=2), [8, 12]),
        (dict(interval=5), [12]),
        (dict(interval=5, by_epoch=False), [5, 10, 12]),
    ],
    ids=str,
)
def test_a_picture_comes_every_interval_and_at_the_end(runner_of, options, expected):
    assert run_through(ReconstructionHook(**options), runner_of()) == expected


@pytest.mark.parametrize('to_rgb', [True, False])
def test_a_picture_shows_views_of_the_training_images_and_how_the_current_model_reconstructs_them(runner_of, to_rgb):
    """Written out by hand: the views as bytes, one model in eval mode, its normalisation undone."""
    runner = runner_of(to_rgb, max_epochs=1)
    state = random.getstate(), np.random.get_state()
    random.seed(0), np.random.seed(0)
    items = [runner.train_dataloader.dataset[index]['inputs'] for index in (0, 4, 8)]
    random.setstate(state[0]), np.random.set_state(state[1])
    hook = ReconstructionHook(num_images=3)
    hook.before_train(runner)
    for parameter in runner.model.parameters():  # trained since
        torch.nn.init.normal_(parameter, std=0.2)
    hook.after_train_epoch(runner)

    views = torch.stack([view for item in items for view in item])  # BGR
    mean, std = (torch.tensor(values)[:, None, None] for values in ([100.0, 110, 120], [50.0, 60, 70]))
    images = ((views.flip(1) if to_rgb else views) - mean) / std
    runner.model.eval()
    with torch.no_grad():
        decoded = runner.model.decoder(extract_features(runner.model.backbone, images), (16, 16)) * std + mean
    decoded = decoded.round().clamp(0, 255).to(torch.uint8)
    expected = reconstruction_pairs(
        views.flip(1).permute(0, 2, 3, 1).numpy(),
        (decoded if to_rgb else decoded.flip(1)).permute(0, 2, 3, 1).numpy(),
    )
    (picture,) = runner.logged.values()
    np.testing.assert_array_equal(picture, expected)


def test_the_views_are_the_same_in_every_run(runner_of):
    pictures = []
    for seed in (1, 2):
        runner = runner_of(max_epochs=2)
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        run_through(ReconstructionHook(), runner)
        pictures += runner.logged.values()
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


def test_other_processes_than_the_first_neither_load_nor_draw(runner_of, monkeypatch):
    runner = runner_of()
    runner.train_dataloader.dataset = None
    monkeypatch.setattr(reconstruction_hook, 'is_main_process', lambda: False)
    assert run_through(ReconstructionHook(), runner) == []


@pytest.mark.parametrize('model', [online.model(), dict(online.model(), decoder=RECONSTRUCTION['decoder'])])
def test_a_model_without_a_decoder_is_refused_before_training(runner_of, model):
    with pytest.raises(UserError, match=one_line('ReconstructionHook', 'no decoder', 'model.loss_gamma')):
        ReconstructionHook().before_train(runner_of(model=MODELS.build(model)))


@pytest.mark.parametrize('wrong', [dict(interval=0), dict(num_images=0), dict(num_images=2.5)], ids=str)
def test_a_wrong_number_is_named(wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(UserError, match=one_line(f'{key}={value}')):
        ReconstructionHook(**wrong)
