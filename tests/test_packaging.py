"""What the wheel carries, and that it is all one needs."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import load
from modelindex.load_model_index import load as load_model_index

from mmdclpp import __version__
from mmdclpp.registry import MODELS

SOURCES = ('mmdclpp', 'configs', 'tools', 'requirements', 'setup.py', 'pyproject.toml', 'model-index.yml', 'README.md')
METHODS = ('simclr', 'densecl', 'densecl_pp')


def models(repo: Path) -> list:
    """What the metafiles say of every model."""
    metafiles = load(repo / 'model-index.yml')['Import']
    return [model for metafile in metafiles for model in load(repo / metafile)['Models']]


@pytest.fixture(scope='module')
def wheel(repo, tmp_path_factory) -> Path:
    """A wheel built from a copy of the checkout, so that nothing is left in it."""
    source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for name in SOURCES:
        path = repo / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copy2(path, source / name)
    build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index']
    result = subprocess.run([*build, '--wheel-dir', target, source], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = target.glob('*.whl')
    assert path.name.startswith(f'mmdclpp-{__version__}-')
    return path


@pytest.fixture(scope='module')
def names(wheel) -> set:
    """The files in the wheel."""
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope='module')
def metadata(wheel) -> str:
    """What the wheel tells pip."""
    return zipfile.ZipFile(wheel).read(f'mmdclpp-{__version__}.dist-info/METADATA').decode()


def test_the_wheel_has_every_module_template_config_and_tool(repo, names):
    for folder, prefix in (('mmdclpp', ''), ('configs', 'mmdclpp/.mim/'), ('tools', 'mmdclpp/.mim/')):
        files = [
            path
            for path in (repo / folder).rglob('*')
            if path.is_file() and not {'.mim', '__pycache__'} & {*path.parts}
        ]
        assert {prefix + path.relative_to(repo).as_posix() for path in files} <= names
    assert {'mmdclpp/.mim/model-index.yml', 'mmdclpp/.mim/tools/dist_train.sh'} <= names
    assert not any(name.startswith(('tests/', 'configs/', 'tools/', 'requirements/')) for name in names)


@pytest.mark.parametrize('place', ['mmdclpp', f'mmdclpp-{__version__}.dist-info'])
def test_wherever_mim_looks_it_finds_each_config_by_a_name_of_its_own(repo, names, place, wheel, tmp_path):
    configs = PurePosixPath(place, '.mim/configs')
    files = [PurePosixPath(name).name for name in names if name.startswith(f'{configs}/')]
    assert all(files.count(f'{model["Name"]}.py') == 1 for model in models(repo))
    zipfile.ZipFile(wheel).extractall(tmp_path, [name for name in names if name.startswith(place)])
    named = Config.fromfile(tmp_path / configs / 'mim/benchmarks_linear_vit-demo_scenes.py')
    assert named.to_dict() == Config.fromfile(repo / 'configs/benchmarks/linear/vit-demo_scenes.py').to_dict()


def test_the_wheel_alone_requires_no_mm_package(metadata):
    required = [line.split(': ')[1] for line in metadata.splitlines() if line.startswith('Requires-Dist')]
    base = [line for line in required if 'extra ==' not in line]
    assert any(line.startswith('torch<') for line in base)
    assert not [line for line in base if line.startswith(('mm', 'onedl'))]
    assert [line for line in required if line.startswith('onedl-mmpretrain') and 'extra == "mim"' in line]


@pytest.mark.parametrize('extra', ['docs', 'export', 'logging', 'mim', 'packed', 'slurm', 'visualize'])
def test_an_extra_accepts_the_pinned_versions_and_later_ones(repo, metadata, extra):
    required = [line for line in metadata.splitlines() if line.endswith(f'extra == "{extra}"')]
    pins = [line for line in (repo / f'requirements/{extra}.txt').read_text().splitlines() if line[:1].isalpha()]
    assert len(required) >= len(pins) > 0
    for pin in pins:
        name, version = pin.split(';')[0].strip().split('==')
        assert any(line.startswith(f'Requires-Dist: {name}>={version};') for line in required), pin


def test_the_model_index_is_valid_and_lists_every_pretraining_config(repo):
    assert load_model_index(str(repo / 'model-index.yml')).check(silent=True) == []
    shipped = {path.relative_to(repo).as_posix() for name in METHODS for path in (repo / 'configs' / name).glob('*.py')}
    assert sorted(model['Config'] for model in models(repo)) == sorted(shipped)


def test_the_model_index_says_of_a_config_what_is_true(repo):
    parameters = {}  # of backbones, each built once
    for model in models(repo):
        path = PurePosixPath(model['Config'])
        assert model['Name'] == '_'.join(path.relative_to('configs').with_suffix('').parts)
        cfg = Config.fromfile(repo / path)
        batch = cfg.get('auto_scale_lr', {}).get('base_batch_size', cfg.train_dataloader.batch_size)
        backbone = repr(cfg.model.backbone)
        if backbone not in parameters:
            parameters[backbone] = sum(each.numel() for each in MODELS.build(cfg.model.backbone).parameters())
        expected = {'Parameters': parameters[backbone]}
        if model['Metadata']['Training Data'] != 'Own images':  # for which both are chosen
            expected.update({'Epochs': cfg.train_cfg.max_epochs, 'Batch Size': batch})
        assert {key: model['Metadata'][key] for key in expected} == expected, path


@pytest.mark.slow
@pytest.mark.ci
def test_mim_searches_trains_and_tests_from_the_wheel_in_a_fresh_environment(repo, wheel, tmp_path):
    venv.create(tmp_path / 'venv', with_pip=True)
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    env.pop('PYTHONPATH', None)

    def call(program: str, *args: object) -> str:
        command = [str(tmp_path / 'venv/bin' / program), *map(str, args)]
        result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    call('pip', 'install', '--quiet', '--constraint', repo / 'requirements.txt', f'{wheel}[mim]')
    assert str(tmp_path / 'venv') in call('python', '-c', 'import mmdclpp; print(mmdclpp.__file__)')
    call('mim', 'run', 'mmdclpp', 'check_env')

    found = call('mim', 'search', 'mmdclpp', '--valid-config')
    assert all(repr(model['Name']) in found for model in models(repo))
    assert 'vit-s16_star_coco' in call(
        'mim', 'search', 'mmdclpp', '--model', 'densecl++', '--field', 'config', 'epochs'
    )

    call('mim', 'run', 'mmdclpp', 'make_scenes', '--num-train', 64, '--num-val', 32)
    short = ('--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=32')
    two = ('--gpus', 2, '--launcher', 'pytorch')  # processes, on the CPU
    call('mim', 'train', 'mmdclpp', 'densecl_pp_vit-demo_scenes.py', *two, '--work-dir', 'pretrained', *short)
    checkpoint = torch.load(tmp_path / 'pretrained/epoch_1.pth', map_location='cpu', weights_only=False)
    assert checkpoint['meta']['epoch'] == 1
    assert checkpoint['state_dict']['backbone.patch_embed.projection.weight'].isfinite().all()

    probe, weights = 'benchmarks_linear_vit-demo_scenes.py', 'model.init_cfg.checkpoint=pretrained/epoch_1.pth'
    call('mim', 'train', 'mmdclpp', probe, '--gpus', 0, '--work-dir', 'probe', *short, weights)
    assert 'multi-label/mAP' in call('mim', 'test', 'mmdclpp', probe, '--checkpoint', 'probe/epoch_1.pth', '--gpus', 0)
