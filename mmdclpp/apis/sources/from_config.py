"""What the config of a model tells of it."""

import inspect
from typing import Any, Dict, Optional, Tuple

import timm
import torch
from mmengine.config import Config
from mmpretrain.models import MAEViT, MoCoV3ViT, TIMMBackbone, VisionTransformer
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

from mmdclpp.apis.sources.model_source import ModelSource, config_hash, without_weights
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import AGGREGATES
from mmdclpp.registry import MODELS

# What a config may freeze for its own training, while an evaluation decides for itself what to train.
_FREEZING = ('frozen_stages', 'norm_eval', 'stop_grad_conv1')
# What tells runs of one method apart, in a config.
_OF_A_RUN = ('randomness', 'work_dir', 'load_from', 'resume', 'launcher', 'experiment_name')
_VIT_NAMES = {'tiny': 'Ti', 'small': 'S', 'base': 'B', 'large': 'L', 'huge': 'H'}


def source_from_config(cfg: Config, file: Optional[str], meta: Dict[str, Any], where: Optional[str]) -> ModelSource:
    """The model that a config describes, with the weights of ``file``; ``where`` names the config in messages."""
    model = cfg.get('model') or {}
    if not isinstance(model.get('backbone'), dict) or 'type' not in model.backbone:
        raise UserError(f'{where}: its config has no model.backbone to evaluate: give a pretraining checkpoint')
    backbone = without_weights(model.backbone.to_dict() if hasattr(model.backbone, 'to_dict') else model.backbone)
    backbone = _for_evaluation(dict(backbone, type=_scoped(backbone['type'], cfg.get('default_scope'))))
    neck = model.get('neck') or {}
    aggregate = neck.get('aggregate') or model.get('aggregate') or 'gap'
    name, pair_feature = _method(model)
    return ModelSource(
        name=name,
        arch=_arch_name(backbone),
        backbone=backbone,
        checkpoint=file,
        normalise=_normalise(model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}),
        aggregate=aggregate if aggregate in AGGREGATES else 'gap',
        image_size=_image_size(backbone, cfg),
        pair_feature=pair_feature,
        seed=meta.get('seed'),
        recipe=None if meta.get('seed') is None else _recipe(cfg, meta),
    )


def _recipe(cfg: Config, meta: Dict[str, Any]) -> str:
    settings = {key: value for key, value in cfg.to_dict().items() if key not in _OF_A_RUN}
    return config_hash([settings, meta.get('epoch'), meta.get('iter')])


def _scoped(kind: str, default_scope: Optional[str]) -> str:
    """The name of a type that means the same in every scope."""
    if '.' in kind:
        return kind
    if default_scope in (None, 'mmdclpp', 'mmpretrain'):
        default_scope = 'mmpretrain' if kind in MMPRETRAIN_MODELS else 'mmdclpp'
    return f'{default_scope}.{kind}'


def _for_evaluation(backbone: Dict[str, Any]) -> Dict[str, Any]:
    """The config of a backbone that gives all its features of whole images, and of which all weights can be trained."""
    kind = MODELS.get(backbone['type'])
    if kind is None:
        raise UserError(
            f'backbone {backbone["type"]} is registered nowhere: put the folder of its module, which custom_imports '
            'names, on PYTHONPATH'
        )
    if kind is TIMMBackbone:
        backbone = with_any_size(backbone)
    if kind in (MAEViT, MoCoV3ViT):
        # They differ from a plain vision transformer by what only pretraining needs, such as masking.
        if isinstance(backbone.get('arch'), str):
            with torch.device('meta'):  # MoCoV3ViT knows its own names only once it is built
                backbone['arch'] = MODELS.build(backbone).arch_settings
        known = inspect.signature(VisionTransformer).parameters
        backbone = {key: value for key, value in backbone.items() if key in known}
        backbone['type'], kind = 'mmpretrain.VisionTransformer', VisionTransformer
    backbone = {key: value for key, value in backbone.items() if key not in _FREEZING}
    if 'norm_eval' in inspect.signature(kind).parameters:
        backbone['norm_eval'] = False  # some freeze by default
    if isinstance(backbone.get('norm_cfg'), dict):
        backbone['norm_cfg'] = {key: value for key, value in backbone['norm_cfg'].items() if key != 'requires_grad'}
    if 'raw' in getattr(kind, 'OUT_TYPES', ()):
        backbone['out_type'] = 'raw'  # class token and patches, whatever the model's own head takes
    return backbone


def with_any_size(backbone: Dict[str, Any]) -> Dict[str, Any]:
    """The config of a timm backbone, of which a vision transformer resizes its position embedding to the image."""
    with torch.device('meta'):
        model = timm.create_model(backbone['model_name'])
    transformers = (timm.models.VisionTransformer, timm.models.Eva)
    return {**backbone, 'dynamic_img_size': True} if isinstance(model, transformers) else backbone


def _method(model: Dict[str, Any]) -> Tuple[str, Optional[str]]:
    """The poster's name of a method, and its pair feature."""
    name, pair_feature = _contrastive_method(model)
    gamma = model.get('loss_gamma', 0)
    if gamma:
        decoder = (model.get('decoder') or dict(type='ConvDecoder'))['type'].split('.')[-1]
        name += f' + {decoder}, γ = {gamma:g}'
    return name, pair_feature


def _contrastive_method(model: Dict[str, Any]) -> Tuple[str, Optional[str]]:
    kind = model.get('type', 'backbone').split('.')[-1]
    if kind != 'DenseCLPlusPlus':
        return kind, None
    if model.get('loss_lambda', 0.5) == 0:
        return 'SimCLR', None
    head = model.get('dense_head') or {}
    negatives = {
        group['type'].split('.')[-1]: group for group in head.get('negatives') or [dict(type='RandomNegatives')]
    }
    pair_feature = head.get('pair_feature', 'backbone')
    guided = negatives.get('GuidedNegatives', {})
    if set(negatives) == {'GlobalNegatives'}:
        return 'DenseCL', pair_feature
    if set(negatives) == {'RandomNegatives'}:
        return 'DenseCL++', pair_feature
    if set(negatives) == {'GuidedNegatives', 'CrossViewNegatives'} and guided.get('threshold') is not None:
        return 'DenseCL++*', pair_feature
    return f'DenseCL++ ({", ".join(name.removesuffix("Negatives") for name in negatives)})', pair_feature


def _arch_name(backbone: Dict[str, Any]) -> str:
    kind = backbone['type'].split('.')[-1]
    if kind == 'TIMMBackbone':
        return f'timm {backbone["model_name"]}'
    arch = backbone.get('arch')
    if kind == 'VisionTransformer' and isinstance(arch, str):
        # mmpretrain's 'small' is not the ViT-S of the literature; 'deit-small' is.
        size = _VIT_NAMES.get(arch.removeprefix('deit-')) if arch != 'small' else None
        return f'ViT-{size or arch}/{backbone.get("patch_size", 16)}'
    if kind == 'VisionTransformer':
        return f'ViT {arch["embed_dims"]}×{arch["num_layers"]}/{backbone.get("patch_size", 16)}'
    if 'depth' in backbone:
        return f'{kind}-{backbone["depth"]}'
    return f'{kind} {arch}' if isinstance(arch, str) else kind


def _normalise(preprocessor: Dict[str, Any]) -> Dict[str, Any]:
    to_rgb = preprocessor.get('to_rgb', preprocessor.get('bgr_to_rgb', False))
    mean, std = preprocessor.get('mean'), preprocessor.get('std')
    if mean is None or std is None:
        return dict(mean=[0.0] * 3, std=[1.0] * 3, to_rgb=to_rgb)
    return dict(mean=[float(value) for value in mean], std=[float(value) for value in std], to_rgb=bool(to_rgb))


def _image_size(backbone: Dict[str, Any], cfg: Config) -> int:
    """The side of the pretraining images, of the backbone or of the first crop in the pipeline."""
    size = backbone.get('img_size') or _first_scale((cfg.get('train_dataloader') or {}).get('dataset')) or 224
    return int(size if isinstance(size, (int, float)) else max(size))


def _first_scale(part: Any) -> Any:
    if isinstance(part, dict):
        if str(part.get('type')).startswith('RandomResizedCrop') and 'scale' in part:
            return part['scale']
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        return next((found for found in map(_first_scale, part) if found), None)
    return None
