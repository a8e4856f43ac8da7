"""A backbone as a graph gives its outputs: a tuple, of normalised images."""

from typing import Tuple

import torch
from torch import Tensor, nn

from mmdclpp.apis.exporting.model import ExportedModel, global_and_dense

OUTPUTS = ('global', 'dense')
REMEDY = 'export with --fixed-size, or to another library'


class TracedFeatures(nn.Module):
    """The global feature and the map of positions."""

    def __init__(self, model: ExportedModel) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.aggregate = model.source.aggregate

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        return global_and_dense(self.backbone, images, self.aggregate)


def example_images(model: ExportedModel) -> Tensor:
    """Images to trace with, of another size than in pretraining if there is any.

    At its own size, a vision transformer leaves its position embedding as it is, and a graph without the resizing of it
    would be good for this size alone; the resizing gives the same at this size, too.
    """
    return torch.zeros(2, 3, *model.sizes[-1])


def sizes_note(model: ExportedModel) -> str:
    """For the model card: what goes in."""
    mean, std = (', '.join(f'{value:.6g}' for value in model.source.normalise[key]) for key in ('mean', 'std'))
    order = 'RGB' if model.source.normalise['to_rgb'] else 'BGR'
    native = model.source.image_size
    sizes = 'of any size that the backbone takes' if model.any_size else f'of {native} × {native} px'
    return (
        f'The input `images` is float32, shape (batch, 3, height, width), {sizes}, {order} from 0 to 255, normalised '
        f'outside the graph: less mean ({mean}), divided by standard deviation ({std}). The outputs are `global`, '
        f'shape (batch, {model.channels}), and `dense`, shape (batch, {model.channels}, rows, columns).'
    )
