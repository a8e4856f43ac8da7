"""Export to mmpretrain: weights, and a config fragment to inherit from."""

from pathlib import Path
from typing import Callable

import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import Tensor

from mmdclpp.apis.exporting.mm import NOT_IN_PATH, load_mm, map_backbone, write_mm
from mmdclpp.apis.exporting.model import ExportedModel
from mmdclpp.apis.exporting.target import Outputs, Target


def write(model: ExportedModel, folder: Path) -> None:
    """Write ``backbone.pth`` and ``config.py``."""
    classifier = dict(type='ImageClassifier', backbone=map_backbone(model))
    if model.source.aggregate == 'gap':
        classifier['neck'] = dict(type='GlobalAveragePooling')
    elif 'out_type' in classifier['backbone']:
        classifier['backbone']['out_type'] = 'cls_token'
    config = dict(data_preprocessor=dict(model.source.normalise), model=classifier)
    write_mm(
        folder,
        model,
        config,
        f"""\
{model.source.name}, {model.source.arch}: to inherit from, in a config of mmpretrain.
_base_ = ['FOLDER/config.py', ...]
model = dict(head=dict(type='LinearClsHead', in_channels={model.channels}, num_classes=...))""",
    )


def load(model: ExportedModel, folder: Path) -> Callable[[Tensor], Outputs]:
    """Build the classifier of the fragment, without head."""
    classifier = load_mm(MODELS, 'mmpretrain', Config.fromfile(folder / 'config.py'), model, folder)

    def run(images: Tensor) -> Outputs:
        with torch.no_grad():
            output, found = classifier.backbone(images)[-1], {}
            if output.dim() == 4:
                found['dense'] = output
            if classifier.with_neck or output.dim() == 2:
                found['global'] = classifier.extract_feat(images)[-1]
            return found

    return run


def usage(model: ExportedModel, name: str) -> str:
    size = model.source.image_size
    return f"""\
import mmdclpp.registry  # lets mmpretrain be imported beside transformers 5; not needed without
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

cfg = Config.fromfile('{name}/config.py')
model = MODELS.build(cfg.model)  # an ImageClassifier; give it a head in a config that inherits from this one
model.init_weights()  # loads the backbone
model.eval()
images = torch.rand(1, 3, {size}, {size})
features = model.extract_feat(images)[-1]  # (1, {model.channels})
"""


TARGET = Target('mmpretrain', 'mmpretrain', [], write, load, usage, not_in_path=NOT_IN_PATH)
