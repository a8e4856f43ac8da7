"""What every test may ask for: a tiny data set, a config that trains in seconds, and tools run as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

import mmdclpp.registry  # noqa: F401  heals what test modules import: torchvision, mmpretrain

REPO = Path(__file__).resolve().parents[1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker('ops') is not None:
        pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled operators: make ops')


@pytest.fixture(autouse=True)
def our_default_scope():
    """A runner leaves its default scope behind; the next test starts with ours."""
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        yield


@pytest.fixture(scope='session')
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope='session')
def tiny_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight 64 px JPEGs, each with one bright rectangle, as a COCO data set.

    ``images/tall`` and ``images/wide`` hold four each, ``annotations.json`` names them with the categories
    ``tall`` and ``wide``; the folders by themselves are a data set of two classes.
    """
    root = tmp_path_factory.mktemp('tiny_coco')
    rng = np.random.default_rng(0)
    categories = [dict(id=1, name='tall'), dict(id=2, name='wide')]
    images, annotations = [], []
    for index in range(8):
        category = categories[index % 2]
        pixels = rng.integers(0, 96, (64, 64, 3), dtype=np.uint8)
        width, height = (16, 40) if category['name'] == 'tall' else (40, 16)
        x, y = (int(value) for value in rng.integers(0, 24, 2))
        pixels[y : y + height, x : x + width] = rng.integers(160, 256, 3, dtype=np.uint8)
        name = f'{category["name"]}/{index}.jpg'
        path = root / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
        images.append(dict(id=index, file_name=name, width=64, height=64))
        annotations.append(
            dict(
                id=index,
                image_id=index,
                category_id=category['id'],
                bbox=[x, y, width, height],
                area=width * height,
                iscrowd=0,
            )
        )
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'annotations.json').write_text(json.dumps(content))
    return root


_CLASSIFIER = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[0, 0, 0], std=[255, 255, 255], to_rgb=True),
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='SyncBN')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=64, loss=dict(type='CrossEntropyLoss')),
)
loader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset',
        data_root={root!r},
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    ),
)
train_dataloader = val_dataloader = test_dataloader = loader
val_evaluator = test_evaluator = dict(type='Accuracy')
val_cfg = dict()
test_cfg = dict()
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(logger=dict(type='LoggerHook', interval=1), visualization=dict(type='VisualizationHook'))
visualizer = dict(type='UniversalVisualizer')
"""


@pytest.fixture
def classifier_config(tiny_coco: Path, tmp_path: Path) -> Path:
    """A config that trains, validates and tests a small ResNet with SyncBN on ``tiny_coco``."""
    path = tmp_path / 'classifier.py'
    path.write_text(_CLASSIFIER.replace('{root!r}', repr(str(tiny_coco / 'images'))))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run a command as a user does, in ``tmp_path``: ``run('tools/train.py', ...)``.

    A ``.py`` or ``.sh`` file of the checkout is started with this Python or with bash. The package is taken from
    the checkout, each process uses one thread, and no GPU is seen.
    """

    def _run(tool: str, *args: object, timeout: float = 300, **env: str) -> subprocess.CompletedProcess:
        interpreter = 'bash' if tool.endswith('.sh') else sys.executable
        return subprocess.run(
            [interpreter, str(REPO / tool), *map(str, args)],
            cwd=tmp_path,
            env={
                **os.environ,
                'PYTHON': sys.executable,
                'PYTHONPATH': str(REPO),
                'OMP_NUM_THREADS': '1',
                'CUDA_VISIBLE_DEVICES': '',
                **env,
            },
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return _run
