"""No path on which a checkpoint is loaded runs code that is in it, unless the user says so."""

import argparse
import os

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdclpp import apis
from mmdclpp.apis._cli import add_trust
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS
from mmdclpp.utils.checkpoint_files import read_checkpoint_file, trusted
from mmdclpp.utils.paths import config_path

DEMO = str(config_path('densecl_pp/vit-demo_scenes.py'))


class Payload:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.makedirs, (self.folder, 0o777, True)


@pytest.fixture(scope='module')
def whole():
    """The content of a checkpoint of pretraining, untrained."""
    cfg = Config.fromfile(DEMO, format_python_code=False)
    return dict(
        meta=dict(cfg=cfg.pretty_text, seed=0, epoch=0, iter=0), state_dict=MODELS.build(cfg.model).state_dict()
    )


@pytest.fixture
def images(tmp_path):
    (tmp_path / 'images').mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'images' / f'{index}.png')
    generate_scenes(tmp_path / 'scenes', 2, 2, workers=1)
    return tmp_path / 'images'


PATHS = {
    'train --resume': lambda file, images: apis.train(DEMO, resume=file, cfg_options=SMALL(images)),
    'train --init': lambda file, images: apis.train(DEMO, init=file, data=images),
    'train, load_from': lambda file, images: apis.train(DEMO, cfg_options=dict(load_from=file, **SMALL(images))),
    'train, init_cfg of mmpretrain': lambda file, images: apis.train(
        DEMO, cfg_options={'model.backbone.init_cfg': dict(type='Pretrained', checkpoint=file), **SMALL(images)}
    ),
    'train, init_cfg of ours': lambda file, images: apis.train(
        DEMO, cfg_options={'model.init_cfg': dict(type='Pretrained', part='backbone', checkpoint=file), **SMALL(images)}
    ),
    'evaluate': lambda file, images: apis.evaluate([file], data_root=images.parent),
    'diagnose': lambda file, images: apis.diagnose(file, images),
    'visualize': lambda file, images: apis.visualize([file], images=[str(images / '0.png')]),
    'export': lambda file, images: apis.export(file, 'mmpretrain'),
    'extract': lambda file, images: apis.extract(file, images / '0.png'),
    'match': lambda file, images: apis.match(file, images / '0.png', images / '1.png'),
}


def SMALL(images):
    """Options for a data set of the images."""
    dataset = dict(_delete_=True, type='UnlabelledImages', data_root=str(images), pipeline=[dict(type='LoadImage')])
    return {'train_dataloader.dataset': dataset, 'train_dataloader.batch_size': 2, 'train_dataloader.num_workers': 0}


@pytest.mark.parametrize('use', PATHS.values(), ids=PATHS)
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, images, whole, use):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(whole, extra=Payload(tmp_path / 'made')), 'evil.pth')
    with pytest.raises(UserError, match='evil.pth holds more than weights.*os.makedirs.*--trust'):
        use(str(tmp_path / 'evil.pth'), images)
    assert not (tmp_path / 'made').exists()


def test_test_runs_no_code(tmp_path, classifier_config):
    state = MODELS.build(Config.fromfile(classifier_config).model).state_dict()
    torch.save(dict(state_dict=state, extra=Payload(tmp_path / 'made')), tmp_path / 'evil.pth')
    with pytest.raises(UserError, match='evil.pth holds more than weights.*os.makedirs.*--trust'):
        apis.test(classifier_config, str(tmp_path / 'evil.pth'), work_dir=str(tmp_path / 'run'))
    assert not (tmp_path / 'made').exists()
    with apis.trusting():
        apis.test(classifier_config, str(tmp_path / 'evil.pth'), work_dir=str(tmp_path / 'run'))
    assert (tmp_path / 'made').exists()


BACKBONE = "dict(type='os.mkdir', path={folder!r})"
PROGRAMS = {
    'a statement': 'import os\nos.mkdir({folder!r})\n',
    'a value': 'model = __import__("os").mkdir({folder!r})\n',
    'a backbone': f'model = dict(backbone={BACKBONE})\n',
    'a part of a backbone': f"model = dict(backbone=dict(type='ResNet', depth=18, norm_cfg={BACKBONE}))\n",
    'in a list': f"model = dict(backbone=dict(type='VisionTransformer', layer_cfgs=[{BACKBONE}] * 1))\n",
}


@pytest.mark.parametrize('program', PROGRAMS.values(), ids=PROGRAMS)
def test_the_config_in_a_checkpoint_is_data(tmp_path, whole, program):
    folder = str(tmp_path / 'made')
    torch.save(dict(whole, meta=dict(cfg=program.format(folder=folder))), tmp_path / 'evil.pth')
    with pytest.raises(UserError, match='evil.pth: its own config .*add --trust if you trust who made it, or name'):
        apis.load_backbone(tmp_path / 'evil.pth')
    assert not os.path.exists(folder)


def test_the_pipeline_in_a_checkpoint_is_made_of_transforms(tmp_path, images, whole):
    pipeline = [dict(type='LoadImage'), dict(type='os.mkdir', path=str(tmp_path / 'made'))]
    text = f'{whole["meta"]["cfg"]}\ntrain_dataloader = dict(dataset=dict(pipeline={pipeline}))\n'
    torch.save(dict(whole, meta=dict(cfg=text)), tmp_path / 'evil.pth')
    with pytest.raises(UserError, match="evil.pth: its own config names 'os.mkdir', which is registered as no part"):
        apis.diagnose(tmp_path / 'evil.pth', images)
    assert not (tmp_path / 'made').exists()


def test_whom_one_trusts_may_run_code(tmp_path, images, whole):
    text = f'import os\nos.mkdir({str(tmp_path / "by the config")!r})\n{whole["meta"]["cfg"]}\ndel os'
    torch.save(dict(whole, meta=dict(cfg=text), extra=Payload(tmp_path / 'by the pickle')), tmp_path / 'a.pth')
    with apis.trusting():
        apis.load_backbone(tmp_path / 'a.pth')
    assert (tmp_path / 'by the config').exists() and (tmp_path / 'by the pickle').exists()


def test_what_a_run_with_averaged_weights_saves_needs_no_trust(tmp_path, classifier_config):
    runner = apis.train(classifier_config, work_dir=str(tmp_path / 'run'), ema=True, accumulate=2)
    content = read_checkpoint_file(tmp_path / 'run' / 'epoch_1.pth')
    assert {'ema_state_dict', 'optimizer', 'message_hub'} <= content.keys()
    assert content['meta']['epoch'] == 1 and runner.epoch == 1
    longer = {'train_cfg.max_epochs': 2}
    again = apis.train(classifier_config, work_dir=str(tmp_path / 'run'), ema=True, resume=True, cfg_options=longer)
    assert again.epoch == 2 and not trusted()


def test_the_flag_holds_for_the_process_and_those_it_starts(monkeypatch):
    monkeypatch.setenv('MMDCLPP_TRUST', '0')
    parser = argparse.ArgumentParser()
    add_trust(parser)
    assert vars(parser.parse_args([])) == {} and not trusted()
    assert vars(parser.parse_args(['--trust'])) == {} and trusted()
    assert os.environ['MMDCLPP_TRUST'] == '1'


@pytest.mark.parametrize('tool', ['train', 'test', 'evaluate', 'diagnose', 'export', 'visualize'])
def test_every_tool_that_loads_checkpoints_has_the_flag(repo, tool):
    assert 'add_trust(parser)' in (repo / 'tools' / f'{tool}.py').read_text()


@pytest.mark.slow
def test_the_flag_reaches_each_process_of_a_job(run, tmp_path, classifier_config):
    state = MODELS.build(Config.fromfile(classifier_config).model).state_dict()
    torch.save(dict(state_dict=state, extra=Payload(tmp_path / 'made')), tmp_path / 'evil.pth')
    refused = run('tools/dist_test.sh', classifier_config, 'evil.pth', 2)
    assert refused.returncode == 2 and refused.stderr.count('holds more than weights') == 1
    assert not (tmp_path / 'made').exists()
    (tmp_path / 'evil.pth').unlink()
    torch.save(dict(state_dict=state, extra=argparse.HelpFormatter), tmp_path / 'odd.pth')
    assert run('tools/dist_test.sh', classifier_config, 'odd.pth', 2).returncode == 2
    done = run('tools/dist_test.sh', classifier_config, 'odd.pth', 2, '--trust')
    assert done.returncode == 0, done.stderr
