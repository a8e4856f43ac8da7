"""Export to timm: a folder that ``timm.create_model('local-dir:FOLDER', pretrained=True)`` loads."""

import copy
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional

import timm
import torch
from mmpretrain.models import ResNet, ResNetV1c, ResNetV1d, TIMMBackbone, VisionTransformer
from safetensors import safe_open
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from mmdclpp.apis.exporting.check import check_keys
from mmdclpp.apis.exporting.keys import Names, rename
from mmdclpp.apis.exporting.kinds import require_plain_resnet, require_plain_vit
from mmdclpp.apis.exporting.model import ExportedModel, Size, backbone_settings, global_and_dense
from mmdclpp.apis.exporting.target import WEIGHTS, Outputs, Target
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import patch_size
from mmdclpp.utils.files import write_whole
from mmdclpp.utils.safetensors_file import pack_safetensors
from mmdclpp.utils.strict_json import strict_json

VIT_RULES = (
    ('cls_token|pos_embed', [r'\g<0>']),
    (r'patch_embed\.projection\.(.+)', [r'patch_embed.proj.\1']),
    (r'pre_norm\.(.+)', [r'norm_pre.\1']),
    (r'layers\.(\d+)\.ln([12])\.(.+)', [r'blocks.\1.norm\2.\3']),
    (r'layers\.(\d+)\.attn\.((?:qkv|proj)\..+)', [r'blocks.\1.attn.\2']),
    (r'layers\.(\d+)\.attn\.gamma1\.weight', [r'blocks.\1.ls1.gamma']),
    (r'layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)', [r'blocks.\1.mlp.fc1.\2']),
    (r'layers\.(\d+)\.ffn\.layers\.1\.(.+)', [r'blocks.\1.mlp.fc2.\2']),
    (r'layers\.(\d+)\.ffn\.gamma2\.weight', [r'blocks.\1.ls2.gamma']),
    (r'ln1\.(.+)', [r'norm.\1']),
)
_STEM_RULES = (
    (r'stem\.0\.conv\.(.+)', [r'conv1.0.\1']),
    (r'stem\.0\.bn\.(.+)', [r'conv1.1.\1']),
    (r'stem\.1\.conv\.(.+)', [r'conv1.3.\1']),
    (r'stem\.1\.bn\.(.+)', [r'conv1.4.\1']),
    (r'stem\.2\.conv\.(.+)', [r'conv1.6.\1']),
    (r'stem\.2\.bn\.(.+)', [r'bn1.\1']),
)
RESNET_RULES = (
    *_STEM_RULES,
    (r'(?:conv1|bn1)\.[^.]+', [r'\g<0>']),
    (r'layer\d\.\d+\.(?:conv|bn)\d\.[^.]+', [r'\g<0>']),
    (r'layer\d\.\d+\.downsample\.\d\.[^.]+', [r'\g<0>']),
)
# timm keeps a place for the pooling of a shortcut also in the first stage, which has none.
POOLED_RESNET_RULES = (
    (r'layer1\.0\.downsample\.0\.(.+)', [r'layer1.0.downsample.1.\1']),
    (r'layer1\.0\.downsample\.1\.(.+)', [r'layer1.0.downsample.2.\1']),
    *RESNET_RULES,
)
# (embed_dim, depth, num_heads, patch_size) -> timm's name. What a name implies is in model_args, too, so that for any
# other vision transformer any name does.
_VIT_NAMES = {
    (192, 12, 3, 16): 'vit_tiny_patch16_224',
    (384, 12, 6, 16): 'vit_small_patch16_224',
    (384, 12, 6, 32): 'vit_small_patch32_224',
    (768, 12, 12, 8): 'vit_base_patch8_224',
    (768, 12, 12, 16): 'vit_base_patch16_224',
    (768, 12, 12, 32): 'vit_base_patch32_224',
    (1024, 24, 16, 16): 'vit_large_patch16_224',
}
_ANY_VIT = 'vit_base_patch16_224'
# What mmpretrain's TIMMBackbone takes for itself.
_NOT_OF_TIMM = ('type', 'model_name', 'features_only', 'pretrained', 'checkpoint_path', 'in_channels', 'init_cfg')


class _InTimm(NamedTuple):
    """What a model is in timm: a name and arguments for ``timm.create_model``, and the names of its weights."""

    architecture: str
    arguments: Dict[str, Any]
    first_conv: Optional[str]
    classifier: Optional[str]
    names: Names
    same_global: bool  # whether timm's pooled output is our global feature


def write(model: ExportedModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``."""
    model.require_rgb('timm')
    described = _describe(model)
    size = model.source.image_size
    config = dict(
        architecture=described.architecture,
        num_classes=0,
        num_features=model.channels,
        model_args=described.arguments,
        pretrained_cfg=dict(
            tag='mmdclpp',
            custom_load=False,
            input_size=[3, size, size],
            fixed_input_size=not model.any_size,
            # The whole image, as mmdclpp.apis.extract resizes it.
            interpolation='bicubic',
            crop_pct=1.0,
            crop_mode='squash',
            **model.unit_normalise,
            num_classes=0,
            first_conv=described.first_conv,
            classifier=described.classifier,
        ),
    )
    write_whole(folder / 'config.json', strict_json(config) + '\n')
    write_whole(folder / WEIGHTS, pack_safetensors(model.state_dict, described.names, model.meta))


def load(model: ExportedModel, folder: Path) -> Callable[[Tensor], Outputs]:
    """Load it by its one line, and check its keys, of which timm bears missing ones in some cases."""
    name = f'local-dir:{folder}'
    with safe_open(folder / WEIGHTS, 'pt') as file:
        check_keys('timm', timm.create_model(name).state_dict().keys(), set(file.keys()))
    timm_model = timm.create_model(name, pretrained=True).eval()
    unpooled = copy.deepcopy(timm_model)
    unpooled.reset_classifier(0, '')
    same_global = _describe(model).same_global

    def run(images: Tensor) -> Outputs:
        with torch.no_grad():
            outputs = {'dense': global_and_dense(_Unpooled(unpooled), images, 'gap')[1]}
            return dict(outputs, **{'global': timm_model(images)}) if same_global else outputs

    return run


def usage(model: ExportedModel, name: str) -> str:
    return f"""\
import timm
import torch

model = timm.create_model('local-dir:{name}', pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))  # for PIL images
images = torch.rand(1, 3, {model.source.image_size}, {model.source.image_size})
features = model(images)  # (1, {model.channels}); model.forward_features(images) has every position's
"""


def reference(model: ExportedModel, size: Size) -> Optional[nn.Module]:
    """The backbone with its position embedding resized by timm's filter, which is another than mmpretrain's."""
    backbone = model.backbone
    if not isinstance(backbone, VisionTransformer) or size == model.sizes[0]:
        return None
    backbone = copy.deepcopy(backbone)
    backbone.patch_resolution = tuple(length // patch_size(backbone) for length in size)
    resized = resample_abs_pos_embed(
        backbone.pos_embed.data,
        backbone.patch_resolution,
        model.backbone.patch_resolution,
        backbone.num_extra_tokens,
    )
    backbone.pos_embed = nn.Parameter(resized)
    return backbone


def note(model: ExportedModel) -> str:
    if not isinstance(model.backbone, VisionTransformer):
        return ''
    size = model.sizes[-1]
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    ours, theirs = (model.outputs(images, backbone)['dense'] for backbone in (None, reference(model, size)))
    return (
        f'It takes images of any size whose sides are multiples of {patch_size(model.backbone)} px. timm resizes the '
        'position embedding with another bicubic filter than mmpretrain, which pretrained it: at '
        f'{size[0]} × {size[1]} px, dense features differ by {(ours - theirs).abs().max():.2g} at most for it, in '
        f'values up to {ours.abs().max():.2g}. Exported with `--img-size`, they are equal at that size.'
    )


TARGET = Target('timm', 'timm', [], write, load, usage, reference, note)


class _Unpooled(nn.Module):
    """A timm model in the place where mmpretrain's ``TIMMBackbone`` has it."""

    def __init__(self, timm_model: nn.Module) -> None:
        super().__init__()
        self.timm_model = timm_model

    def forward(self, images: Tensor) -> Tensor:
        return self.timm_model(images)


def _describe(model: ExportedModel) -> _InTimm:
    backbone = model.backbone
    if isinstance(backbone, TIMMBackbone):
        return _timm_backbone(model)
    if type(backbone) is VisionTransformer:
        return _vision_transformer(model)
    if type(backbone) in (ResNet, ResNetV1c, ResNetV1d):
        return _resnet(model)
    raise UserError(
        f'to=timm: {model.source.arch} has no counterpart in timm that is known here: use --to mmpretrain, mmseg, onnx '
        'or torchscript'
    )


def _vision_transformer(model: ExportedModel) -> _InTimm:
    backbone, settings = model.backbone, backbone_settings(model.source)
    require_plain_vit(model, 'timm')
    if backbone.layers[0].ln1.eps != 1e-6:  # no argument that fits into a JSON file changes timm's
        raise UserError(f"to=timm: its norms have eps=1e-6, the model's {backbone.layers[0].ln1.eps:g}: use --to hf")
    arch = backbone.arch_settings
    width, hidden = arch['embed_dims'], arch['feedforward_channels']
    patch = patch_size(backbone)
    arguments = dict(
        img_size=model.source.image_size,
        patch_size=patch,
        embed_dim=width,
        depth=arch['num_layers'],
        num_heads=arch['num_heads'],
        mlp_ratio=hidden / width if int(hidden / width * width) == hidden else (hidden + 0.5) / width,  # timm floors
        qkv_bias=settings['qkv_bias'],
        init_values=settings['layer_scale_init_value'] or None,
        class_token=backbone.with_cls_token,
        global_pool='token' if model.source.aggregate == 'cls' else 'avg',
        pre_norm=settings['pre_norm'],
        final_norm=backbone.final_norm,
        fc_norm=False,
        dynamic_img_size=True,
    )
    name = _VIT_NAMES.get((width, arch['num_layers'], arch['num_heads'], patch), _ANY_VIT)
    return _InTimm(name, arguments, 'patch_embed.proj', 'head', rename(model.state_dict, VIT_RULES, 'timm'), True)


def _resnet(model: ExportedModel) -> _InTimm:
    backbone = model.backbone
    require_plain_resnet(model, 'timm', num_stages=4, style='pytorch')
    base, stem = backbone.base_channels, backbone.stem_channels
    arguments = dict(channels=[base, 2 * base, 4 * base, 8 * base], avg_down=backbone.avg_down)
    if backbone.deep_stem:
        arguments.update(stem_width=stem // 2, stem_type='deep')
    elif stem != 64:
        raise UserError(f'to=timm: timm has no ResNet with stem_channels={stem}: use --to hf, mmpretrain or mmseg')
    names = rename(model.state_dict, POOLED_RESNET_RULES if backbone.avg_down else RESNET_RULES, 'timm')
    first_conv = 'conv1.0' if backbone.deep_stem else 'conv1'
    return _InTimm(f'resnet{backbone.depth}', arguments, first_conv, 'fc', names, True)


def _timm_backbone(model: ExportedModel) -> _InTimm:
    config, timm_model = model.source.backbone, model.backbone.timm_model
    if config.get('features_only'):
        raise UserError('to=timm: features_only=True leaves parts of the model out: use --to onnx or torchscript')
    arguments = {key: value for key, value in config.items() if key not in _NOT_OF_TIMM}
    names = rename(model.state_dict, [(r'timm_model\.(.+)', [r'\1'])], 'timm')
    # Of a plain vision transformer, pooling can be what pretraining had; of the others, all stays timm's.
    plain = isinstance(timm_model, timm.models.VisionTransformer) and not hasattr(timm_model, 'dist_token')
    plain = plain and 'timm_model.fc_norm.weight' not in names
    if plain:
        arguments.update(global_pool='token' if model.source.aggregate == 'cls' else 'avg', fc_norm=False)
    data = timm_model.pretrained_cfg
    return _InTimm(config['model_name'], arguments, data.get('first_conv'), data.get('classifier'), names, plain)
