"""The template of docs/extending.md does what it says, from a folder of the user's."""

import math
import sys

import pytest
import torch
from mmengine.config import Config
from torch.nn.functional import cosine_similarity

from mmdclpp.apis import load_backbone, train
from mmdclpp.apis._runner import load_config
from mmdclpp.core import Draws, dense_loss
from mmdclpp.models.heads import DenseInfoNCEHead
from mmdclpp.registry import MODELS
from tests.core import reference
from tests.core.cases import random_views

from .pages import DOCS, examples

TEMPLATE = DOCS / 'examples'
OPTIONS = {
    'train_dataloader.batch_size': 4,
    'train_dataloader.num_workers': 0,
    'train_cfg.max_epochs': 1,
}
DRAWS = Draws(3, 5)


@pytest.fixture(scope='module')
def my_config(tmp_path_factory, repo):
    """The template, copied to a folder elsewhere as the page says."""
    folder = tmp_path_factory.mktemp('mine')
    for name in ('my_method.py', 'my_config.py'):
        text = (TEMPLATE / name).read_text(encoding='utf-8')
        (folder / name).write_text(text.replace('../../configs', f'{repo}/configs'), encoding='utf-8')
    return folder / 'my_config.py'


@pytest.fixture
def my_method(my_config):
    """The module beside the config, which reading the config imports and registers."""
    load_config(my_config)
    return sys.modules['my_method']


@pytest.mark.parametrize('example', examples('extending.md'), ids=str)
def test_the_page_shows_parts_of_the_template(example):
    files = (TEMPLATE / 'my_method.py', TEMPLATE / 'my_config.py')
    assert any(example.code in file.read_text(encoding='utf-8') for file in files)


def test_a_config_trains_with_the_file_beside_it_and_its_backbone_needs_neither(
    my_config, my_method, tiny_coco, tmp_path
):
    cfg = Config.fromfile(my_config, format_python_code=False)  # formatting would take seconds
    options = {**OPTIONS, 'train_dataloader.dataset.data_root': str(tiny_coco / 'images')}
    runner = train(cfg, work_dir=str(tmp_path / 'run'), cfg_options=options)
    assert isinstance(runner.model.dense_head, my_method.SoftMatchHead)
    # 4 images, 2 views each: 8 positions of each of the 6 views of other images.
    assert runner.message_hub.get_scalar('train/dense_negatives').current() == 6 * 8

    file = tmp_path / 'run' / 'epoch_1.pth'
    content = torch.load(file, weights_only=False)
    content['meta']['cfg'] = content['meta']['cfg'].replace("'my_method'", "'a_module_that_is_not_here'")
    torch.save(content, file)
    weights, expected = (model.backbone.state_dict() for model in (load_backbone(file), runner.model))
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


@pytest.mark.slow
def test_tools_train_runs_the_template_on_several_processes(my_config, tiny_coco, run, tmp_path):
    options = {**OPTIONS, 'train_dataloader.batch_size': 2, 'train_dataloader.dataset.data_root': tiny_coco / 'images'}
    arguments = [f'{key}={value}' for key, value in options.items()]
    trained = run('tools/dist_train.sh', my_config, 2, '--work-dir', 'out', '--cfg-options', *arguments)
    assert trained.returncode == 0, trained.stderr
    assert 'dense_negatives: 48.0' in trained.stdout


@pytest.mark.parametrize('num_positions', [1, 3, 5])
def test_the_samplers_negatives_are_distinct_positions_of_views_of_other_images(my_method, num_positions):
    projections, pairs = random_views(3, 5, 4)
    found = dense_loss(projections, pairs, [my_method.SeveralRandomNegatives(num_positions)], 0.3, DRAWS)

    name = '0/SeveralRandomNegatives'
    drawn = DRAWS.subsets(name, num_positions, 6, 5).tolist()
    assert all(len(set(positions)) == num_positions for positions in drawn)
    units = [[reference.unit(row) for row in view] for view in projections]
    losses = []
    for view, matches in enumerate(reference.match(pairs)):
        sibling = reference.sibling(view, 6)
        negatives = [units[other][m] for other in reference.others(view, 6) for m in drawn[other]]
        for anchor, match in zip(units[view], matches):
            losses.append(reference.info_nce(anchor, units[sibling][match], negatives, 0.3))
    torch.testing.assert_close(found.loss, torch.stack(losses).mean())
    assert found.num_negatives == 4 * num_positions


def soft_head(my_method, match_temperature, **options):
    return MODELS.build(dict(type=my_method.SoftMatchHead, match_temperature=match_temperature, **options))


@pytest.mark.parametrize('pair_feature', ['backbone', 'projection'])
def test_a_soft_positive_is_the_mean_of_the_siblings_positions_by_similarity(my_method, pair_feature):
    projections, positions = random_views(2, 3, 4)
    head = soft_head(my_method, 0.4, negatives=[dict(type='GlobalNegatives')], pair_feature=pair_feature)
    found = head.loss(projections, positions, DRAWS)

    pairs = positions if pair_feature == 'backbone' else projections
    units = [[reference.unit(row) for row in view] for view in projections]
    losses = []
    for view in range(4):
        sibling = reference.sibling(view, 4)
        negatives = [reference.unit(projections[other].mean(0)) for other in reference.others(view, 4)]
        for k in range(3):
            weights = [math.exp(cosine_similarity(pairs[view][k], pairs[sibling][m], dim=0) / 0.4) for m in range(3)]
            soft = sum(weight * units[sibling][m] for m, weight in enumerate(weights)) / sum(weights)
            losses.append(reference.info_nce(units[view][k], reference.unit(soft), negatives, 0.2))
    torch.testing.assert_close(found.loss, torch.stack(losses).mean())


def test_at_a_temperature_near_zero_the_soft_positive_is_the_match_and_gradients_too(my_method):
    losses, gradients = [], []
    for head in (soft_head(my_method, 1e-6, negatives=[dict(type='GlobalNegatives')]), None):
        projections, positions = random_views(3, 5, 4)
        projections.requires_grad_()
        head = head or DenseInfoNCEHead(negatives=[dict(type='GlobalNegatives')])
        loss = head.loss(projections, positions, DRAWS).loss
        loss.backward()
        losses.append(loss.detach())
        gradients.append(projections.grad)
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)
