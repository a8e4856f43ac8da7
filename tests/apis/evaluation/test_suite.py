"""`tools/evaluate.py` and :func:`mmdclpp.apis.evaluate` on small real images."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image

from mmdclpp.apis import evaluate
from mmdclpp.apis.evaluation import by_runner, on_features
from mmdclpp.apis.evaluation import suite as module
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS
from mmdclpp.utils.paths import config_path

FAST = {'train_cfg.max_iters': 2, 'train_dataloader.batch_size': 2}


@pytest.fixture(scope='session')
def data_root(tmp_path_factory):
    """The built-in scenes in the layouts of the reduced data sets: COCO's and VOC's annotations, VOC's masks."""
    root = tmp_path_factory.mktemp('data')
    scenes = generate_scenes(root / 'scenes', num_train=40, num_val=20, size=32, workers=1, progress=False)
    for split in ('train', 'val'):
        content = json.loads((scenes / 'annotations' / f'instances_{split}.json').read_text())
        for image in content['images']:
            image['file_name'] = f'{split}_{image["file_name"]}'
        for name in ('coco_mini', 'voc2007'):
            (root / name / 'annotations').mkdir(parents=True, exist_ok=True)
            (root / name / 'images').mkdir(exist_ok=True)
            (root / name / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
            for file in (scenes / 'images' / split).iterdir():
                shutil.copy(file, root / name / 'images' / f'{split}_{file.name}')
        for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
            (root / 'voc_seg' / folder).mkdir(parents=True, exist_ok=True)
        stems = sorted(file.stem for file in (scenes / 'images' / split).iterdir())[:6]
        for stem in stems:
            name = f'{split}_{stem}'
            shutil.copy(scenes / 'images' / split / f'{stem}.jpg', root / 'voc_seg' / 'JPEGImages' / f'{name}.jpg')
            mask = scenes / 'masks' / split / f'{stem}.png'
            shutil.copy(mask, root / 'voc_seg' / 'SegmentationClass' / f'{name}.png')
        lines = ''.join(f'{split}_{stem}\n' for stem in stems)
        (root / 'voc_seg' / 'ImageSets' / 'Segmentation' / f'{split}.txt').write_text(lines)
    shutil.rmtree(scenes)
    return root


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory):
    """What a pretraining run of a very small ViT leaves."""
    cfg = Config.fromfile(config_path('densecl_pp/vit-demo_scenes.py'), format_python_code=False)
    cfg.model.backbone.update(arch=dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=32), img_size=32)
    cfg.model.neck.in_channels = 24
    path = tmp_path_factory.mktemp('pretrained') / 'epoch_1.pth'
    torch.manual_seed(0)
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, seed=0), state_dict=MODELS.build(cfg.model).state_dict()), path)
    return str(path)


@pytest.fixture
def run_suite(data_root, checkpoint, tmp_path):
    def _run(models=(checkpoint,), **kwargs):
        arguments = dict(data_root=data_root, work_dir=tmp_path / 'out', num_workers=0, batch_size=16, cfg_options=FAST)
        return evaluate(models, **{**arguments, **kwargs})

    return _run


QUICK = ['coco-linear', 'voc-linear', 'coco-knn', 'voc-knn', 'voc-seg']


def test_the_quick_suite_measures_every_task_whose_data_are_there_and_reports_it(run_suite, tmp_path, capsys):
    results = run_suite()
    (model,) = results['models']
    assert list(model['evaluations']) == QUICK
    for key in QUICK[:4]:
        assert 0 < model['evaluations'][key]['metrics']['mAP'] <= 100
    assert 0 <= model['evaluations']['voc-seg']['metrics']['mIoU'] <= 100
    assert 'mAP_area' in model['evaluations']['voc-linear']['metrics']  # VOC's own protocol
    assert json.loads((tmp_path / 'out' / 'results.json').read_text())['models'][0]['name'] == 'DenseCL++'
    table = (tmp_path / 'out' / 'results.md').read_text()
    assert '| DenseCL++ | GAP | backbone |' in table
    assert Image.open(tmp_path / 'out' / 'comparison.png').width > 100
    said = capsys.readouterr().out
    assert '[5/5] DenseCL++: voc-seg on voc_seg' in said and 'left out: coco-seg: no COCO objects below' in said


def test_what_is_done_is_not_done_again_and_other_settings_are_done_beside_it(run_suite, monkeypatch):
    calls = []
    evaluations = module.SUITES['quick']
    counted = [
        each._replace(run=lambda job, each=each: calls.append(each.key) or each.run(job)) for each in evaluations
    ]
    for each, original in zip(counted, evaluations):
        each.run.__doc__ = original.run.__doc__
    monkeypatch.setitem(module.SUITES, 'quick', counted)

    first = run_suite(tasks=['knn'])
    assert calls == ['coco-knn', 'voc-knn']
    again = run_suite(tasks=['voc-linear', 'knn'])
    assert calls[2:] == ['voc-linear']
    assert again['models'][0]['evaluations']['voc-knn'] == first['models'][0]['evaluations']['voc-knn']
    for change in (dict(image_size=48), dict(aggregate='cls'), dict(seed=1), dict(rerun=True)):
        run_suite(tasks=['knn'], **change)
        assert calls[3:] == ['coco-knn', 'voc-knn']
        del calls[3:]
    run_suite(tasks=['knn'])
    assert len(calls) == 3


class Killed(BaseException):
    """Not an Exception: nothing handles it."""


def test_an_evaluation_that_was_killed_goes_on_where_it_stopped(run_suite, monkeypatch):
    iterations = []

    @HOOKS.register_module(force=True)
    class KillAtThirdStep(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            iterations.append(runner.iter)
            if len(iterations) == 3:
                raise Killed

    def train(cfg, **kwargs):
        return by_runner_train(cfg, **kwargs, cfg_options=dict(custom_hooks=[dict(type='KillAtThirdStep')]))

    by_runner_train = by_runner.train
    monkeypatch.setattr(by_runner, 'train', train)
    arguments = dict(
        tasks=['knn', 'voc-seg'],
        cfg_options={**FAST, 'train_cfg.max_iters': 4, 'default_hooks.checkpoint.interval': 1},
    )
    with pytest.raises(Killed):
        run_suite(**arguments)
    monkeypatch.setattr(on_features, 'knn_scores', None)  # not called again: k-NN was done
    results = run_suite(**arguments)
    assert iterations == [0, 1, 2, 2, 3]
    assert list(results['models'][0]['evaluations']) == ['coco-knn', 'voc-knn', 'voc-seg']


def test_the_runners_evaluate_by_the_papers_protocols(run_suite):
    options = {**FAST, 'train_cfg.max_iters': 1, 'model.decode_head.norm_cfg.type': 'BN'}
    (model,) = run_suite(suite='all', tasks=['voc-seg'], segmentation_size=64, cfg_options=options)['models']
    assert list(model['evaluations']) == ['voc-seg', 'voc-seg@fcn', 'voc-seg@upernet']
    for evaluation in model['evaluations'].values():
        assert 0 <= evaluation['metrics']['mIoU'] <= 100 and evaluation['settings']['crop_size'] == 64
    options = {'train_cfg.max_epochs': 2}
    (model,) = run_suite(suite='paper', tasks=['coco-linear'], cfg_options=options)['models']
    (evaluation,) = model['evaluations'].values()
    assert len(evaluation['per_class']) == 8 and 0 < evaluation['metrics']['mAP'] <= 100
    # The config's learning rate is for 80 classes; the scenes have 8.
    assert evaluation['settings']['learning_rate'] == pytest.approx(0.16 * 8)


@pytest.mark.parametrize('name', ['resnet18', 'timm'])
def test_other_backbones_go_through_the_same_segmentation(run_suite, tmp_path, name):
    if name == 'timm':
        arguments = dict(backbone='timm:test_vit')
    else:
        config = tmp_path / 'resnet18.py'
        config.write_text("model = dict(backbone=dict(type='ResNet', depth=18))")
        arguments = dict(config=str(config))
    options = {**FAST, 'train_cfg.max_iters': 1}
    (model,) = run_suite(
        ['random'], suite='all', tasks=['voc-seg'], segmentation_size=64, cfg_options=options, **arguments
    )['models']
    # Which maps of a timm model UPerNet should take is not known; the suite goes on without it.
    assert list(model['evaluations']) == ['voc-seg', 'voc-seg@fcn'] + ['voc-seg@upernet'] * (name == 'resnet18')


def test_a_size_that_cuts_patches_is_refused(run_suite):
    with pytest.raises(UserError, match='image_size=50 is no multiple of the 8 px of a patch of .*: use 48 or 56'):
        run_suite(image_size=50)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda content: content['categories'].reverse() or _renumber(content), 'have other classes'),
        (lambda content: content['images'][0].update(file_name='train_000000.jpg'), r'share 1 images \(.*train_000000'),
    ],
    ids=['classes', 'images'],
)
def test_splits_that_do_not_belong_together_are_refused(run_suite, data_root, tmp_path, change, message):
    root = tmp_path / 'data' / 'coco_mini'
    shutil.copytree(data_root / 'coco_mini', root)
    file = root / 'annotations' / 'instances_val.json'
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        run_suite(data_root=root.parent, tasks=['coco-linear'])


def _renumber(content):
    for number, category in enumerate(content['categories']):
        category['id'] = number + 1


def test_methods_and_seeds_and_the_random_baseline_stand_in_one_table(run_suite, checkpoint, tmp_path):
    run_suite(['random:0', 'random:1', checkpoint], tasks=['knn'])
    table = (tmp_path / 'out' / 'results.md').read_text()
    assert '| random | GAP |' in table and '±' in table


def test_two_processes_find_what_one_finds(run, run_suite, data_root, checkpoint, tmp_path):
    result = run(
        *('tools/dist_evaluate.sh', checkpoint, 2, '--tasks', 'knn', 'voc-seg', '--data-root', data_root),
        *('--work-dir', tmp_path / 'two', '--batch-size', 16, '--num-workers', 0),
        *('--cfg-options', 'train_cfg.max_iters=2', 'train_dataloader.batch_size=2'),  # of both together
    )
    assert result.returncode == 0, result.stderr
    (two,) = json.loads((tmp_path / 'two' / 'results.json').read_text())['models']
    (one,) = run_suite(tasks=['knn', 'voc-seg'])['models']
    for key in ('coco-knn', 'voc-knn'):
        assert two['evaluations'][key]['metrics'] == pytest.approx(one['evaluations'][key]['metrics'], abs=1e-3)
    assert two['evaluations']['voc-seg']['settings'] == one['evaluations']['voc-seg']['settings']
    assert result.stdout.count('[1/3]') == 1  # one process speaks


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(suite='slow'), "suite='slow' is unknown: use one of quick, paper, all"),
        (dict(tasks=['knn'], suite='paper'), "tasks: 'knn' is none of suite paper: use coco-linear, voc-seg, coco-seg"),
        (
            dict(tasks=['coco-seg']),
            r'data_root, tasks coco-seg: no COCO objects below .* python tools/dataset_converters/coco.py',
        ),
        (dict(data_root='/nowhere'), 'data_root: coco-linear: no COCO 2017 below /nowhere'),
        (dict(image_size=0), 'image_size=0 is no size in px'),
        (dict(batch_size=0), 'batch_size=0'),
    ],
)
def test_a_wrong_request_ends_before_anything_is_computed(run_suite, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        run_suite(**arguments)
    assert not (tmp_path / 'out').exists()
