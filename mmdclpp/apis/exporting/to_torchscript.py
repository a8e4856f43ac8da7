"""Export to TorchScript: a traced graph, for ``torch.jit.load`` in Python and ``torch::jit::load`` in C++."""

from pathlib import Path
from typing import Callable

import torch
from torch import Tensor

from mmdclpp.apis.exporting.model import ExportedModel
from mmdclpp.apis.exporting.quiet import quietly
from mmdclpp.apis.exporting.target import Outputs, Target
from mmdclpp.apis.exporting.traced import OUTPUTS, REMEDY, TracedFeatures, example_images, sizes_note

FILE = 'model.pt'


def write(model: ExportedModel, folder: Path) -> None:
    """Write ``model.pt``."""
    # The warnings are that shapes may become constants, which the check at two sizes finds, and that torch.jit is old.
    with torch.no_grad(), quietly():
        traced = torch.jit.trace(TracedFeatures(model).eval(), example_images(model), check_trace=False)
        torch.jit.save(traced, folder / FILE)


def load(model: ExportedModel, folder: Path) -> Callable[[Tensor], Outputs]:
    """Load the file."""
    with quietly():
        traced = torch.jit.load(folder / FILE, map_location='cpu')

    def run(images: Tensor) -> Outputs:
        with torch.no_grad():
            return dict(zip(OUTPUTS, traced(images)))

    return run


def usage(model: ExportedModel, name: str) -> str:
    size = model.source.image_size
    return f"""\
import torch

model = torch.jit.load('{name}/{FILE}')
images = torch.rand(1, 3, {size}, {size})  # normalised
features, dense = model(images)
"""


TARGET = Target('torchscript', 'torchscript', [], write, load, usage, note=sizes_note, remedy=REMEDY)
