"""Fine-tuning with smaller learning rates for earlier layers."""

from typing import Callable, List, Optional, Tuple

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.wrapped import innermost_backbone
from mmdclpp.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer-wise learning rate decay for any model with a backbone, mmseg's and mmdet's included.

    A parameter learns with ``lr * layer_decay_rate ** d``, where ``d`` counts the layers above it: 0 for heads,
    necks and a vision transformer's last norm, 1 for its last block, most for its patch and position embeddings
    (BEiT, arXiv 2106.08254). What a layer is, the backbone tells: mmpretrain's by ``get_layer_depth``, timm's by
    ``group_matcher``, which counts the last norm to the last block.

    By this name it is found from every scope, mmseg's and mmdet's too::

        optim_wrapper = dict(
            constructor='mmpretrain.mmdclpp.LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
            paramwise_cfg=dict(
                layer_decay_rate=0.65, norm_decay_mult=0.0, bias_decay_mult=0.0,
                custom_keys={'pos_embed': dict(decay_mult=0.0), 'cls_token': dict(decay_mult=0.0)}))

    Args:
        optim_wrapper_cfg (dict): The config's ``optim_wrapper``.
        paramwise_cfg (dict): With ``layer_decay_rate``; for the rest see mmpretrain's
            ``LearningRateDecayOptimWrapperConstructor``.

    Raises:
        UserError: If there is no ``layer_decay_rate`` in (0, 1], or another setting of learning rates beside it;
            when the optimizer is built, if the backbone does not tell its layers.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if not (isinstance(rate, (int, float)) and 0 < rate <= 1):
            raise UserError(
                f'optim_wrapper.paramwise_cfg.layer_decay_rate={rate!r} must lie in (0, 1]: 0.65 is a common value'
            )
        ignored = [key for key, value in self.paramwise_cfg.get('custom_keys', {}).items() if 'lr_mult' in value]
        ignored += [key for key in ('bias_lr_mult', 'dcn_offset_lr_mult') if key in self.paramwise_cfg]
        if ignored:
            raise UserError(
                f'optim_wrapper.paramwise_cfg: {ignored[0]} multiplies learning rates, which layer_decay_rate sets: '
                'remove it'
            )

    def add_params(
        self,
        params: List[dict],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Optional[Callable[[str], Tuple[int, int]]] = None,
        **kwargs,
    ) -> None:
        """Add the parameters of ``module`` and its children to ``params``, a group each."""
        super().add_params(params, module, prefix, get_layer_depth or layer_depths(module), **kwargs)


def layer_depths(model: nn.Module) -> Callable[[str], Tuple[int, int]]:
    """What tells of a model's parameter its layer and the number of layers, everything outside the backbone the last.

    Args:
        model (nn.Module): Any model with a ``backbone``.

    Raises:
        UserError: If there is none, or it does not tell its layers.
    """
    backbone, prefix = innermost_backbone(model)
    if hasattr(backbone, 'get_layer_depth'):
        # Some of mmpretrain's backbones expect this very name before their parameters'.
        return lambda name: backbone.get_layer_depth(name.replace(prefix, 'backbone.', 1), 'backbone.')
    if hasattr(backbone, 'group_matcher'):
        from timm.models import group_parameters

        layers = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
        last = max(layers.values()) + 1
        return lambda name: (layers[name[len(prefix) :]] if name.startswith(prefix) else last, last + 1)
    raise UserError(
        f'layer_decay_rate: {type(backbone).__name__} does not tell its layers: use a backbone of mmpretrain with '
        'get_layer_depth or of timm with group_matcher, or another constructor'
    )
