"""Export to Hugging Face's transformers: a folder that ``AutoModel.from_pretrained`` loads."""

import contextlib
from pathlib import Path
from typing import Callable, Dict, Iterator, Tuple

import torch
from mmpretrain.models import ResNet, TIMMBackbone, VisionTransformer
from torch import Tensor

from mmdclpp.apis.exporting.keys import rename
from mmdclpp.apis.exporting.kinds import require_plain_resnet, require_plain_vit
from mmdclpp.apis.exporting.model import ExportedModel, backbone_settings
from mmdclpp.apis.exporting.target import WEIGHTS, Outputs, Target
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures, patch_size
from mmdclpp.utils.files import write_whole
from mmdclpp.utils.safetensors_file import pack_safetensors
from mmdclpp.utils.strict_json import strict_json

# The names that models have on Hugging Face's hub: versions 4 and 5 of transformers load them.
_LAYER = r'encoder.layer.\1'
VIT_RULES = (
    ('cls_token', ['embeddings.cls_token']),
    ('pos_embed', ['embeddings.position_embeddings']),
    (r'patch_embed\.projection\.(.+)', [r'embeddings.patch_embeddings.projection.\1']),
    (r'layers\.(\d+)\.ln1\.(.+)', [rf'{_LAYER}.layernorm_before.\2']),
    (r'layers\.(\d+)\.ln2\.(.+)', [rf'{_LAYER}.layernorm_after.\2']),
    (
        r'layers\.(\d+)\.attn\.qkv\.(.+)',
        [rf'{_LAYER}.attention.attention.{part}.\2' for part in ('query', 'key', 'value')],
    ),
    (r'layers\.(\d+)\.attn\.proj\.(.+)', [rf'{_LAYER}.attention.output.dense.\2']),
    (r'layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)', [rf'{_LAYER}.intermediate.dense.\2']),
    (r'layers\.(\d+)\.ffn\.layers\.1\.(.+)', [rf'{_LAYER}.output.dense.\2']),
    (r'ln1\.(.+)', [r'layernorm.\1']),
)


def resnet_rules(num_convs: int) -> Tuple:
    """Rules for a ResNet whose blocks have so many convolutions; there, stages and convolutions are counted from 0."""
    rules = [
        (r'conv1\.(.+)', [r'embedder.embedder.convolution.\1']),
        (r'bn1\.(.+)', [r'embedder.embedder.normalization.\1']),
    ]
    for stage in range(4):
        here, there = rf'layer{stage + 1}\.(\d+)', rf'encoder.stages.{stage}.layers.\1'
        for conv in range(num_convs):
            rules += [
                (rf'{here}\.conv{conv + 1}\.(.+)', [rf'{there}.layer.{conv}.convolution.\2']),
                (rf'{here}\.bn{conv + 1}\.(.+)', [rf'{there}.layer.{conv}.normalization.\2']),
            ]
        rules += [
            (rf'{here}\.downsample\.0\.(.+)', [rf'{there}.shortcut.convolution.\2']),
            (rf'{here}\.downsample\.1\.(.+)', [rf'{there}.shortcut.normalization.\2']),
        ]
    return tuple(rules)


def write(model: ExportedModel, folder: Path) -> None:
    """Write ``config.json``, ``preprocessor_config.json`` and ``model.safetensors``."""
    model.require_rgb('hf')
    config, names = _describe(model)
    size = model.source.image_size
    preprocessor = dict(
        image_processor_type='ViTImageProcessor',
        do_convert_rgb=True,
        # The whole image, bicubic, as mmdclpp.apis.extract resizes it.
        do_resize=True,
        size=dict(height=size, width=size),
        resample=3,
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=model.unit_normalise['mean'],
        image_std=model.unit_normalise['std'],
    )
    config.save_pretrained(folder)
    write_whole(folder / 'preprocessor_config.json', strict_json(preprocessor) + '\n')
    write_whole(folder / WEIGHTS, pack_safetensors(model.state_dict, names, model.meta))


def load(model: ExportedModel, folder: Path) -> Callable[[Tensor], Outputs]:
    """Load it by its one line, and check the keys, of which transformers bears missing and other ones."""
    from transformers import AutoModel

    with _quiet():
        loaded, info = AutoModel.from_pretrained(folder, output_loading_info=True, **_options(model))
    problems = {kind: sorted(map(str, keys)) for kind, keys in info.items() if keys}
    if problems:
        raise UserError(f'to=hf: transformers does not load all weights: {problems}: nothing is written')
    loaded.eval()

    def run(images: Tensor) -> Outputs:
        with torch.no_grad():
            if isinstance(model.backbone, ResNet):
                found = loaded(images)
                return {'global': found.pooler_output.flatten(1), 'dense': found.last_hidden_state}
            tokens = loaded(images, interpolate_pos_encoding=True).last_hidden_state
            grid = tuple(length // patch_size(model.backbone) for length in images.shape[2:])
            features = BackboneFeatures(tokens[:, 0], tokens[:, 1:], grid)
            dense = features.positions.transpose(1, 2).unflatten(2, grid)
            return {'global': features.aggregate(model.source.aggregate), 'dense': dense}

    return run


def usage(model: ExportedModel, name: str) -> str:
    vit = isinstance(model.backbone, VisionTransformer)
    options = ', add_pooling_layer=False' if vit else ''
    if not vit:
        features = 'features = model(images).last_hidden_state  # a map; pooler_output is its mean'
    else:
        features = (
            'tokens = model(images, interpolate_pos_encoding=True).last_hidden_state  # class token, then positions\n'
            f'features = tokens[:, {"0" if model.source.aggregate == "cls" else "1:"}]'
        )
        features += '' if model.source.aggregate == 'cls' else '.mean(1)'
    size = model.source.image_size
    return f"""\
import torch
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained('{name}')  # processor(image, return_tensors='pt').pixel_values
model = AutoModel.from_pretrained('{name}'{options}).eval()
images = torch.rand(1, 3, {size}, {size})
{features}
"""


TARGET = Target('hf', 'transformers', ['transformers'], write, load, usage)


def _describe(model: ExportedModel):
    """The config in transformers, and the names of weights there."""
    from transformers import ResNetConfig, ViTConfig

    backbone = model.backbone
    if type(backbone) is VisionTransformer:
        usual = dict(with_cls_token=True, pre_norm=False, final_norm=True, layer_scale_init_value=0.0)
        require_plain_vit(model, 'hf', **usual)
        arch = backbone.arch_settings
        config = ViTConfig(
            architectures=['ViTModel'],
            hidden_size=arch['embed_dims'],
            num_hidden_layers=arch['num_layers'],
            num_attention_heads=arch['num_heads'],
            intermediate_size=arch['feedforward_channels'],
            layer_norm_eps=backbone.ln1.eps,
            image_size=model.source.image_size,
            patch_size=patch_size(backbone),
            qkv_bias=backbone_settings(model.source)['qkv_bias'],
        )
        return config, rename(model.state_dict, VIT_RULES, 'hf')
    if type(backbone) is ResNet:
        require_plain_resnet(model, 'hf', deep_stem=False, avg_down=False)
        bottleneck = backbone.depth >= 50
        config = ResNetConfig(
            architectures=['ResNetModel'],
            embedding_size=backbone.stem_channels,
            hidden_sizes=[
                backbone.base_channels * backbone.expansion * 2**stage for stage in range(backbone.num_stages)
            ],
            depths=list(backbone.stage_blocks),
            layer_type='bottleneck' if bottleneck else 'basic',
            downsample_in_bottleneck=bottleneck and backbone.style == 'caffe',
        )
        return config, rename(model.state_dict, resnet_rules(3 if bottleneck else 2), 'hf')
    if isinstance(backbone, TIMMBackbone):
        raise UserError(
            'to=hf: transformers loads models of timm as they are: use --to timm, and AutoModel on its folder'
        )
    raise UserError(
        f'to=hf: {model.source.arch} has no counterpart in transformers that is known here: use --to mmpretrain, '
        'mmseg, onnx or torchscript'
    )


def _options(model: ExportedModel) -> Dict[str, bool]:
    return dict(add_pooling_layer=False) if isinstance(model.backbone, VisionTransformer) else {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar and report of each loading."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
