"""LARS as it is meant: biases and norms are left out."""

from typing import List, Optional

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmdclpp.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LARSOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Keep LARS from biases and the parameters of norms: neither adapted learning rate nor weight decay.

    As in SimCLR (arXiv 2002.05709). mmpretrain's ``LARS`` leaves out what ``lars_exclude`` marks, but only from
    adaptation; its configs mark parameters by parts of their names, which norms in an ``nn.Sequential``, such as a
    projector's, do not have. Here one-dimensional parameters are marked, whatever they are called.

    Args:
        optim_wrapper_cfg (dict): The config's ``optim_wrapper``, with an optimizer of type ``LARS``.
        paramwise_cfg (dict, optional): See mmengine's ``DefaultOptimWrapperConstructor``. Defaults to None.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        super().__init__(optim_wrapper_cfg, {'flat_decay_mult': 0.0, **(paramwise_cfg or {})})

    def add_params(self, params: List[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Add the parameters of ``module`` and its children to ``params``, a group each."""
        first = len(params)
        super().add_params(params, module, prefix, **kwargs)
        for group in params[first:]:
            if all(parameter.ndim <= 1 for parameter in group['params']):
                group.setdefault('lars_exclude', True)
