"""Diagnostics during pretraining: they change nothing, and warn of runs that learn nothing, and of no others."""

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import List, Sequence

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain.structures import DataSample
from torch.nn.functional import cosine_similarity

from mmdclpp.apis import train
from mmdclpp.core.layout import siblings
from mmdclpp.core.matching import match_positions
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.engine import DiagnosticsHook
from mmdclpp.errors import UserError
from mmdclpp.evaluation.diagnostics import dense_figures, global_figures
from mmdclpp.evaluation.geometric_matches import ViewGeometry
from mmdclpp.models.algorithms import DenseCLPlusPlus
from mmdclpp.models.backbones.features import BackboneFeatures, extract_features
from mmdclpp.registry import MODELS

from . import online

NUMBERS = itertools.count()
FIGURES = {'intra', 'cross_view', 'inter', 'dense_rank', 'dense_std', 'alignment', 'uniformity', 'global_rank'}
MATCHES = {'exact_matches', 'exact_matches_chance', 'near_matches', 'near_matches_chance'}


@MODELS.register_module(force=True)
class AttractionAlone(DenseCLPlusPlus):
    """Positives attract each other, and no negatives keep anything apart."""

    def loss(self, inputs, data_samples=None, **kwargs):
        projections = self.neck(extract_features(self.backbone, torch.cat(inputs)))
        matches = match_positions(projections.positions)
        dense = projections.dense_projections
        positives = siblings(dense).gather(1, matches[..., None].expand_as(dense))
        views = projections.global_projections
        return {
            'loss_global': -cosine_similarity(views, siblings(views), dim=-1).mean(),
            'loss_dense': -cosine_similarity(dense, positives, dim=-1).mean(),
        }


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return str(generate_scenes(tmp_path_factory.mktemp('data') / 'scenes', 24, 4, size=40, workers=0, progress=False))


def config(scenes: str, hook: dict, max_epochs: int = 10, **model) -> Config:
    config = online.config(scenes, [dict(type='DiagnosticsHook', **hook)], max_epochs=max_epochs)
    pipeline = config['train_dataloader']['dataset']['pipeline']
    pipeline[1]['type'] = 'MultiViewWithGeometry'
    pipeline[1]['transforms'][0][0]['type'] = 'RandomResizedCropWithBox'
    pipeline[2]['meta_keys'] = ('view_boxes', 'view_flips')
    config['model'].update(model)
    # Without batch norm, which would keep features apart.
    projector = dict(type='MLPProjector', hidden_channels=8, out_channels=8, num_layers=2)
    config['model']['neck'].update(global_projector=projector, dense_projector=projector)
    config['experiment_name'] = f'diagnostics_{next(NUMBERS)}'  # runs of one name and second share their logs
    return Config(config, format_python_code=False)


def warnings(runner) -> List[str]:
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    return [line.partition('WARNING - ')[2] for line in log.splitlines() if 'WARNING - iteration' in line]


def diagnostics(runner) -> List[dict]:
    text = Path(runner.log_dir, 'vis_data', 'scalars.json').read_text()
    return [line for line in map(json.loads, text.splitlines()) if any('diagnostics' in key for key in line)]


@pytest.fixture(scope='module')
def healthy(scenes, tmp_path_factory):
    """DenseCL++ as it is, ten epochs of four steps, watched at every second one."""
    return train(config(scenes, dict(interval=2, warmup=4)), work_dir=str(tmp_path_factory.mktemp('healthy')))


def test_a_run_that_is_watched_is_bit_for_bit_the_run_that_is_not(scenes, healthy, tmp_path):
    plain = train(config(scenes, dict(interval=0)), work_dir=str(tmp_path))
    assert not diagnostics(plain)
    watched, unwatched = (
        CheckpointLoader.load_checkpoint(str(Path(runner.work_dir) / 'epoch_10.pth')) for runner in (healthy, plain)
    )
    for key in ('state_dict', 'optimizer'):
        torch.testing.assert_close(watched[key], unwatched[key], rtol=0, atol=0)


def test_figures_of_backbone_and_projections_are_logged_at_every_interval(healthy):
    logged = diagnostics(healthy)
    assert [line['step'] for line in logged] == list(range(2, 41, 2))
    for kind in ('backbone', 'projection'):
        expected = {f'diagnostics/{kind}/{name}' for name in FIGURES | MATCHES | {'global_std'}}
        assert all(expected <= line.keys() for line in logged)
    assert not [key for key in logged[0] if 'loss' in key]  # mmengine would add it up


def test_no_warning_of_a_healthy_run(healthy):
    assert warnings(healthy) == []


def test_a_run_without_negatives_is_told_to_collapse_once_for_each_kind_of_feature(scenes, tmp_path):
    hook = dict(interval=2, warmup=4)
    runner = train(config(scenes, hook, type='AttractionAlone'), work_dir=str(tmp_path))
    told = warnings(runner)
    assert any('dense features of the projection have collapsed' in line for line in told)
    assert any('global features of the projection have collapsed' in line for line in told)
    assert all('check that the loss has negatives' in line for line in told)
    assert len({line.partition('have')[0].partition(':')[2] for line in told}) == len(told) <= 4


def test_a_loss_that_stays_at_chance_is_told_once(scenes, tmp_path):
    cfg = config(scenes, dict(interval=2, warmup=4), max_epochs=3)
    cfg.optim_wrapper.optimizer.lr = 0.0
    cfg.model.init_cfg = dict(type='Constant', layer='Linear', val=0, bias=1)  # all features the same
    told = warnings(train(cfg, work_dir=str(tmp_path)))
    at_chance = [line for line in told if 'no better than chance' in line]
    assert [line.split(' loss')[0].split()[-1] for line in at_chance] == ['global', 'dense']


def random_positions(images: int, cells: int = 4) -> torch.Tensor:
    return torch.randn(2 * images, cells, 16, generator=torch.Generator().manual_seed(0))


def step(hook: DiagnosticsHook, model, positions: torch.Tensor, samples: Sequence[DataSample] = ()) -> dict:
    """What the hook logs of a step of its own, on a square grid."""
    logged, told = {}, []
    runner = SimpleNamespace(
        model=model,
        iter=hook.interval - 1,
        max_iters=100,
        timestamp='now',
        visualizer=SimpleNamespace(add_scalars=lambda scalars, **_: logged.update(scalars)),
        logger=SimpleNamespace(warning=told.append),
    )
    hook.before_train_iter(runner, 0)
    model.neck(BackboneFeatures(None, positions, (math.isqrt(positions.shape[1]),) * 2))
    hook.after_train_iter(runner, 0, dict(data_samples=list(samples)), {})
    assert not model.neck._forward_hooks
    return dict(logged, told=told)


def test_the_figures_are_those_of_the_first_images_in_both_views_and_without_geometry_no_matches():
    model = online.small_model()
    logged = step(DiagnosticsHook(interval=5, num_images=3), model, random_positions(7))
    positions = random_positions(7)[[0, 1, 2, 7, 8, 9]]
    expected = {**dense_figures(positions), **global_figures(positions.mean(dim=1))}
    found = {key.removeprefix('diagnostics/backbone/'): value for key, value in logged.items() if 'backbone' in key}
    assert found == pytest.approx(expected)


def test_without_a_global_loss_the_class_token_may_be_missing():
    model = online.small_model(aggregate='cls')
    model.neck.global_projector = None
    logged = step(DiagnosticsHook(interval=5), model, random_positions(4))
    assert logged['diagnostics/backbone/alignment'] == pytest.approx(
        global_figures(random_positions(4).mean(dim=1))['alignment']
    )


def test_matches_of_a_pooled_neck_are_counted_on_its_own_grid():
    model = online.small_model()
    model.neck.num_grid = 2
    boxes = ((0.0, 0.0, 0.8, 0.8), (0.1, 0.2, 0.9, 1.0))
    samples = [DataSample(metainfo=dict(view_boxes=boxes, view_flips=(False, image % 2 > 0))) for image in range(6)]
    positions = random_positions(6, cells=16)
    pooled = positions.view(12, 2, 2, 2, 2, 16).mean(dim=(2, 4)).flatten(1, 2)
    logged = step(DiagnosticsHook(interval=5), model, positions, samples)
    expected = dense_figures(pooled, (2, 2), ViewGeometry.of(samples))
    assert {name: logged[f'diagnostics/backbone/{name}'] for name in expected} == pytest.approx(expected)


DIRECTION = torch.randn(16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ('positions', 'words'),
    [
        (random_positions(8), None),
        # Length of the noise of a unit vector -> mean similarity about 1 / (1 + length²).
        (DIRECTION / DIRECTION.norm() + 0.20 / 4 * random_positions(8), None),
        (DIRECTION / DIRECTION.norm() + 0.12 / 4 * random_positions(8), 'nearly the same'),
        (DIRECTION * random_positions(8)[..., :1].sign(), 'hardly more than one direction'),
    ],
    ids=['spread', 'similar', 'all the same', 'one direction'],
)
def test_each_kind_of_collapse_is_told_by_its_own_words(positions, words):
    hook = DiagnosticsHook(interval=5, warmup=0, patience=1)
    told = [line for line in step(hook, online.small_model(), positions)['told'] if 'dense features of the b' in line]
    assert [words in line for line in told] == ([True] if words else [])


def test_a_training_that_diverged_is_not_ended_by_its_diagnosis():
    logged = step(DiagnosticsHook(interval=5), online.small_model(), torch.full((8, 4, 16), math.nan))
    assert logged == {'told': []}


def test_a_single_image_is_compared_with_none():
    assert step(DiagnosticsHook(interval=5), online.small_model().eval(), random_positions(1)) == {'told': []}


@pytest.mark.parametrize('key', ['interval', 'num_images', 'warmup', 'patience'])
def test_a_number_out_of_range_is_refused_by_name(key):
    with pytest.raises(UserError, match=f'{key}=-1'):
        DiagnosticsHook(**{key: -1})


def test_a_model_with_another_neck_trains_without_diagnostics_and_is_told_so_once(scenes, tmp_path):
    cfg = config(scenes, dict(interval=1), max_epochs=1)
    cfg.model = dict(
        type='mmpretrain.DenseCL',
        queue_len=12,
        feat_dim=8,
        data_preprocessor=cfg.model.data_preprocessor,
        backbone=online.RESNET,
        neck=dict(type='mmpretrain.DenseCLNeck', in_channels=32, hid_channels=8, out_channels=8),
        head=dict(type='mmpretrain.ContrastiveHead', loss=dict(type='mmpretrain.CrossEntropyLoss')),
    )
    runner = train(cfg, work_dir=str(tmp_path))
    assert runner.iter == 4 and not diagnostics(runner)
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert log.count('no diagnostics in this run: DenseCL has no DenseCLPlusPlusNeck') == 1


def test_the_config_of_densecl_as_published_has_no_diagnostics(repo):
    cfg = Config.fromfile(repo / 'configs/densecl/r50_queue_coco.py')
    assert cfg.default_hooks.diagnostics.interval == 0


@pytest.mark.slow
def test_the_first_of_two_processes_looks_at_its_own_images(scenes, tmp_path, run):
    file = tmp_path / 'config.py'
    cfg = config(scenes, dict(interval=20))
    cfg.visualizer.vis_backends.pop()  # known to the tests alone
    file.write_text(cfg.pretty_text)
    done = run('tools/dist_train.sh', file, 2, '--work-dir', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / 'out').glob('*/vis_data/scalars.json')
    steps = [
        line['step'] for line in map(json.loads, log.read_text().splitlines()) if 'diagnostics/backbone/inter' in line
    ]
    assert steps == [20]
