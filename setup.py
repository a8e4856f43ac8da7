"""Packaging: ``pip install -e .`` and ``pip wheel .`` (``make wheel``).

OpenMMLab's packages are no dependencies here. The upstream distributions and
the maintained ``onedl-*`` ones install the same modules, pip does not know
it, and whichever we named would be installed over the other. The extra
``mim`` has the maintained ones; ``tools/check_env.py`` finds a mix.
"""

import re
import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_FILES = ('configs', 'tools', 'model-index.yml')
VERSIONS = runpy.run_path(str(ROOT / 'mmdclpp' / 'utils' / 'versions.py'))
SUPPORTED = {name: name + versions.specifier for name, versions in VERSIONS['SUPPORTED'].items()}


class BuildWithMim(build_py):
    """Put configs and tools where ``mim`` and ``mmdclpp::`` in a config look for them: ``mmdclpp/.mim``."""

    def run(self):
        super().run()
        mim = (ROOT if self.editable_mode else Path(self.build_lib)) / 'mmdclpp' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM_FILES:
            source, target = ROOT / name, mim / name
            if self.editable_mode:
                target.symlink_to(Path('..', '..', name))
            elif source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy2(source, target)
        if not self.editable_mode:
            name_configs(mim / 'configs')


def name_configs(configs: Path):
    """Give every config a name of its own, its path with ``_`` for ``/``: ``mim train`` searches by file name alone."""
    named = configs / 'mim'
    paths = [path.relative_to(configs) for path in sorted(configs.rglob('*.py')) if '_base_' not in path.parts]
    named.mkdir()
    for path in paths:
        (named / '_'.join(path.parts)).write_text(f"_base_ = '../{path.as_posix()}'\n")


class WheelWithMim(bdist_wheel):
    """Let onedl-mim (0.5.1) find configs and tools: it takes the folder of the first file installed for the package's.

    pip notes the files in alphabetical order, and ``mmdclpp-VERSION.dist-info`` comes before ``mmdclpp``.
    """

    def write_wheelfile(self, wheelfile_base, *args, **kwargs):
        super().write_wheelfile(wheelfile_base, *args, **kwargs)
        mim = Path(self.bdist_dir, 'mmdclpp', '.mim')
        if mim.is_dir():  # not in an editable installation
            shutil.copytree(mim, Path(wheelfile_base, '.mim'))


def extra(name):
    """The lines of ``requirements/<name>.txt``; the version that is pinned there is the oldest accepted."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [re.sub(r'^([^;=]+)==', r'\1>=', line) for line in lines if line and not line.startswith(('#', '-'))]


EXTRAS = {name: extra(name) for name in ('benchmarks', 'docs', 'export', 'logging', 'packed', 'slurm', 'visualize')}
# The name that OpenMMLab's packages give to what mim installs with them.
EXTRAS['mim'] = [SUPPORTED[f'onedl-{name}'] for name in ('mmengine', 'mmcv', 'mmpretrain', 'mmsegmentation')]
EXTRAS['mim'] += [SUPPORTED['opencv-python-headless'], *extra('mim')]
EXTRAS['all'] = sorted(
    {line for name in ('export', 'logging', 'mim', 'packed', 'slurm', 'visualize') for line in EXTRAS[name]}
)

setup(
    name='mmdclpp',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'mmdclpp' / 'version.py').read_text())[1],
    description='DenseCL++: dense contrastive learning with dense negative pairs, for the OpenMMLab ecosystem',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires=VERSIONS['PYTHON'].specifier,
    install_requires=[
        SUPPORTED['torch'],
        SUPPORTED['torchvision'],
        SUPPORTED['timm'],
        'safetensors',
        'numpy',
        'matplotlib',
        'Pillow',
        'rich',
        'jinja2',
    ],
    extras_require=EXTRAS,
    packages=find_packages(include=['mmdclpp', 'mmdclpp.*']),
    # Templates; the empty name stands for every package.
    package_data={'': ['*.jinja', 'templates/*']},
    cmdclass={'build_py': BuildWithMim, 'bdist_wheel': WheelWithMim},
    zip_safe=False,
)
