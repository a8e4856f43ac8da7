import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from mmdclpp.apis import demonstration


@pytest.fixture
def at_small_size(monkeypatch):
    """The demo as it is, on fewer scenes and for fewer steps."""
    scenes = partial(demonstration.generate_scenes, num_train=64, num_val=16, workers=1)
    monkeypatch.setattr(demonstration, 'generate_scenes', scenes)

    def train(config, cfg_options, **kwargs):
        length = {
            'segmentation': {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2},
            'linear': {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2},
        }
        return real_train(
            config,
            cfg_options={**cfg_options, **length.get(Path(config.filename).parent.name, {'train_cfg.max_epochs': 1})},
            **kwargs,
        )

    real_train = demonstration.train
    monkeypatch.setattr(demonstration, 'train', train)


def test_the_demo_ends_with_a_table_and_pictures(at_small_size, tmp_path, capsys):
    rows = demonstration.demo(tmp_path / 'scenes', tmp_path / 'out', compare=False)

    assert list(rows) == ['random', 'DenseCL++']
    assert all(0 <= row[metric] <= 100 for row in rows.values() for metric in ('mAP', 'mIoU'))
    assert json.loads((tmp_path / 'out' / 'results.json').read_text()) == rows
    printed = capsys.readouterr().out
    assert '[1/7] built-in scenes' in printed and '[7/7] pictures' in printed
    assert all(name in (tmp_path / 'out' / 'results.md').read_text() and name in printed for name in rows)
    for picture in ('loss_curve', 'correspondences', 'feature_pca', 'comparison'):
        Image.open(tmp_path / 'out' / f'{picture}.png').verify()
