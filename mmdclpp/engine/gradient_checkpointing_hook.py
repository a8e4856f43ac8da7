"""Gradient checkpointing for any model with a backbone."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdclpp.engine.unwrapped import unwrapped
from mmdclpp.models.backbones.checkpointed import checkpoint_blocks
from mmdclpp.models.backbones.wrapped import innermost_backbone
from mmdclpp.registry import HOOKS


@HOOKS.register_module()
class GradientCheckpointingHook(Hook):
    """Train with the activations of the backbone's blocks computed again in the backward pass, not kept.

    Saves most of the memory of a backbone's activations for one more forward pass of it. Works for vision
    transformers and CNNs of mmpretrain and timm, and on several processes; results are those without it.

    Raises:
        UserError: Before training, if the model has no backbone or its blocks are not known.
    """

    def before_train(self, runner: Runner) -> None:
        """Turn it on."""
        backbone, _ = innermost_backbone(unwrapped(runner))
        count = checkpoint_blocks(backbone)
        runner.logger.info(f'gradient checkpointing: {count} blocks of {type(backbone).__name__}')
