"""A folder as ``make demo`` leaves it, with random weights and few images."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.registry import MODELS
from mmdclpp.utils.paths import config_path


@pytest.fixture(scope='session')
def after_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('after_demo')
    generate_scenes(folder / 'data/scenes', num_train=24, num_val=4, workers=0, progress=False)
    cfg = Config.fromfile(config_path('densecl_pp/vit-demo_scenes.py'), format_python_code=False)
    checkpoint = folder / 'work_dirs/demo/denseclpp/pretrain/epoch_14.pth'
    checkpoint.parent.mkdir(parents=True)
    model = MODELS.build(cfg.model)
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, seed=0), state_dict=model.state_dict()), checkpoint)
    return folder
