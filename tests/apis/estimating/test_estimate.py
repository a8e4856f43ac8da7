"""Estimates of configs, without a GPU and mostly without data."""

import json
from dataclasses import replace

import pytest
from mmengine.config import Config
from PIL import Image

from mmdclpp.apis import estimate
from mmdclpp.apis._runner import load_config, shipped_config
from mmdclpp.apis.estimating import estimate as module
from mmdclpp.apis.estimating import loading, measuring
from mmdclpp.apis.estimating.devices import DEVICES
from mmdclpp.apis.estimating.loading import survey_loading
from mmdclpp.apis.estimating.report import conclusions, print_estimate
from mmdclpp.errors import UserError
from mmdclpp.utils.strict_json import strict_json
from tests.core.cases import one_line

DRAW_PHOTOGRAPH = loading._draw_photograph
CONFIGS = ('simclr', 'densecl', 'densecl_pp')
SMALL = 'densecl_pp/vit-demo_scenes.py'


@pytest.fixture(scope='module', autouse=True)
def quick(tiny_coco, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('empty'))  # where no data are
        patch.setattr(loading, '_SECONDS', 0.02)
        patch.setattr(loading, '_draw_photograph', lambda folder: str(tiny_coco / 'images/tall/0.jpg'))
        patch.setattr(measuring, '_STEPS', 1)
        yield


def of(repo, **kwargs):
    kwargs.setdefault('images', 3000)
    options = {'model.backbone.arch.num_layers': 1, **kwargs.pop('cfg_options', {})}
    return estimate(repo / 'configs' / SMALL, cfg_options=options, **kwargs)


@pytest.fixture(scope='module')
def plain(request):
    """On four H100."""
    return of(request.config.rootpath, gpus=4, gpu='h100')


def pytest_generate_tests(metafunc):
    if 'config' in metafunc.fixturenames:
        root = metafunc.config.rootpath / 'configs'
        files = [file for folder in CONFIGS for file in sorted((root / folder).glob('*.py'))]
        metafunc.parametrize('config', files, ids=[f'{file.parent.name}/{file.stem}' for file in files])


@pytest.mark.slow
def test_every_pretraining_config_has_an_estimate(config):
    found = estimate(config, gpus=8, images=118287, amp='queue' not in config.name)
    assert found.fits and found.largest_batch > found.batch_size
    assert 0 < found.step_seconds < 10 and found.total_seconds > found.epoch_seconds > 0


def test_without_images_a_built_in_one_of_the_size_of_coco_is_loaded(tmp_path):
    width, height = Image.open(DRAW_PHOTOGRAPH(tmp_path)).size
    assert (width, height) == (640, 480)


def test_the_images_of_coco_are_known_without_being_there(repo):
    cfg = load_config(repo / 'configs/simclr/r50_coco.py')
    found = survey_loading(cfg)
    assert found.images == 118_287 and 'not here' in found.counted
    assert found.views == [(3, 224, 224)] * 2
    assert module._length(cfg, found.images, 32, 8) == (118_287 // (8 * 32), 800)


@pytest.mark.slow
def test_a_backbone_of_timm_is_estimated_and_nothing_is_downloaded(repo):
    backbone = dict(_delete_=True, type='TIMMBackbone', model_name='resnet18', pretrained=True)
    options = {'model.backbone': backbone, 'model.neck.in_channels': 512}
    assert estimate(repo / 'configs/densecl_pp/r50_coco.py', cfg_options=options).fits


def test_images_that_are_there_are_counted_and_loaded(repo, tiny_coco):
    found = of(repo, images=None, batch_size=2, data=tiny_coco / 'images')
    assert found.loading.images == 8 and found.iterations == 4
    assert found.loading.loaded == "the config's own images" and found.loading.rate > 0


def test_of_your_own_images_the_training_that_would_run_is_estimated(tiny_coco, tmp_path):
    config = shipped_config('densecl_pp/vit-demo_folder.py')
    options = {'model.backbone.arch.num_layers': 1, 'train_cfg.max_epochs': 100}
    found = estimate(config, gpu='l4', data=tiny_coco / 'images', cfg_options=options)
    assert (found.batch_size, found.iterations, found.epochs, found.workers) == (8, 1, 100, 16)
    assert found.settings['param_scheduler.1.end'] == 100
    assert conclusions(found)[0].startswith('For your images: 8 a GPU, 100 epochs, 16 workers in all')
    two = estimate(config, gpus=2, gpu='l4', data=tiny_coco / 'images', batch_size=3, cfg_options=options)
    assert (two.batch_size, two.iterations, two.workers) == (3, 1, 32)


def test_processes_get_as_many_images_each_by_repeating_some():
    cfg = Config(dict(train_dataloader=dict(drop_last=True), train_cfg=dict(max_epochs=2)))
    assert module._length(cfg, 1017, 16, 8) == (8, 2)  # ceil(1017 / 8) = 128 = 8 batches of 16
    cfg.train_dataloader.drop_last = False
    assert module._length(cfg, 1025, 16, 8) == (9, 2)


def test_memory_has_a_part_for_everything_that_a_training_keeps(repo, plain):
    memory, weights = plain.memory, plain.memory['weights']
    assert memory['optimizer'] == pytest.approx(2 * weights, rel=0.01)  # AdamW; buffers have no moments
    assert memory['gradient buckets'] == memory['optimizer'] / 2
    assert memory['averaged weights'] == memory['accumulated gradients'] == 0
    more = of(repo, accumulate=2, ema=True).memory
    assert more['averaged weights'] == weights
    assert more['accumulated gradients'] == memory['optimizer'] / 2
    assert more['gradient buckets'] == 0  # of one process


@pytest.mark.parametrize(
    ('optimizer', 'states'),
    [
        (dict(type='AdamW', lr=1e-3), 2),
        (dict(type='SGD', lr=0.1, momentum=0.9), 1),
        (dict(type='SGD', lr=0.1), 0),
        (dict(type='LARS', lr=0.1, momentum=0.9), 1),
    ],
)
def test_an_optimizer_is_asked_what_it_keeps(optimizer, states):
    assert module._states_per_weight(optimizer) == states


def test_the_largest_batch_fits_and_a_larger_one_does_not(repo, monkeypatch):
    monkeypatch.setitem(DEVICES, 'l4', DEVICES['l4']._replace(bytes=module.RESERVED_BYTES + 400 * 2**20))
    largest = of(repo, gpu='l4', batch_size=200).largest_batch
    assert 200 < largest < 800
    assert of(repo, gpu='l4', batch_size=round(0.95 * largest)).fits
    beyond = of(repo, gpu='l4', batch_size=round(1.05 * largest), accumulate=3)
    assert not beyond.fits and beyond.largest_batch == pytest.approx(largest, rel=0.05)
    advice = '\n'.join(conclusions(beyond))
    assert '--amp and --grad-checkpointing' in advice
    assert f'batch_size={beyond.largest_batch} with --accumulate 4' in advice


def test_time_is_that_of_computing_or_of_loading_whichever_is_slower(plain):
    assert plain.predicted_seconds == pytest.approx(sum(plain.step.flops.values()) / (0.4 * 67e12))
    fast, slow = (replace(plain, loading=plain.loading._replace(rate=rate)) for rate in (1e9, 10.0))
    assert fast.epoch_seconds == pytest.approx(plain.iterations * plain.predicted_seconds)
    assert slow.epoch_seconds == pytest.approx(plain.iterations * 4 * 32 / (4 * 10.0))  # a worker a GPU
    assert slow.total_seconds == 14 * slow.epoch_seconds
    assert 'Loading is the limit' in conclusions(slow)[1] and len(conclusions(slow)) == len(conclusions(fast)) + 1


def test_what_is_measured_stands_beside_what_is_predicted(repo, capsys):
    found = of(repo, measure=True, batch_size=4, gpus=2)
    assert found.step_seconds == found.measured.seconds > 0
    assert found.memory['reserved'] == 0
    print_estimate(found, 'title')
    out = capsys.readouterr().out
    assert 'predicted is 0.9' in out or 'predicted is 1.' in out
    assert json.loads(strict_json(found.as_dict()))['measured']['peak_bytes'] == found.measured.peak_bytes


MISTAKES = {
    'a GPU that is not known': (dict(gpu='h1000'), "gpu='h1000' is unknown"),
    'one image': (dict(batch_size=1), 'batch_size=1 is too small'),
    'no GPU': (dict(gpus=0), 'gpus=0 is too small'),
    'more than all': (dict(utilisation=1.5), 'utilisation=1.5'),
    'measuring another GPU': (dict(measure=True, gpu='l4'), "gpu='l4'"),
    'mixed precision on a CPU': (dict(measure=True, amp=True), 'mixed precision needs a GPU'),
    'images that nobody counted': (dict(images=None), 'images: give their number'),
    'a batch of more images than there are': (
        dict(images=20),
        '20 make no batch of 32 on each of 1 GPUs: lower batch_size',
    ),
    'a folder that is not there': (dict(data='gone'), 'gone'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_told_in_one_line(repo, mistake):
    arguments, expected = MISTAKES[mistake]
    with pytest.raises(UserError, match=one_line(expected)):
        of(repo, **arguments)


def test_a_config_that_needs_labels_is_refused(classifier_config):
    with pytest.raises(UserError, match='estimate: .* trains ImageClassifier, .*: give a pretraining config'):
        estimate(Config.fromfile(classifier_config))


def test_a_segmentation_config_is_refused_without_its_data(repo):
    with pytest.raises(UserError, match='trains EncoderDecoder, which needs labels'):
        estimate(repo / 'configs/benchmarks/segmentation/vit-s16_upernet_voc12aug.py')


@pytest.mark.slow
def test_the_tool_prints_and_writes_the_figures(repo, run, tmp_path):
    flags = ('--gpus', 8, '--gpu', 'a100', '--images', 3000, '--json', 'estimate.json')
    result = run('tools/estimate.py', repo / 'configs' / SMALL, *flags)
    assert result.returncode == 0, result.stderr
    assert '8 × NVIDIA A100 (80 GB), 32 images each, float32' in result.stdout
    assert json.loads((tmp_path / 'estimate.json').read_text())['iterations'] == 3000 // (8 * 32)
