"""Export to ONNX: a graph for ONNX Runtime and others."""

from pathlib import Path
from typing import Callable

import torch
from torch import Tensor
from torch.export import Dim

from mmdclpp.apis.exporting.model import ExportedModel
from mmdclpp.apis.exporting.quiet import quietly
from mmdclpp.apis.exporting.target import Outputs, Target
from mmdclpp.apis.exporting.traced import OUTPUTS, REMEDY, TracedFeatures, example_images, sizes_note
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import patch_size

FILE = 'model.onnx'
_LARGEST = 2**31  # bytes of a file of protocol buffers


def write(model: ExportedModel, folder: Path) -> None:
    """Write ``model.onnx``, with batch size, height and width free as far as the backbone leaves them free."""
    import onnx

    if sum(value.numel() * value.element_size() for value in model.state_dict.values()) >= _LARGEST:
        raise UserError('to=onnx: the weights exceed 2 GiB, more than one file takes: use --to torchscript')
    step = patch_size(model.backbone)
    shapes = {0: Dim('batch')}
    if model.any_size:
        shapes.update(
            {2: step * Dim('rows'), 3: step * Dim('columns')} if step > 1 else {2: Dim('height'), 3: Dim('width')}
        )
    program = TracedFeatures(model).eval()
    names = dict(input_names=['images'], output_names=list(OUTPUTS))
    try:
        with quietly():
            torch.onnx.export(
                program,
                (example_images(model),),
                folder / FILE,
                dynamo=True,
                external_data=False,
                dynamic_shapes=(shapes,),
                **names,
            )
    except Exception as error:  # whatever the exporter raises for what it cannot express
        raise UserError(
            f'to=onnx: torch cannot export {model.source.arch} ({type(error).__name__}): {REMEDY}'
        ) from error
    graph = onnx.load(folder / FILE)
    for node in graph.graph.node:
        del node.metadata_props[:]  # where in whose files each node comes from
    normalise = model.source.normalise
    told = dict(
        mean=normalise['mean'],
        std=normalise['std'],
        channel_order='RGB' if normalise['to_rgb'] else 'BGR',
        aggregate=model.source.aggregate,
        image_size=model.source.image_size,
    )
    onnx.helper.set_model_props(graph, {key: str(value) for key, value in told.items()})
    onnx.checker.check_model(graph)
    onnx.save(graph, folder / FILE)


def load(model: ExportedModel, folder: Path) -> Callable[[Tensor], Outputs]:
    """Load the file in ONNX Runtime."""
    from onnxruntime import InferenceSession

    session = InferenceSession(folder / FILE, providers=['CPUExecutionProvider'])

    def run(images: Tensor) -> Outputs:
        found = session.run(list(OUTPUTS), {'images': images.numpy()})
        return {name: torch.from_numpy(values) for name, values in zip(OUTPUTS, found)}

    return run


def usage(model: ExportedModel, name: str) -> str:
    size = model.source.image_size
    return f"""\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession('{name}/{FILE}')
images = np.random.rand(1, 3, {size}, {size}).astype(np.float32)  # normalised
features, dense = session.run(['global', 'dense'], {{'images': images}})
"""


TARGET = Target(
    'onnx', 'onnxruntime', ['onnx', 'onnxscript', 'onnxruntime'], write, load, usage, note=sizes_note, remedy=REMEDY
)
