"""The backbone of a model, whatever it is wrapped in."""

from typing import Tuple

from torch import nn

from mmdclpp.errors import UserError


def innermost_backbone(model: nn.Module) -> Tuple[nn.Module, str]:
    """The module that has the layers, and what the names of its parameters begin with in the model.

    It is the model's ``backbone``, within a :class:`FeatureMap` that one's, and of mmpretrain's ``TIMMBackbone``
    timm's own model.

    Raises:
        UserError: If the model has no backbone.
    """
    if not isinstance(getattr(model, 'backbone', None), nn.Module):
        raise UserError(f'{type(model).__name__} has no backbone: use a model with one')
    module, prefix = model, ''
    for name in ('backbone', 'backbone', 'timm_model'):
        if isinstance(getattr(module, name, None), nn.Module):
            module, prefix = getattr(module, name), f'{prefix}{name}.'
    return module, prefix
