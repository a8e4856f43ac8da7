"""What the exports to mmpretrain and mmseg share: weights and a config fragment that mmengine reads.

mmengine's loader does not know safetensors, so the weights are a checkpoint of its own, ``backbone.pth``, the only copy
in the folder; its keys begin with ``backbone.`` as those of a whole model.
"""

import io
from pathlib import Path
from typing import Any, Dict

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from mmpretrain.models import ResNet
from torch import nn

from mmdclpp.apis.exporting.check import check_keys
from mmdclpp.apis.exporting.model import ExportedModel
from mmdclpp.apis.exporting.quiet import quietly
from mmdclpp.errors import UserError
from mmdclpp.models.backbones import FeatureMap
from mmdclpp.registry import MODELS
from mmdclpp.utils.files import write_whole

WEIGHTS = 'backbone.pth'
_PREFIX = 'backbone.'
# mmengine substitutes fileDirname as it is, within the quotes of a Python string.
NOT_IN_PATH = '\'"\\\n'


def write_mm(folder: Path, model: ExportedModel, config: Dict[str, Any], comment: str) -> None:
    """Write the weights, and a config fragment with a comment above it."""
    content = io.BytesIO()
    state_dict = {f'{_PREFIX}{key}': value for key, value in model.state_dict.items()}
    torch.save(dict(meta=model.meta, state_dict=state_dict), content)
    write_whole(folder / WEIGHTS, content.getvalue())
    comment = ''.join(f'# {line}\n' for line in comment.splitlines())
    write_whole(folder / 'config.py', comment + Config(config).pretty_text)


def map_backbone(model: ExportedModel) -> Dict[str, Any]:
    """Config of the backbone, with its weights, in the form that gives feature maps ``(B, C, rows, columns)``."""
    backbone = dict(model.source.without_weights().backbone)
    # mmengine puts in the folder in which it finds the config, so that the folder can be moved.
    weights = dict(type='Pretrained', checkpoint='{{ fileDirname }}/' + WEIGHTS, prefix=_PREFIX)
    kind = MODELS.get(backbone['type'])
    if isinstance(model.backbone, ResNet):
        backbone['out_indices'] = tuple(range(model.backbone.num_stages))
    if 'featmap' in getattr(kind, 'OUT_TYPES', ()):
        return dict(backbone, out_type='featmap', init_cfg=weights)
    size = model.source.image_size
    with torch.no_grad():
        output = model.backbone(torch.zeros(1, 3, size, size))[-1]
    backbone['init_cfg'] = weights
    if output.shape == model.outputs(torch.zeros(1, 3, size, size))['dense'].shape:
        return backbone
    return dict(type='FeatureMap', _scope_='mmdclpp', backbone=backbone)  # tokens, or maps with channels last


def load_mm(registry: Registry, scope: str, cfg: Config, model: ExportedModel, folder: Path) -> nn.Module:
    """Build a model of mm* and let it load its weights; check them, since mmengine bears missing and other keys."""
    with DefaultScope.overwrite_default_scope(scope), quietly():
        built = registry.build(cfg.model)
        built.init_weights()
    built.eval()
    backbone = built.backbone.backbone if isinstance(built.backbone, FeatureMap) else built.backbone
    state_dict = backbone.state_dict()
    saved = torch.load(folder / WEIGHTS, map_location='cpu', weights_only=True)['state_dict']
    check_keys(scope, {f'{_PREFIX}{key}' for key in state_dict}, saved.keys())
    other = [key for key, value in state_dict.items() if not torch.equal(value, saved[f'{_PREFIX}{key}'])]
    if other:
        raise UserError(f'to={scope}: mmengine did not load {len(other)} weights {other[:3]}: nothing is written')
    return built
