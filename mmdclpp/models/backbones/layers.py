"""Features of intermediate layers, of vision transformers and CNNs alike."""

from typing import Dict, List, Sequence

from torch import Tensor, nn

from mmdclpp.errors import UserError

from .features import BackboneFeatures, as_features


def extract_layers(backbone: nn.Module, images: Tensor, layers: Sequence[int]) -> List[BackboneFeatures]:
    """Run a backbone once and give the features of some of its layers.

    A layer is a block of a vision transformer, or a stage of a CNN (of a ResNet ``layer1`` to ``layer4``), counted from
    0; negative numbers count from the last, whose output is the backbone's. As with mmpretrain's ``out_indices``, that
    one includes a final norm, and the others are as they leave the layer.

    Args:
        backbone (nn.Module): One that :func:`~mmdclpp.models.backbones.features.extract_features` understands.
        images (Tensor): Shape ``(V, 3, H, W)``.
        layers (Sequence[int]): Which layers.

    Returns:
        List[BackboneFeatures]: The features, in the order of ``layers``.

    Raises:
        UserError: If there is no such layer, or the backbone's layers are not known.
    """
    modules = _layers(backbone)
    number = len(modules)
    for layer in layers:
        if not -number <= layer < number:
            raise UserError(
                f'layers: there is no layer {layer}: {type(backbone).__name__} has {number}, 0 to {number - 1}'
            )
    wanted = [layer % number for layer in layers]
    outputs: Dict[int, Tensor] = {}

    def keep(index: int):
        def hook(module: nn.Module, inputs, output) -> None:
            outputs[index] = output

        return hook

    hooks = [modules[index].register_forward_hook(keep(index)) for index in set(wanted)]
    try:
        final = backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    outputs[number - 1] = final[-1] if isinstance(final, (list, tuple)) else final
    for index in wanted:
        if not isinstance(outputs[index], Tensor):
            raise UserError(
                f'layers: those of {type(getattr(backbone, "timm_model", backbone)).__name__} give more than '
                'features: use the last layer alone'
            )
    return [as_features(backbone, outputs[index], images.shape[2:]) for index in wanted]


def _layers(backbone: nn.Module) -> List[nn.Module]:
    """The layers in order, up to the one whose output is the backbone's."""
    layers = all_layers(getattr(backbone, 'timm_model', backbone))
    out_indices = getattr(backbone, 'out_indices', None)
    return layers[: max(out_indices) + 1] if out_indices else layers


def all_layers(model: nn.Module) -> List[nn.Module]:
    """The layers under the names that mmpretrain and timm give them."""
    for name in ('blocks', 'layers', 'stages'):
        layers = getattr(model, name, None)
        if isinstance(layers, (nn.ModuleList, nn.Sequential)) and len(layers):
            return list(layers)
    numbered = []
    while isinstance(layer := getattr(model, f'layer{len(numbered) + 1}', None), nn.Module):
        numbered.append(layer)
    if not numbered:
        raise UserError(f'layers: those of {type(model).__name__} are not known: use its last features, without layers')
    return numbered
