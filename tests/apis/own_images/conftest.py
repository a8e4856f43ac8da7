"""A pretraining checkpoint that others begin with."""

from pathlib import Path

import pytest
import torch

from mmdclpp.apis._runner import shipped_config
from mmdclpp.registry import MODELS


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of a backbone that is smaller than the demo's, for smaller images of another mean."""
    other = shipped_config('densecl_pp/vit-demo_scenes.py')
    other.model.backbone.update(
        arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=32), img_size=32, patch_size=8
    )
    other.model.neck.in_channels = 24
    other.model.data_preprocessor.mean = [1.0, 2.0, 3.0]
    torch.manual_seed(1)
    model = MODELS.build(other.model)
    torch.nn.init.normal_(model.backbone.pos_embed)
    torch.save(dict(meta=dict(cfg=other.pretty_text), state_dict=model.state_dict()), tmp_path / 'other.pth')
    return tmp_path / 'other.pth'
