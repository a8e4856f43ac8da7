"""Diagnosis of checkpoints: by their own pipelines, the same for the same seed, told in a table, JSON and a picture."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdclpp.apis import diagnose, diagnose_all
from mmdclpp.apis.diagnosis.diagnose import default_names
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS
from tests.core.cases import one_line
from tests.engine import online

DENSE = {'intra', 'cross_view', 'inter', 'dense_rank', 'dense_std', 'densities'}
GLOBAL = {'alignment', 'uniformity', 'global_rank', 'global_std'}
MATCHES = {'exact_matches', 'exact_matches_chance', 'near_matches', 'near_matches_chance'}
ABOUT = {'checkpoint', 'name', 'arch', 'seed', 'num_images', 'grid', 'projection'}


def write(path: Path, pipeline=None, **model) -> str:
    """A checkpoint as a runner writes it, of a small model with random weights."""
    cfg = Config(online.config('nowhere', []), format_python_code=False)
    cfg.model.update(model)
    if pipeline is not None:
        cfg.train_dataloader.dataset.pipeline = pipeline
    torch.manual_seed(0)
    state_dict = MODELS.build(cfg.model).state_dict()
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, seed=3, epoch=2, iter=9), state_dict=state_dict), path)
    return str(path)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp('model') / 'epoch_2.pth')


@pytest.fixture(scope='module')
def images(tiny_coco) -> Path:
    return tiny_coco / 'images'


@pytest.fixture(scope='module')
def found(checkpoint, images) -> dict:
    return diagnose(checkpoint, images, num_bins=40)


def test_a_diagnosis_has_every_figure_of_backbone_and_projections(found, checkpoint):
    """Matches too, although the checkpoint's own transforms do not tell where views lie."""
    assert found.keys() == ABOUT | DENSE | GLOBAL | MATCHES
    assert found['projection'].keys() == DENSE | GLOBAL | MATCHES
    assert (found['checkpoint'], found['name'], found['seed'], found['num_images']) == (checkpoint, 'DenseCL++', 3, 8)
    assert found['grid'] == [2, 2] and found['exact_matches_chance'] == 1 / 4


def test_densities_have_the_means_of_the_figures(found):
    for part in (found, found['projection']):
        edges = np.array(part['densities']['bins'])
        assert len(edges) == 41 and (edges[0], edges[-1]) == (-1, 1)
        for kind in ('intra', 'cross_view', 'inter'):
            share = np.array(part['densities'][kind]) * np.diff(edges)
            assert share.sum() == pytest.approx(1)
            assert share @ (edges[:-1] + edges[1:]) / 2 == pytest.approx(part[kind], abs=0.025)  # half a bin


def test_the_seed_alone_decides_and_random_states_stay(found, checkpoint, images):
    draws = (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())
    again = diagnose(checkpoint, images, num_bins=40, batch_size=3)
    assert draws == (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())
    assert {key: again[key] for key in GLOBAL} == pytest.approx({key: found[key] for key in GLOBAL}, rel=1e-4)
    assert diagnose(checkpoint, images, num_images=8, seed=1)['inter'] != pytest.approx(found['inter'], abs=1e-6)


def test_a_list_of_images_has_its_paths_relative_to_itself(checkpoint, images):
    assert len(sorted(images.glob('tall/*.jpg'))) == 4
    (images.parent / 'some.txt').write_text('images/tall/0.jpg\nimages/wide/1.jpg\nimages/tall/2.jpg\n')
    assert diagnose(checkpoint, images.parent / 'some.txt')['num_images'] == 3


@pytest.mark.parametrize(('loss_lambda', 'present', 'absent'), [(0, GLOBAL, DENSE), (1, DENSE, GLOBAL)])
def test_projectors_that_were_not_trained_have_no_figures(tmp_path, images, loss_lambda, present, absent):
    path = write(tmp_path / 'a.pth', loss_lambda=loss_lambda)
    projection = diagnose(path, images)['projection']
    assert present <= projection.keys() and not absent & projection.keys()


def test_a_pooled_neck_has_its_projections_on_a_grid_of_its_own(tmp_path, images):
    neck = dict(online.model()['neck'], num_grid=1)
    found = diagnose(write(tmp_path / 'a.pth', neck=neck), images)
    assert found['exact_matches_chance'] == 1 / 4 and found['projection']['exact_matches_chance'] == 1
    assert math.isnan(found['projection']['intra'])


def test_several_checkpoints_are_told_side_by_side(checkpoint, images, tmp_path, capsys):
    simclr = write(tmp_path / 'epoch_2.pth', loss_lambda=0)
    out, plot = tmp_path / 'd.json', tmp_path / 'd.png'
    results = diagnose_all([checkpoint, simclr], images, names=['ours', 'SimCLR'], out=out, plot=plot)
    assert json.loads(out.read_text()) == results and plot.read_bytes().startswith(b'\x89PNG')
    told = capsys.readouterr().out
    assert 'ours' in told and 'SimCLR' in told and f'{100 * results[1]["exact_matches"]:.1f} %' in told


def test_a_single_checkpoint_is_written_by_itself(checkpoint, images, tmp_path):
    (result,) = diagnose_all([checkpoint], images, out=tmp_path / 'd.json')
    assert json.loads((tmp_path / 'd.json').read_text()) == result


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(images='nowhere'), 'images: nowhere does not exist'),
        (dict(num_images=1), 'num_images=1 must be 2 or more'),
        (dict(num_bins=0), 'num_bins=0 must be 1 or more'),
        (dict(checkpoint='nowhere.pth'), 'nowhere.pth does not exist'),
    ],
)
def test_mistakes_are_named_in_a_line(checkpoint, images, changes, message):
    with pytest.raises(UserError, match=one_line(message)):
        diagnose(**{'checkpoint': checkpoint, 'images': images, **changes})


def test_a_pipeline_that_makes_one_view_is_refused(tmp_path, images):
    pipeline = [dict(type='LoadImage'), dict(type='Resize', scale=(16, 16)), dict(type='PackInputs')]
    with pytest.raises(UserError, match='does not make two views'):
        diagnose(write(tmp_path / 'a.pth', pipeline=pipeline), images)


def test_names_are_one_for_each_and_all_different(checkpoint, images, tmp_path):
    other = write(tmp_path / 'epoch_2.pth')
    for names in (['a'], ['a', 'a']):
        with pytest.raises(UserError, match='give 2, one a checkpoint, all different'):
            diagnose_all([checkpoint, other], images, names=names)


@pytest.mark.parametrize(
    ('files', 'names'),
    [
        (['a/seed0/pretrain/epoch_2.pth'], ['pretrain/epoch_2']),
        (['a/epoch_1.pth', 'a/epoch_2.pth'], ['a/epoch_1', 'a/epoch_2']),
        (
            ['a/seed0/pretrain/epoch_2.pth', 'a/seed1/pretrain/epoch_2.pth'],
            ['seed0/pretrain/epoch_2', 'seed1/pretrain/epoch_2'],
        ),
        (
            ['a/seed0/pretrain/epoch_2.pth', 'b/seed0/pretrain/epoch_2.pth'],
            ['a/seed0/pretrain/epoch_2', 'b/seed0/pretrain/epoch_2'],
        ),
    ],
)
def test_checkpoints_are_called_after_as_many_folders_as_tell_them_apart(files, names):
    assert default_names(files) == names


@pytest.mark.parametrize('key', ['out', 'plot'])
@pytest.mark.parametrize('place', ['file.txt/d', 'folder'])
def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path, key, place):
    (tmp_path / 'file.txt').touch()
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UserError, match=one_line(f'{key}: ', place, 'cannot be written')):
        diagnose_all(['nowhere.pth'], 'nowhere', **{key: tmp_path / place})
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file.txt', 'folder']
