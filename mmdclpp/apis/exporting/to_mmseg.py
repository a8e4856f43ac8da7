"""Export to mmseg: weights, and a config fragment to inherit from."""

from pathlib import Path
from typing import Any, Callable, Dict

import torch
from mmengine.config import Config
from mmpretrain.models import ResNet
from torch import Tensor

from mmdclpp.apis.exporting.mm import NOT_IN_PATH, load_mm, map_backbone, write_mm
from mmdclpp.apis.exporting.model import ExportedModel
from mmdclpp.apis.exporting.target import Outputs, Target
from mmdclpp.utils.imports import import_quietly


def write(model: ExportedModel, folder: Path) -> None:
    """Write ``backbone.pth`` and ``config.py``."""
    normalise = model.source.normalise
    config = dict(
        # The first for FeatureMap, and to import the second beside transformers 5; mostly, mmseg does without it.
        custom_imports=dict(imports=['mmdclpp.registry', 'mmpretrain.models'], allow_failed_imports=True),
        model=dict(
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=normalise['mean'],
                std=normalise['std'],
                bgr_to_rgb=normalise['to_rgb'],
                pad_val=0,
                seg_pad_val=255,
            ),
            backbone=map_backbone(model),
        ),
    )
    head = _head(model)
    write_mm(
        folder,
        model,
        config,
        f"""\
{model.source.name}, {model.source.arch}: to inherit from, in a config of mmseg.
_base_ = ['FOLDER/config.py', ...]
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(size=(512, 512)),  # of the crops
    decode_head=dict(type='FCNHead', in_channels={head['in_channels']}, in_index={head['in_index']}, ...))
mmengine only warns of weights that it misses, or does not know; these are all that the backbone has.""",
    )


def load(model: ExportedModel, folder: Path) -> Callable[[Tensor], Outputs]:
    """Build a segmentor on the fragment."""
    import_quietly('mmseg.models')
    from mmseg.registry import MODELS

    cfg = Config.fromfile(folder / 'config.py')
    cfg.model.update(type='EncoderDecoder', decode_head=_head(model))
    segmentor = load_mm(MODELS, 'mmseg', cfg, model, folder)

    def run(images: Tensor) -> Outputs:
        with torch.no_grad():
            return {'dense': segmentor.extract_feat(images)[-1]}

    return run


def usage(model: ExportedModel, name: str) -> str:
    size = model.source.image_size
    arguments = ', '.join(f'{key}={value!r}' for key, value in _head(model).items())
    return f"""\
import mmdclpp.registry  # lets mmpretrain be imported beside transformers 5; not needed without
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

init_default_scope('mmseg')
cfg = Config.fromfile('{name}/config.py')
cfg.model.update(type='EncoderDecoder', decode_head=dict({arguments}))
model = MODELS.build(cfg.model)
model.init_weights()  # loads the backbone
model.eval()
images = torch.rand(1, 3, {size}, {size})
features = model.extract_feat(images)[-1]  # (1, {model.channels}, rows, columns)
"""


TARGET = Target('mmseg', 'mmseg', [], write, load, usage, not_in_path=NOT_IN_PATH)


def _head(model: ExportedModel) -> Dict[str, Any]:
    """Some head that fits the last of the backbone's outputs."""
    index = model.backbone.num_stages - 1 if isinstance(model.backbone, ResNet) else 0
    return dict(type='FCNHead', in_channels=model.channels, channels=64, in_index=index, num_classes=21)
