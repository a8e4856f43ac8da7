"""Which variants of mmpretrain's backbones other libraries have, too."""

from typing import Any, Dict

from torch.nn.modules.batchnorm import _BatchNorm

from mmdclpp.apis.exporting.model import ExportedModel, backbone_settings
from mmdclpp.errors import UserError


def require_plain_vit(model: ExportedModel, to: str, **values: Any) -> None:
    """Raise a UserError if a ``VisionTransformer`` has settings that a library has no counterpart of.

    Args:
        model (ExportedModel): The model.
        to (str): The library.
        **values: Further settings, and the only value that the library knows of each.
    """
    backbone, settings = model.backbone, backbone_settings(model.source)
    rows, columns = backbone.patch_resolution
    settings.update(
        out_indices='last' if max(backbone.out_indices) == backbone.num_layers - 1 else settings['out_indices'],
        img_size='square' if rows == columns else settings['img_size'],
        patch_size='square' if isinstance(settings['patch_size'], int) else settings['patch_size'],
        patch_cfg=settings['patch_cfg'] or {},
        layer_cfgs=settings['layer_cfgs'] or {},
    )
    usual = dict(
        out_indices='last',
        img_size='square',
        patch_size='square',
        interpolate_mode='bicubic',
        patch_cfg={},
        layer_cfgs={},
        **values,
    )
    _require(to, settings, usual)


def require_plain_resnet(model: ExportedModel, to: str, **values: Any) -> None:
    """The same of a ``ResNet``."""
    backbone = model.backbone
    bottleneck = backbone.depth >= 50
    settings = {name: getattr(backbone, name) for name in (*values, 'conv_cfg', 'expansion')}
    number = backbone.num_stages
    settings.update(
        norm='BN' if isinstance(backbone.layer1[0].norm1, _BatchNorm) else backbone.norm_cfg['type'],
        strides=tuple(backbone.strides),
        dilations=tuple(backbone.dilations),
        out_indices='last' if max(backbone.out_indices) == number - 1 else backbone.out_indices,
    )
    usual = dict(
        conv_cfg=None,
        expansion=4 if bottleneck else 1,
        norm='BN',
        strides=(1, 2, 2, 2)[:number],
        dilations=(1,) * number,
        out_indices='last',
        **values,
    )
    _require(to, settings, usual)


def _require(to: str, settings: Dict[str, Any], usual: Dict[str, Any]) -> None:
    for name, value in usual.items():
        if settings[name] != value:
            raise UserError(
                f'to={to}: there is no such model with {name}={settings[name]!r}: use --to mmpretrain, '
                'mmseg, onnx or torchscript'
            )
