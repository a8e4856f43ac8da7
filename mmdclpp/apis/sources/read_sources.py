"""What the models of a command line are: checkpoints, random weights, others' published models."""

import dataclasses
import difflib
from pathlib import Path
from typing import List, Optional, Sequence

import timm
import torch
from mmpretrain.apis.model import ModelHub

from mmdclpp.apis._runner import load_config, require_checkpoint
from mmdclpp.apis.sources.checkpoint_config import config_of, require_registered
from mmdclpp.apis.sources.from_config import source_from_config, with_any_size
from mmdclpp.apis.sources.model_source import ModelSource, config_hash, read_checkpoint, without_weights
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import check_aggregate

RANDOM = 'random'


def read_sources(
    models: Sequence[str],
    backbone: Optional[str] = None,
    config: Optional[str] = None,
    names: Optional[Sequence[str]] = None,
    aggregate: Optional[str] = None,
) -> List[ModelSource]:
    """Find out what the models of a command line are.

    Args:
        models (Sequence[str]): Checkpoint files, or ``'random'`` or ``'random:SEED'`` for random weights in the
            architecture of the first checkpoint. Empty, with ``backbone``, for that model's published weights.
        backbone (str, optional): ``'timm:NAME'`` or ``'mmpretrain:NAME'``, the architecture of all ``models``.
            Defaults to None, which reads it from each checkpoint's own config.
        config (str, optional): A config file whose ``model.backbone`` is the architecture of all ``models``, for
            checkpoints that hold no config. Defaults to None.
        names (Sequence[str], optional): Names for the tables, one a model. Defaults to None.
        aggregate (str, optional): ``'cls'`` or ``'gap'`` for all. Defaults to None, as each was pretrained.

    Raises:
        UserError: If a file is missing, cut off or holds no config, a name is unknown, or a model is given twice.
    """
    if backbone is not None and config is not None:
        raise UserError('backbone, config: both name the architecture: give one')
    if names is not None and len(names) != max(len(models), 1):
        raise UserError(f'names: {len(names)} given for {max(len(models), 1)} models: give one for each')
    if aggregate is not None:
        check_aggregate(aggregate)
    if models:
        described = _describe(models, backbone, config)
    elif backbone is not None:
        described = [_named_backbone(backbone, None)]
    else:
        raise UserError('models: none given: give checkpoint files, or backbone=timm:NAME')
    sources = []
    for index, source in enumerate(described):
        changes = {} if names is None else {'name': names[index]}
        if aggregate is not None:
            changes['aggregate'] = aggregate
        sources.append(dataclasses.replace(source, **changes))
    return sources


def _describe(models, backbone, config) -> List[ModelSource]:
    """The sources of the models, those with random weights in the architecture of the first that has a config."""
    files = [str(model) for model in models if not _is_random(model)]
    for file in files:
        require_checkpoint(file, 'models')
    places = [Path(model).resolve() for model in models]
    for index, model in enumerate(models):
        if places[index] in places[:index]:
            raise UserError(f'models: {model} is given twice: name each model once')
    if backbone is None and config is None and not files:
        raise UserError('random: of which architecture? Give config, backbone or another checkpoint')

    def of_file(file: Optional[str]) -> ModelSource:
        if backbone is not None:
            return _named_backbone(backbone, file)
        meta = {} if file is None else read_checkpoint(file).get('meta')
        meta = meta if isinstance(meta, dict) else {}
        cfg = config_of(file, meta) if config is None else load_config(config)
        if config is None:
            require_registered((cfg.get('model') or {}).get('backbone'), file)
        return source_from_config(cfg, file, meta, config or file)

    sources = {file: of_file(file) for file in files}
    result = []
    for model in models:
        if _is_random(model):
            like = sources[files[0]] if files else of_file(None)
            result.append(_randomised(like, model))
        else:
            result.append(sources[str(model)])
    return result


def _is_random(model) -> bool:
    return str(model).partition(':')[0] == RANDOM


def _randomised(like: ModelSource, model: str) -> ModelSource:
    seed = model.partition(':')[2] or '0'
    if not seed.isdigit():
        raise UserError(f"{model}: {seed!r} is no seed: write 'random' or 'random:1'")
    backbone = without_weights(like.backbone)
    return dataclasses.replace(
        like,
        name=RANDOM,
        backbone=backbone,
        checkpoint=None,
        pair_feature=None,
        seed=int(seed),
        recipe=config_hash([RANDOM, backbone]),
    )


def _named_backbone(name: str, file: Optional[str]) -> ModelSource:
    library, _, model = name.partition(':')
    read = {'timm': _timm_backbone, 'mmpretrain': _mmpretrain_backbone}.get(library)
    if read is None or not model:
        raise UserError(f'backbone={name!r} is unknown: write timm:NAME or mmpretrain:NAME')
    source = read(model, file)
    return source if file is None else dataclasses.replace(source, name=Path(file).stem)


def _timm_backbone(name: str, file: Optional[str]) -> ModelSource:
    if not timm.is_model(name.partition('.')[0]):
        close = ''.join(
            f', did you mean {found!r}?' for found in difflib.get_close_matches(name, timm.list_models(), 1)
        )
        raise UserError(f'backbone: timm has no model {name!r}{close or ": see timm.list_models()"}')
    with torch.device('meta'):
        data = timm.create_model(name).pretrained_cfg
    backbone = with_any_size(dict(type='mmpretrain.TIMMBackbone', model_name=name, pretrained=file is None))
    return ModelSource(
        name='timm',
        arch=f'timm {name}',
        backbone=backbone,
        checkpoint=file,
        normalise=dict(
            mean=[255 * value for value in data['mean']], std=[255 * value for value in data['std']], to_rgb=True
        ),
        aggregate='gap',
        image_size=data['input_size'][-1],
    )


def _mmpretrain_backbone(name: str, file: Optional[str]) -> ModelSource:
    try:
        entry = ModelHub.get(name)
    except ValueError as error:
        raise UserError(f'backbone: mmpretrain has no model {name!r}: see mmpretrain.list_models()') from error
    weights = file or entry.weights
    if not weights:
        raise UserError(f'backbone: mmpretrain publishes no weights of {name!r}: give a checkpoint file')
    return dataclasses.replace(source_from_config(entry.config, weights, {}, name), name=name)
