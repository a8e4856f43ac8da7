"""Packaging: ``pip install -e .`` and ``pip wheel .``.

OpenMMLab's packages are no dependencies here. The upstream distributions and
the maintained ``onedl-*`` ones install the same modules, pip does not know
it, and whichever we named would be installed over the other.
``requirements.txt`` lists the tested set, ``tools/check_env.py`` finds a mix.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_FILES = ('configs', 'tools', 'model-index.yml')


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
    python_requires='>=3.10,<3.13',
    install_requires=[
        'torch>=2.4',
        'torchvision',
        'timm>=1.0',
        'safetensors',
        'numpy',
        'matplotlib',
        'Pillow',
        'rich',
        'jinja2',
    ],
    packages=find_packages(include=['mmdclpp', 'mmdclpp.*']),
    package_data={'mmdclpp.apis.studies': ['page.html.jinja']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
