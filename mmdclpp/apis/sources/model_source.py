"""A backbone with its weights, and all that an evaluation must know of it."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path
from typing import Any, Dict, Optional

import timm
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmdclpp.errors import UserError
from mmdclpp.evaluation.features import weights_fingerprint
from mmdclpp.models.backbones.pretrained import load_part, read_file
from mmdclpp.registry import MODELS
from mmdclpp.utils.files import write_whole

# What the keys of a timm model start with in files of models around it.
_AROUND_TIMM = ('backbone.timm_model.', 'timm_model.', 'backbone.', 'module.', 'model.')


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
                    'checkpoint file of them: --init timm:NAME=FILE, or FILE beside --backbone'
                ) from error
            if not self.backbone.get('pretrained'):
                backbone.init_weights()
        if self.checkpoint is not None and 'model_name' in self.backbone:
            load_timm(backbone.timm_model, self.backbone['model_name'], self.checkpoint)
        elif self.checkpoint is not None:
            load_part(backbone, self.checkpoint)
        backbone.eval()  # mmpretrain's return nothing
        return backbone

    def without_weights(self) -> 'ModelSource':
        """The same, its config naming no weights: for whom the weights are given to."""
        return dataclasses.replace(self, backbone=without_weights(self.backbone))

    def fingerprint(self, backbone: nn.Module) -> str:
        """What distinguishes the features of this model from any other's: a hash of weights and config."""
        return config_hash([without_weights(self.backbone), self.normalise, weights_fingerprint(backbone)])


def write_backbone(backbone: nn.Module, path: Path) -> None:
    """Keep the weights of a backbone by themselves, where every runner can load them."""
    content = io.BytesIO()
    torch.save(backbone.state_dict(), content)
    write_whole(path, content.getvalue())


def without_weights(backbone: Dict[str, Any]) -> Dict[str, Any]:
    """The config of a backbone without what says where its weights are."""
    return {key: value for key, value in backbone.items() if key not in ('pretrained', 'checkpoint_path', 'init_cfg')}


def config_hash(config: Any) -> str:
    """SHA-256 of what is in a config."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def read_checkpoint(file: str) -> Dict[str, Any]:
    """What a file of torch.save or of safetensors holds, by name; a UserError says what is wrong with others."""
    content = read_file(file)
    return content if isinstance(content, dict) else {}


def load_timm(model: nn.Module, name: str, file: str) -> None:
    """Load a timm model without classifier from a file with or without one."""
    with torch.device('meta'):
        with_classifier = timm.create_model(name, num_classes=1).state_dict().keys()
    load_part(model, file, _AROUND_TIMM, ignore=with_classifier - model.state_dict().keys())
