"""What is to be evaluated: a backbone with its weights, and all that its own config tells of it."""

import dataclasses
import difflib
import hashlib
import inspect
import io
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain.models import MAEViT, MoCoV3ViT, VisionTransformer
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch import nn

from mmdclpp.apis._runner import load_config, require_checkpoint
from mmdclpp.errors import UserError
from mmdclpp.evaluation.features import weights_fingerprint
from mmdclpp.models.backbones.features import AGGREGATES, check_aggregate
from mmdclpp.models.backbones.pretrained import load_part
from mmdclpp.registry import MODELS
from mmdclpp.utils.files import write_whole

RANDOM = 'random'
# What a config may freeze for its own training, while an evaluation decides for itself what to train.
_FREEZING = ('frozen_stages', 'norm_eval', 'stop_grad_conv1')
# What tells runs of one method apart, in a config.
_OF_A_RUN = ('randomness', 'work_dir', 'load_from', 'resume', 'launcher', 'experiment_name')
# What the keys of a timm model start with in files of models around it.
_AROUND_TIMM = ('backbone.timm_model.', 'timm_model.', 'backbone.', 'module.', 'model.')
_VIT_NAMES = {'tiny': 'Ti', 'small': 'S', 'base': 'B', 'large': 'L', 'huge': 'H'}


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A model to evaluate, as its config describes it.

    Attributes:
        name (str): The method, for tables.
        arch (str): The architecture, for tables.
        backbone (dict): Config of the backbone, its type with scope.
        checkpoint (str, optional): Where the weights are. None for random or downloaded ones.
        normalise (dict): ``mean`` and ``std`` in 0 to 255, and ``to_rgb``.
        aggregate (str): ``'cls'`` or ``'gap'``, as in pretraining.
        image_size (int): Side of the images it was pretrained with, in px.
        pair_feature (str, optional): What dense positives were matched by. None if nothing was matched.
        seed (int, optional): The seed of pretraining, or of random weights.
        recipe (str, optional): Equal for models that differ by nothing but their seed: a hash of the config and the
            length of pretraining. None if that is not known, or the seed is not.
    """

    name: str
    arch: str
    backbone: Dict[str, Any]
    checkpoint: Optional[str]
    normalise: Dict[str, Any]
    aggregate: str
    image_size: int
    pair_feature: Optional[str] = None
    seed: Optional[int] = None
    recipe: Optional[str] = None

    def build(self) -> nn.Module:
        """Build the backbone and load its weights, whole or not at all.

        Raises:
            UserError: If the checkpoint's keys and shapes are not exactly the backbone's, or weights cannot be
                downloaded.
        """
        if not MMLogger.check_instance_created('mmdclpp'):
            MMLogger.get_instance('mmdclpp', log_level='WARNING')  # else mmengine tells how it initialised each weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed or 0)
            try:
                backbone = MODELS.build(self.backbone)
            except OSError as error:  # timm fetches weights here
                raise UserError(
                    f'{self.arch}: its weights cannot be downloaded ({type(error).__name__}): go online, or give a '
                    'checkpoint file beside --backbone'
                ) from error
            if not self.backbone.get('pretrained'):
                backbone.init_weights()
        if self.checkpoint is not None and 'model_name' in self.backbone:
            _load_timm(backbone.timm_model, self.backbone['model_name'], self.checkpoint)
        elif self.checkpoint is not None:
            load_part(backbone, self.checkpoint)
        backbone.eval()  # mmpretrain's return nothing
        return backbone

    def without_weights(self) -> 'ModelSource':
        """The same, its config naming no weights: for whom the weights are given to."""
        return dataclasses.replace(self, backbone=_without_weights(self.backbone))

    def fingerprint(self, backbone: nn.Module) -> str:
        """What distinguishes the features of this model from any other's: a hash of weights and config."""
        return _hash([_without_weights(self.backbone), self.normalise, weights_fingerprint(backbone)])


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
        if file.endswith('.safetensors'):
            raise UserError(f'models: {file}: safetensors cannot be read: give a file that torch.save wrote')
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
        meta = {} if file is None else _read(file).get('meta')
        meta = meta if isinstance(meta, dict) else {}
        cfg = _config_of(file, meta) if config is None else load_config(config)
        return _from_config(cfg, file, meta, config or file)

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
    backbone = _without_weights(like.backbone)
    return dataclasses.replace(
        like,
        name=RANDOM,
        backbone=backbone,
        checkpoint=None,
        pair_feature=None,
        seed=int(seed),
        recipe=_hash([RANDOM, backbone]),
    )


def _without_weights(backbone: Dict[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in backbone.items() if key not in ('pretrained', 'checkpoint_path', 'init_cfg')}


def _hash(config: Any) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def _read(file: str) -> Dict[str, Any]:
    try:
        content = CheckpointLoader.load_checkpoint(file, map_location='cpu', logger='silent')
    except Exception as error:  # whatever unpickling a foreign file may raise
        raise UserError(f'checkpoint {file} is cut off or no checkpoint: give a file that torch.save wrote') from error
    return content if isinstance(content, dict) else {}


def _config_of(file: str, meta: Dict[str, Any]) -> Config:
    text = meta.get('cfg')
    if not isinstance(text, str) or not text.strip():
        raise UserError(
            f'checkpoint {file} does not hold the config of its model: name it with --config FILE, or the '
            'architecture with --backbone timm:NAME or mmpretrain:NAME'
        )
    try:
        return Config.fromstring(text, '.py')
    except Exception as error:  # a config is a program: whatever it raises
        raise UserError(
            f'checkpoint {file}: its own config cannot be read ({type(error).__name__}: {error}): name one with '
            '--config FILE'
        ) from error


def _from_config(cfg: Config, file: Optional[str], meta: Dict[str, Any], where: Optional[str]) -> ModelSource:
    model = cfg.get('model') or {}
    if not isinstance(model.get('backbone'), dict) or 'type' not in model.backbone:
        raise UserError(f'{where}: its config has no model.backbone to evaluate: give a pretraining checkpoint')
    backbone = _without_weights(model.backbone.to_dict() if hasattr(model.backbone, 'to_dict') else model.backbone)
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
    return _hash([settings, meta.get('epoch'), meta.get('iter')])


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


def _method(model: Dict[str, Any]) -> Tuple[str, Optional[str]]:
    """The poster's name of a method, and its pair feature."""
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
        if part.get('type') == 'RandomResizedCrop' and 'scale' in part:
            return part['scale']
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        return next((found for found in map(_first_scale, part) if found), None)
    return None


def _named_backbone(name: str, file: Optional[str]) -> ModelSource:
    library, _, model = name.partition(':')
    read = {'timm': _timm_backbone, 'mmpretrain': _mmpretrain_backbone}.get(library)
    if read is None or not model:
        raise UserError(f'backbone={name!r} is unknown: write timm:NAME or mmpretrain:NAME')
    source = read(model, file)
    return source if file is None else dataclasses.replace(source, name=Path(file).stem)


def _timm_backbone(name: str, file: Optional[str]) -> ModelSource:
    import timm

    if not timm.is_model(name.partition('.')[0]):
        close = ''.join(
            f', did you mean {found!r}?' for found in difflib.get_close_matches(name, timm.list_models(), 1)
        )
        raise UserError(f'backbone: timm has no model {name!r}{close or ": see timm.list_models()"}')
    with torch.device('meta'):
        model = timm.create_model(name)
    backbone = dict(type='mmpretrain.TIMMBackbone', model_name=name, pretrained=file is None)
    if isinstance(model, timm.models.VisionTransformer):
        backbone['dynamic_img_size'] = True  # for segmentation, on larger images than it was pretrained with
    data = model.pretrained_cfg
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
    from mmpretrain.apis.model import ModelHub

    try:
        entry = ModelHub.get(name)
    except ValueError as error:
        raise UserError(f'backbone: mmpretrain has no model {name!r}: see mmpretrain.list_models()') from error
    weights = file or entry.weights
    if not weights:
        raise UserError(f'backbone: mmpretrain publishes no weights of {name!r}: give a checkpoint file')
    return dataclasses.replace(_from_config(entry.config, weights, {}, name), name=name)


def _load_timm(model: nn.Module, name: str, file: str) -> None:
    """Load a timm model without classifier from a file with or without one."""
    import timm

    own = model.state_dict().keys()
    with torch.device('meta'):
        of_classifier = timm.create_model(name, num_classes=1).state_dict().keys() - own

    def drop_classifier(module, state_dict, *_):
        for key in of_classifier & state_dict.keys():
            del state_dict[key]

    content = _read(file)
    keys = content.get('state_dict', content)
    prefix = next((prefix for prefix in _AROUND_TIMM if any(prefix + key in keys for key in own)), _AROUND_TIMM[0])
    hook = model.register_load_state_dict_pre_hook(drop_classifier)
    try:
        load_part(model, file, prefix)
    finally:
        hook.remove()


def write_backbone(backbone: nn.Module, path: Path) -> None:
    """Keep the weights of a backbone by themselves, where every runner can load them."""
    content = io.BytesIO()
    torch.save(backbone.state_dict(), content)
    write_whole(path, content.getvalue())
