"""What the wheel carries."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from mmdclpp import __version__


@pytest.fixture(scope='module')
def wheel(repo, tmp_path_factory):
    """The names in a wheel built from a copy of the checkout, so that nothing is left in it."""
    source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for name in (
        'mmdclpp',
        'configs',
        'tools',
        'setup.py',
        'pyproject.toml',
        'model-index.yml',
        'README.md',
        'LICENSE',
    ):
        path = repo / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        elif path.exists():
            shutil.copy2(path, source / name)
    build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index']
    result = subprocess.run([*build, '--wheel-dir', target, source], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = target.glob('*.whl')
    assert path.name.startswith(f'mmdclpp-{__version__}-')
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_module_and_config_and_tool(repo, wheel):
    names = set(wheel.namelist())
    for folder, prefix in (('mmdclpp', ''), ('configs', 'mmdclpp/.mim/'), ('tools', 'mmdclpp/.mim/')):
        files = [path for path in (repo / folder).rglob('*.py') if '.mim' not in path.parts]
        assert {prefix + path.relative_to(repo).as_posix() for path in files} <= names
    assert {'mmdclpp/.mim/model-index.yml', 'mmdclpp/.mim/tools/dist_train.sh'} <= names
    assert 'mmdclpp/apis/studies/page.html.jinja' in names
    assert not any(name.startswith(('tests/', 'configs/', 'tools/')) for name in names)


def test_the_wheel_requires_no_mm_package(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith('.dist-info/METADATA'))
    lines = wheel.read(metadata).decode().splitlines()
    required = [line.split(': ')[1] for line in lines if line.startswith('Requires-Dist')]
    assert any(name.startswith('torch') for name in required)
    assert not [name for name in required if name.startswith(('mm', 'onedl'))]


def test_the_model_index_lists_metafiles_of_configs_that_exist(repo):
    from mmengine.fileio import load

    for metafile in load(repo / 'model-index.yml')['Import']:
        for model in load(repo / metafile)['Models']:
            assert (repo / model['Config']).is_file()
