"""Pretrained weights to begin with, and the architecture that they need."""

import io
from pathlib import Path
from typing import Any, Dict, NamedTuple

import torch
from mmengine.config import Config
from torch import nn

from mmdclpp.apis._runner import require_checkpoint
from mmdclpp.apis.sources.model_source import ModelSource, read_checkpoint
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.utils.files import write_whole

FILE = 'initial_backbone.pth'
_LIBRARIES = ('timm', 'mmpretrain')
# What a config says of training and not of the architecture.
_OF_TRAINING = ('norm_cfg', 'with_cp', 'drop_path_rate', 'drop_rate')


class InitialWeights(NamedTuple):
    """What a config needs to begin with the weights in a file.

    Attributes:
        file (str): Checkpoint with the backbone's weights, and the config that builds it.
        backbone (Dict[str, Any]): Config of the backbone.
        channels (int): Channels of its positions.
        normalise (Dict[str, Any]): ``mean``, ``std`` and ``to_rgb`` of the images that it was trained with.
    """

    file: str
    backbone: Dict[str, Any]
    channels: int
    normalise: Dict[str, Any]


def read_init(init: str, cfg: Config) -> ModelSource:
    """What weights a user names.

    Args:
        init (str): ``timm:NAME`` or ``mmpretrain:NAME``, published weights; ``timm:NAME=FILE``, the same with weights
            from a file; or a checkpoint, which if it holds no config must be one of the config's backbone.
        cfg (Config): The config that is to begin with them.

    Raises:
        UserError: If the name or the file is not known, or cannot be read.
    """
    library = init.partition(':')[0]
    if library in _LIBRARIES:
        name, _, file = init.partition('=')
        (source,) = read_sources([file] if file else [], backbone=name)
        return source
    require_checkpoint(init, 'init')
    content = read_checkpoint(init)
    meta = content.get('meta')
    if isinstance(meta, dict) and meta.get('cfg'):
        (source,) = read_sources([init])
        return source
    weights = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)
    if any(key.endswith('patch_embed.proj.weight') for key in weights):  # mmpretrain calls it projection
        raise UserError(f'init: {init} holds no config, and has keys of timm: name the model, timm:NAME={init}')
    (source,) = read_sources([init], config=cfg)
    return source


def initial_weights(init: str, cfg: Config, view_size: int, write: bool = True) -> InitialWeights:
    """Load the weights that a user names, whole or not at all, and keep them in the work dir, where a resumed run and
    an evaluation find them.

    Args:
        init (str): See :func:`read_init`.
        cfg (Config): The config that is to begin with them.
        view_size (int): Side of the views, in px.
        write (bool): Whether to keep them. Defaults to True.

    Raises:
        UserError: If the weights cannot be read or downloaded, or their model does not take such views.
    """
    source = read_init(init, cfg)
    backbone = source.build()
    channels = _channels(backbone, source, view_size)
    config = Config(
        dict(
            default_scope='mmdclpp',
            model=dict(
                type='backbone',
                backbone=source.without_weights().backbone,
                data_preprocessor=source.normalise,
                aggregate=source.aggregate,
            ),
        ),
        format_python_code=False,  # which takes seconds
    )
    file = Path(cfg.work_dir, FILE)
    if write:
        weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
        content = io.BytesIO()
        torch.save(dict(meta=dict(cfg=config.pretty_text), state_dict=weights), content)
        write_whole(file, content.getvalue())
    return InitialWeights(str(file), source.without_weights().backbone, channels, source.normalise)


def _channels(backbone: nn.Module, source: ModelSource, view_size: int) -> int:
    try:
        with torch.no_grad():
            return extract_features(backbone, torch.zeros(1, 3, view_size, view_size)).positions.shape[-1]
    except (AssertionError, RuntimeError) as error:
        raise UserError(
            f'init: {source.arch} does not take views of {view_size} px ({str(error).splitlines()[0]}): set the scale '
            f'of the crops to {source.image_size}, or name another model'
        ) from error


def set_initial_weights(cfg: Config, weights: InitialWeights, view_size: int) -> None:
    """Let a config begin with weights; its backbone becomes theirs.

    Args:
        cfg (Config): A config of ``DenseCLPlusPlus``, changed in place.
        weights (InitialWeights): The weights.
        view_size (int): Side of the views, in px.

    Raises:
        UserError: If the config trains something else.
    """
    if not is_densecl_pp(cfg):
        raise UserError(
            f'init: {cfg.model.type} is not fitted to other backbones: set model.backbone and model.init_cfg in its '
            'config, or take one of configs/densecl_pp'
        )
    before, backbone = cfg.model.backbone, dict(weights.backbone)
    if before.type.rpartition('.')[2] == backbone['type'].rpartition('.')[2]:
        backbone.update({key: before[key] for key in _OF_TRAINING if key in before})
    if 'img_size' in backbone:
        backbone['img_size'] = view_size  # to which the position embedding is resized on loading
    cfg.model.backbone = backbone
    cfg.model.neck.in_channels = weights.channels
    cfg.model.data_preprocessor.update(weights.normalise)
    cfg.model.init_cfg = dict(type='Pretrained', _scope_='mmdclpp', part='backbone', checkpoint=weights.file)


def is_densecl_pp(cfg: Config) -> bool:
    """Whether a config trains our model, whose neck fits every backbone."""
    return cfg.model.type.rpartition('.')[2] == 'DenseCLPlusPlus'
