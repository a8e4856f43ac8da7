"""Load one part of a checkpoint into a model, whole or not at all."""

import copy
import re
from typing import Any, Collection, Dict, Optional, Sequence, Union

from mmengine.logging import print_log
from mmengine.model import PretrainedInit
from mmengine.model.weight_init import update_init_info
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmdclpp.errors import UserError
from mmdclpp.registry import WEIGHT_INITIALIZERS
from mmdclpp.utils.checkpoint_files import read_checkpoint_file


@WEIGHT_INITIALIZERS.register_module()
class Pretrained(PretrainedInit):
    """mmengine's ``Pretrained`` that can load one part of a model strictly.

    It belongs at the top of the model, with the part named::

        model = dict(
            init_cfg=dict(type='Pretrained', _scope_='mmdclpp', part='backbone', checkpoint=None),
            backbone=...)

    ``--cfg-options model.init_cfg.checkpoint=FILE`` then fills the backbone of a
    linear probe, an mmseg segmentor or an mmdet detector alike.

    The name and the place are no accident. mmengine runs initializers of exactly
    this name after those of all children, others before, where the children's own
    initialisation overwrites them (a vision transformer redraws its position
    embedding even after that). And without a checkpoint, the part keeps its own
    standard initialisation, which an ``init_cfg`` given to the part would replace.

    Args:
        checkpoint (str, optional): File or URL, of a whole model (keys that start
            with ``{part}.``) or of the part alone. None or an empty string leaves
            the part as it was initialised: a random baseline.
        part (str, optional): Name of the submodule to load into. Without it, this
            is mmengine's ``Pretrained``. Defaults to None.
        elsewhere (Dict[str, str], optional): Children that the checkpoint's part
            has and the model keeps in another place, which is loaded too:
            ``{'layer4': 'roi_head.shared_head.layer4'}``. Defaults to None.
        prefix (str, optional): See mmengine's ``Pretrained``; not used with
            ``part``. Defaults to None.
        map_location (str): Where to put the tensors. Defaults to 'cpu'.
    """

    def __init__(
        self,
        checkpoint: Optional[str],
        part: Optional[str] = None,
        prefix: Optional[str] = None,
        map_location: str = 'cpu',
        elsewhere: Optional[Dict[str, str]] = None,
    ):
        super().__init__(checkpoint, prefix, map_location)
        self.part = part
        self.elsewhere = elsewhere or {}

    def __call__(self, module: nn.Module) -> None:
        """Fill ``module`` in place.

        Raises:
            UserError: If the file is missing or is no checkpoint, or if its keys
                and shapes are not exactly the part's.
        """
        if self.part is None:
            return super().__call__(module)
        if not self.checkpoint:
            print_log(f'{self.part}: random weights, since model.init_cfg.checkpoint is empty', logger='current')
            return
        part = module.get_submodule(self.part)
        if self.elsewhere:
            # For the time of loading, the part is whole.
            part = copy.copy(part)
            part._modules = dict(part._modules)
            for child, place in self.elsewhere.items():
                part.add_module(child, module.get_submodule(place))
        load_part(part, self.checkpoint, f'{self.part}.', self.map_location)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())


def load_part(
    module: nn.Module,
    checkpoint: str,
    prefix: Union[str, Sequence[str]] = 'backbone.',
    map_location: str = 'cpu',
    ignore: Collection[str] = (),
) -> None:
    """Load a module from the checkpoint of a model that contains it, or from its own.

    A module that adapts what it is given, such as mmpretrain's vision transformer
    its position embedding to another image size, does so here too.

    Args:
        module (nn.Module): What to fill, in place.
        checkpoint (str): A safetensors file, or a file or URL as mmengine's ``CheckpointLoader`` takes it.
        prefix (str | Sequence[str]): What the module's keys start with in a checkpoint
            of the whole model; of several, the first with which the file has such a
            key. Defaults to 'backbone.'.
        map_location (str): Where to put the tensors. Defaults to 'cpu'.
        ignore (Collection[str]): Keys that the module lacks and the checkpoint may
            have, such as a classifier's. Defaults to ().

    Raises:
        UserError: If the file is missing or is no checkpoint, or if a key of the
            module is missing, one too many, or of another shape.
    """
    own = module.state_dict().keys()
    prefixes = (prefix,) if isinstance(prefix, str) else tuple(prefix)
    state_dict = _strip(_read_state_dict(checkpoint, map_location), prefixes, own)
    state_dict = {key: value for key, value in state_dict.items() if key not in ignore}
    if not own & state_dict.keys():
        raise UserError(
            f'{checkpoint} holds no weights of a {type(module).__name__}: it has the keys {_first(state_dict, 3)}, '
            f'but {_first(own, 2)} are needed, plain or after {prefixes[0]!r}: give a checkpoint with this backbone'
        )
    reference = module.state_dict()
    mistyped = [
        key
        for key, value in state_dict.items()
        if key in reference and reference[key].is_floating_point() and not value.is_floating_point()
    ]
    misshaped = []
    try:
        missing, unexpected = module.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:  # torch reports shapes by an exception even when not strict
        misshaped = re.findall(r'size mismatch for (\S+):', str(error))
        missing, unexpected = own - state_dict.keys(), state_dict.keys() - own
    problems = {'missing': missing, 'unexpected': unexpected, 'of another shape': misshaped, 'of integers': mistyped}
    if any(problems.values()):
        parts = [f'{len(keys)} {kind} ({_first(keys)})' for kind, keys in problems.items() if keys]
        raise UserError(
            f'{checkpoint} does not fit {type(module).__name__}, keys: {"; ".join(parts)}: use the architecture '
            'that was pretrained'
        )
    print_log(f'{type(module).__name__}: all {len(state_dict)} entries loaded from {checkpoint}', logger='current')


def read_file(checkpoint: str, map_location: str = 'cpu') -> Any:
    """What a checkpoint holds, in whichever form it was written.

    Raises:
        UserError: If it cannot be downloaded, is damaged, or would run code and is not trusted.
        FileNotFoundError: If there is no such file.
    """
    if '://' not in checkpoint:
        return read_checkpoint_file(checkpoint, map_location)
    try:
        return CheckpointLoader.load_checkpoint(checkpoint, map_location=map_location, logger='silent')
    except UserError:
        raise
    except Exception as error:  # whatever a download and its cache may raise
        raise UserError(f'{checkpoint} cannot be downloaded ({error}): give a file that is here') from error


def _read_state_dict(checkpoint: str, map_location: str) -> Dict[str, Tensor]:
    try:
        content = read_file(checkpoint, map_location)
    except FileNotFoundError as error:
        raise UserError(f'model.init_cfg.checkpoint={checkpoint!r} does not exist: give a checkpoint file') from error
    state_dict = content if isinstance(content, dict) else {}
    for key in ('state_dict', 'model'):  # as mmengine and most others name it; DeiT's and MAE's authors
        if isinstance(state_dict.get(key), dict):
            state_dict = state_dict[key]
            break
    if not state_dict or not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise UserError(f"{checkpoint} holds no weights: give a checkpoint with a 'state_dict', or a plain state dict")
    return state_dict


def _strip(state_dict: Dict[str, Tensor], prefixes: Sequence[str], own: Collection[str]) -> Dict[str, Tensor]:
    """The entries under a prefix without it; all of them if there are none, as in a file of the part alone."""
    present = [prefix for prefix in prefixes if any(key.startswith(prefix) for key in state_dict)]
    fitting = [prefix for prefix in present if any(f'{prefix}{key}' in state_dict for key in own)]
    if not fitting and any(key in state_dict for key in own):
        return dict(state_dict)
    for prefix in fitting or present:
        return {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
    return dict(state_dict)


def _first(keys, count: int = 5) -> str:
    keys = sorted(keys)
    return ', '.join(keys[:count]) + (', ...' if len(keys) > count else '')
