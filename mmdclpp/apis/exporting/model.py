"""What is exported: a backbone, and what is to be said of it."""

import ast
import dataclasses
import inspect
from functools import cached_property
from typing import Any, Dict, List, Mapping, Optional, Tuple

import timm
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdclpp.apis.sources.model_source import ModelSource, read_checkpoint
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features, patch_size
from mmdclpp.registry import MODELS

Size = Tuple[int, int]
# What a run's config says of the machine and the moment, and nothing of the model.
_OF_THE_RUN = ('work_dir', 'load_from', 'resume', 'launcher')
_CNN_STRIDE = 32  # of most, in px


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """A backbone with its weights, in eval mode.

    Attributes:
        source (ModelSource): Its config, normalisation, aggregate and image size.
        backbone (nn.Module): The backbone.
        meta (Dict[str, Any]): As in a checkpoint of mmengine: ``cfg``, the config of its training, and, if known,
            ``seed``, ``epoch`` and ``iter``.
        fixed_size (bool): Whether the export is to be for images of one size, whatever the backbone takes. Defaults to
            False.
    """

    source: ModelSource
    backbone: nn.Module
    meta: Dict[str, Any]
    fixed_size: bool = False

    def outputs(self, images: Tensor, backbone: Optional[nn.Module] = None) -> Dict[str, Tensor]:
        """What every export must give of normalised images ``(B, 3, H, W)``, without gradient.

        Args:
            images (Tensor): The images.
            backbone (nn.Module, optional): Another than the model's own. Defaults to None.

        Returns:
            Dict[str, Tensor]: ``global``, the aggregate, shape ``(B, C)``, and ``dense``, the map of the positions,
            shape ``(B, C, rows, columns)``.
        """
        with torch.no_grad():
            global_, dense = global_and_dense(backbone or self.backbone, images, self.source.aggregate)
        return {'global': global_, 'dense': dense}

    @cached_property
    def state_dict(self) -> Dict[str, Tensor]:
        """The weights, on the CPU."""
        return {key: value.detach().cpu() for key, value in self.backbone.state_dict().items()}

    @cached_property
    def sizes(self) -> List[Size]:
        """Heights and widths to compare at: of pretraining and, if it takes others, a larger, oblong one."""
        native, step = self.source.image_size, patch_size(self.backbone)
        if self.fixed_size:
            return [(native, native)]
        step = step if step > 1 else _CNN_STRIDE
        other = (native + 2 * step, native + step)
        try:
            self.outputs(torch.zeros(1, 3, *other))
        except Exception:  # whatever a backbone raises that is made for one size
            return [(native, native)]
        return [(native, native), other]

    @property
    def any_size(self) -> bool:
        """Whether the export is to take other sizes than that of pretraining."""
        return len(self.sizes) > 1

    @cached_property
    def channels(self) -> int:
        """Of its features."""
        native = self.source.image_size
        return self.outputs(torch.zeros(1, 3, native, native))['dense'].shape[1]

    @property
    def unit_normalise(self) -> Dict[str, List[float]]:
        """Mean and standard deviation of images from 0 to 1."""
        return {key: [round(value / 255, 9) for value in self.source.normalise[key]] for key in ('mean', 'std')}

    def require_rgb(self, to: str) -> None:
        """Raise a UserError if the model takes blue first, for a library that gives red first."""
        if not self.source.normalise['to_rgb']:
            raise UserError(f'to={to}: the model takes BGR images, and gets RGB there: use --to mmpretrain or onnx')


def global_and_dense(backbone: nn.Module, images: Tensor, aggregate: str) -> Tuple[Tensor, Tensor]:
    """The global feature of images, ``(B, C)``, and the map of their positions, ``(B, C, rows, columns)``."""
    features = extract_features(backbone, images)
    positions = features.positions.transpose(1, 2)
    return features.aggregate(aggregate), positions.reshape(*positions.shape[:2], *features.grid)


def build_model(source: ModelSource, cfg: Optional[str] = None, img_size: Optional[int] = None) -> ExportedModel:
    """Build the backbone of a source, for images of another size if wanted.

    Args:
        source (ModelSource): The model.
        cfg (str, optional): Text of the config that describes it. Defaults to None, the checkpoint's own.
        img_size (int, optional): Side of the images, in px. A vision transformer's position embedding is resized to
            it. Defaults to None, as pretrained.

    Raises:
        UserError: If the weights do not fit, or there is no backbone of this size.
    """
    meta = _meta(source, cfg)
    backbone = source.build()
    size, step = source.image_size if img_size is None else img_size, patch_size(backbone)
    if size < step or size % step:
        whole = max(size // step, 1) * step
        raise UserError(f'img_size={size} must be a multiple of {step} px, a patch: give --img-size {whole}')
    if size == source.image_size:
        return ExportedModel(source, backbone, meta)
    native, source = source.image_size, dataclasses.replace(source, image_size=img_size)
    resized = dataclasses.replace(source, backbone={**source.backbone, 'img_size': img_size})
    if 'img_size' in _parameters(source):
        source, backbone = resized, resized.build()
    elif isinstance(getattr(backbone, 'timm_model', None), timm.models.VisionTransformer):
        backbone.timm_model.set_input_size(img_size=img_size)
        source = resized
    else:
        return _taking_its_size(ExportedModel(source, backbone, meta), native)
    meta['cfg'] += f"model['backbone']['img_size'] = {img_size}  # resized when it was exported\n"
    return _taking_its_size(ExportedModel(source, backbone, meta), native)


def _taking_its_size(model: ExportedModel, native: int) -> ExportedModel:
    """The model; a UserError if it does not take images of its size, as some of timm's do not."""
    size = model.source.image_size
    try:
        model.outputs(torch.zeros(1, 3, size, size))
    except UserError:
        raise
    except Exception as error:  # whatever a backbone raises that is made for one size
        raise UserError(
            f'img_size={size}: {model.source.arch} takes images of {native} px alone: leave it out'
        ) from error
    return model


def backbone_settings(source: ModelSource) -> Dict[str, Any]:
    """The arguments of the backbone's class, defaults included."""
    defaults = {name: entry.default for name, entry in _parameters(source).items() if entry.default is not entry.empty}
    return {**defaults, **source.backbone}


def _parameters(source: ModelSource) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(MODELS.get(source.backbone['type'])).parameters


def _meta(source: ModelSource, cfg: Optional[str]) -> Dict[str, Any]:
    saved = {} if source.checkpoint is None else read_checkpoint(source.checkpoint).get('meta')
    saved = saved if isinstance(saved, dict) else {}
    meta = {key: saved[key] for key in ('seed', 'epoch', 'iter') if isinstance(saved.get(key), int)}
    return dict(meta, cfg=_without_the_run(cfg or saved['cfg']))


def described_config(source: ModelSource) -> str:
    """Text of a config of what is known of a model whose training is not."""
    model = dict(
        backbone=source.without_weights().backbone,
        data_preprocessor=source.normalise,
        neck=dict(aggregate=source.aggregate),
    )
    return Config(dict(default_scope='mmdclpp', model=model)).pretty_text


def _without_the_run(text: str) -> str:
    lines = text.splitlines()
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) in _OF_THE_RUN:
            del lines[node.lineno - 1 : node.end_lineno]
    return '\n'.join(lines).strip() + '\n'
