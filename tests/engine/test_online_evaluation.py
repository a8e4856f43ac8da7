"""Online evaluation: pretraining goes on as if there were none, and the figures are those of the current backbone."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from mmdclpp.apis import train
from mmdclpp.apis._cli import user_message
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.engine import OnlineEvaluationHook
from mmdclpp.engine.online_evaluation_hook import Labelled
from mmdclpp.engine.online_multi_label_hook import LEARNING_RATE_PER_CLASS
from mmdclpp.errors import UserError
from mmdclpp.evaluation.dense_probe import fit_dense_probe, token_figures, token_labels
from mmdclpp.evaluation.knn import knn_scores
from mmdclpp.evaluation.linear_fit import fit_linear
from mmdclpp.evaluation.multi_label import multi_label_figures
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import DATASETS, HOOKS
from tests.core.cases import one_line

from . import online

FIGURES = ['linear_mAP', 'knn_mAP', 'dense_accuracy', 'dense_mIoU']
NUMBERS = itertools.count()
COSTS = [f'{name}_{cost}' for name in ('multi_label', 'dense') for cost in ('seconds', 'cost_percent')]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return str(generate_scenes(tmp_path_factory.mktemp('data') / 'scenes', 24, 16, size=40, workers=0, progress=False))


def pretrain(scenes, work_dir, custom_hooks, **options):
    config = online.config(scenes, custom_hooks, **options)
    config['experiment_name'] = f'online_{next(NUMBERS)}'  # runs of one name and second share their logs
    return train(Config(config, format_python_code=False), work_dir=str(work_dir))


def lines(runner):
    """What the runner's backends logged: the file's lines, and what the second backend was given."""
    file = Path(runner.log_dir, 'vis_data', 'scalars.json')
    kept = runner.visualizer.get_backend('KeepingVisBackend').scalars
    return [json.loads(line) for line in file.read_text().splitlines()], kept


@pytest.fixture(scope='module')
def evaluated(scenes, tmp_path_factory):
    """A run of two epochs with both hooks, evaluated before, between and after them."""
    return pretrain(scenes, tmp_path_factory.mktemp('evaluated'), online.hooks(scenes, at_start=True))


@pytest.mark.parametrize('backbone', [online.VIT, online.RESNET], ids=lambda config: config['type'])
def test_a_run_with_online_evaluation_is_bit_for_bit_the_run_without(scenes, tmp_path, backbone):
    """Random views, dropout and batch norm would tell of any draw, mode or statistic that had changed."""
    hooks = online.hooks(scenes, at_start=True)
    hooks[0]['train']['pipeline'].insert(2, dict(type='RandomFlip', prob=0.5))  # so that the evaluation draws, too
    outcomes = []
    for custom_hooks in ([], hooks):
        runner = pretrain(scenes, tmp_path / f'{len(custom_hooks)}', custom_hooks, backbone=backbone)
        checkpoint = CheckpointLoader.load_checkpoint(str(tmp_path / f'{len(custom_hooks)}' / 'epoch_2.pth'))
        steps = [line for line in lines(runner)[0] if 'loss' in line]
        assert len(steps) == 8
        hub = runner.message_hub
        scalars = {name: hub.get_scalar(name).data[0].tolist() for name in hub.log_scalars if 'time' not in name}
        outcomes.append(
            dict(
                losses=[(line['step'], line['loss'], line['dense_pos_sim']) for line in steps],
                weights=checkpoint['state_dict'],
                optimizer=checkpoint['optimizer']['state'],
                next_draws=(torch.rand(1), np.random.rand(), random.random()),
                counters=(runner.iter, runner.epoch, hub.get_info('iter'), hub.get_info('epoch')),
                hub=scalars,
            )
        )
    plain, watched = outcomes
    torch.testing.assert_close(watched, plain, rtol=0, atol=0)


def test_no_gradient_reaches_the_model_and_its_modes_and_weights_stay(scenes):
    model = online.small_model()
    model.train()
    model.backbone.layers[0].eval()  # a mixture of modes, as with frozen stages
    modes = [module.training for module in model.modules()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3)
    tensors = [*model.parameters(), *model.buffers()]
    versions = [tensor._version for tensor in tensors]
    for config in online.hooks(scenes):
        hook, runner = HOOKS.build(config), online.stub_runner(model)
        measure, seen = hook.measure, []
        hook.measure = lambda *args, measure=measure, seen=seen: seen.extend(args[:2]) or measure(*args)
        hook.before_train(runner)
        hook.after_train_epoch(runner)
        assert runner.logged
        assert [examples.features.requires_grad for examples in seen] == [False, False]
    assert all((parameter.grad == 3).all() for parameter in model.parameters())
    assert [tensor._version for tensor in tensors] == versions
    assert [module.training for module in model.modules()] == modes


def test_every_backend_gets_figures_and_cost_at_the_iteration_of_each_evaluation(evaluated):
    for logged in lines(evaluated):
        found = [line for line in logged if any(key.startswith('online/') for key in line)]
        assert [line['step'] for line in found] == [0, 0, 4, 4, 8, 8]
        for multi_label, dense in zip(found[::2], found[1::2]):
            names = {key.removeprefix('online/') for key in {*multi_label, *dense}} - {'step'}
            assert names == {*FIGURES, *COSTS}
            assert 0 < dense['online/dense_cost_percent'] < 100 and dense['online/dense_seconds'] > 0
    text = next(Path(evaluated.log_dir).glob('*.log')).read_text()
    assert 'online evaluation before training: linear mAP' in text
    assert 'online evaluation after epoch 2: dense accuracy' in text


def test_the_figures_are_those_of_the_current_backbone_in_eval_mode(scenes, evaluated):
    """Written out by hand: the model's own normalisation, all images in one batch."""
    backbone = evaluated.model.backbone
    backbone.eval()
    mean, std = (torch.tensor(values)[:, None, None] for values in ([100.0, 110, 120], [50.0, 60, 70]))

    def split(config, label):
        items = list(DATASETS.build(config))
        images = torch.stack([item['inputs'] for item in items]).float().flip(1)
        with torch.no_grad():
            features = extract_features(backbone, (images - mean) / std)
        return features, torch.stack([label(item['data_samples']) for item in items])

    last = {name: value for line in lines(evaluated)[0][-2:] for name, value in line.items()}
    (learnt, targets), (asked, answers) = (
        split(online.labels(scenes, name), lambda sample: sample.gt_score) for name in ('train', 'val')
    )
    learnt, asked = learnt.aggregate('gap'), asked.aggregate('gap')
    linear = fit_linear(learnt, targets, asked, learning_rates=[8 * LEARNING_RATE_PER_CLASS], weight_decays=[0.0])
    scores = dict(linear=linear.scores, knn=knn_scores(learnt, targets, asked))
    expected = {
        f'online/{name}_mAP': multi_label_figures(values.numpy(), answers.numpy())['mAP']
        for name, values in scores.items()
    }
    (learnt, known), (asked, answers) = (
        split(online.masks(scenes, name), lambda sample: sample.gt_sem_seg.data[0]) for name in ('train', 'val')
    )
    known, answers = (token_labels(masks, (4, 4), 9).flatten() for masks in (known, answers))
    probe = fit_dense_probe(learnt.positions.flatten(0, 1), known, 9)
    figures = token_figures(probe.predict(asked.positions.flatten(0, 1)), answers, 9)
    expected.update({f'online/dense_{name}': value for name, value in figures.items()})
    assert {name: last[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_several_processes_find_what_one_finds_and_the_first_alone_logs(scenes, tmp_path):
    mp.spawn(online.evaluate_in_a_group, args=(2, scenes, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pt') for rank in range(2))
    assert first == pytest.approx(online.evaluate(online.hooks(scenes, max_images=11), online.small_model()), abs=1e-6)
    assert set(first) == {f'online/{name}' for name in FIGURES} and second == {}


class CountingHook(OnlineEvaluationHook):
    """The plainest evaluation: how many examples there are."""

    name = 'count'

    def describe(self, model, features, samples):
        return Labelled(features.positions.flatten(1), torch.zeros(len(samples)))

    def measure(self, train, val, device):
        return dict(train=len(train.labels), val=len(val.labels), first=float(train.features[0].sum()))


@pytest.fixture
def counting(scenes):
    def build(**options):
        data = dict(train=online.labels(scenes, 'train'), val=online.labels(scenes, 'val'))
        return CountingHook(**data, num_workers=0, **options)

    return build


@pytest.mark.parametrize(
    ('interval', 'at_start', 'max_epochs', 'expected'),
    [(1, False, 3, [1, 2, 3]), (2, False, 4, [2, 4]), (2, False, 3, [2, 3]), (5, True, 3, [0, 3])],
)
def test_an_evaluation_comes_every_interval_epochs_and_after_the_last(
    counting, interval, at_start, max_epochs, expected
):
    hook, runner, seen = counting(interval=interval, at_start=at_start), online.stub_runner(online.small_model()), []
    runner.visualizer.add_scalars = lambda scalars, step, **_: seen.append(step)
    runner.max_epochs, runner.iter = max_epochs, 0
    hook.before_train(runner)
    for runner.epoch in range(max_epochs):
        runner.iter += 1
        hook.after_train_epoch(runner)
    assert seen == expected


def test_a_resumed_run_is_not_evaluated_at_its_start(counting):
    hook, runner = counting(at_start=True), online.stub_runner(online.small_model())
    hook.before_train(runner)  # at iteration 4
    assert runner.logged == {}


@pytest.mark.parametrize(('max_images', 'expected'), [(7, (7, 7)), (20, (20, 16)), (None, (24, 16))])
def test_at_most_max_images_are_used_the_same_at_every_evaluation(counting, max_images, expected):
    figures = []
    for prefix in ('a', 'b'):
        hook, runner = counting(max_images=max_images, prefix=prefix), online.stub_runner(online.small_model())
        hook.before_train(runner)
        for _ in range(2):
            torch.rand(1), np.random.rand()
            hook.after_train_epoch(runner)
            figures.append([runner.logged[f'{prefix}/{name}'] for name in ('train', 'val', 'first')])
    assert tuple(figures[0][:2]) == expected
    assert all(again == figures[0] for again in figures)


def without(config, key):
    return {name: value for name, value in config.items() if name != key}


MISTAKES = {
    'a folder that is not there': (
        'OnlineMultiLabelHook', lambda c: dict(c, val=dict(c['val'], data_root='gone')), 'gone/annotations',
    ),
    'a folder of masks that is not there': (
        'OnlineDenseHook', lambda c: dict(c, val=dict(c['val'], data_root='gone')), 'gone',
    ),
    'an unknown key': ('OnlineMultiLabelHook', lambda c: dict(c, every=3), 'every'),
    'an unknown key of the data': ('OnlineDenseHook', lambda c: dict(c, train=dict(c['train'], fold=1)), 'fold'),
    'no data': ('OnlineDenseHook', lambda c: without(c, 'val'), 'val'),
    'no image': ('OnlineMultiLabelHook', lambda c: dict(c, val=dict(c['val'], indices=0)), 'val has no image'),
    'an interval of 0': ('OnlineDenseHook', lambda c: dict(c, interval=0), 'interval=0'),
    'half an image': ('OnlineDenseHook', lambda c: dict(c, max_images=0.5), 'max_images=0.5'),
    'an unknown aggregate': ('OnlineMultiLabelHook', lambda c: dict(c, aggregate='max'), "aggregate='max'"),
    'a class token that is not there': (
        'OnlineMultiLabelHook', lambda c: dict(c, aggregate='cls'), "aggregate='cls'",
    ),
    'other classes': (
        'OnlineMultiLabelHook',
        lambda c: dict(c, val=dict(c['val'], classes=['striped disc'])), 'classes (8 and 1)',
    ),
    'no masks': ('OnlineDenseHook', None, 'have no mask'),
    'no labels': ('OnlineMultiLabelHook', None, "no 'gt_score'"),
    'masks of another size': (
        'OnlineDenseHook',
        lambda c: dict(c, val=dict(c['val'], pipeline=[c['val']['pipeline'][i] for i in (0, 2, 1, 3)])),
        'put LoadAnnotations before Resize',
    ),
    'no names of classes': (
        'OnlineDenseHook',
        lambda c: dict(c, train=without(c['train'], 'metainfo'), val=without(c['val'], 'metainfo')),
        'does not name its classes',
    ),
}  # fmt: skip


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_in_the_config_is_told_in_one_line_before_training(scenes, mistake):
    kind, change, message = MISTAKES[mistake]
    multi_label, dense = online.hooks(scenes)
    right = multi_label if kind == 'OnlineMultiLabelHook' else dense
    other = dense if right is multi_label else multi_label
    wrong = change(right) if change else dict(other, type=kind)
    with pytest.raises(Exception) as caught:
        HOOKS.build(wrong).before_train(online.stub_runner(online.small_model(backbone=online.RESNET)))
    line = user_message(caught.value)
    assert line is not None and message in line and '\n' not in line


def test_a_model_without_a_backbone_is_refused(scenes):
    with pytest.raises(UserError, match=one_line('a model with a backbone', 'Linear')):
        HOOKS.build(online.hooks(scenes)[0]).before_train(online.stub_runner(torch.nn.Linear(2, 2)))


def test_the_global_feature_is_the_one_of_pretraining_unless_told_otherwise(scenes):
    def features(hook, **kwargs):
        hook, runner = (
            HOOKS.build(dict(online.hooks(scenes)[0], **hook)),
            online.stub_runner(online.small_model(**kwargs)),
        )
        hook.before_train(runner)
        return hook._extract(runner.model, hook.datasets['val'], [0, 1], 0)[0].features

    of_cls, of_gap = (features(dict(aggregate=kind)) for kind in ('cls', 'gap'))
    assert not torch.equal(of_cls, of_gap)
    assert torch.equal(features({}, aggregate='cls'), of_cls)
    assert torch.equal(features({}, aggregate='gap'), of_gap)


def test_each_shipped_config_of_online_evaluation_names_hooks_that_can_be_built(repo):
    files = sorted((repo / 'configs' / '_base_').glob('online_evaluation_*.py'))
    assert len(files) == 2
    for file in files:
        hooks = [HOOKS.build(config) for config in Config.fromfile(file).custom_hooks]
        assert [hook.name for hook in hooks] == ['multi_label', 'dense']
