"""Whether an export does what the backbone does."""

from pathlib import Path
from typing import AbstractSet, Dict

import torch

from mmdclpp.apis.exporting.model import ExportedModel, Size
from mmdclpp.apis.exporting.target import Target
from mmdclpp.errors import UserError

TOLERANCE = 1e-4
_SMALLEST = 1e-6  # outputs below are compared as if the largest were this


def check_outputs(target: Target, model: ExportedModel, folder: Path) -> Dict[Size, float]:
    """Load an export in its library and compare its outputs with the backbone's, on random images.

    Args:
        target (Target): The library.
        model (ExportedModel): The backbone.
        folder (Path): The export.

    Returns:
        Dict[Size, float]: The largest difference at each size, relative to the largest magnitude of the same output.

    Raises:
        UserError: If a difference is above 1e-4, or a key is missing or not expected.
    """
    run = target.load(model, folder)
    differences = {}
    for size in model.sizes:
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        expected = model.outputs(images, target.reference(model, size) if target.reference else None)
        try:
            found = run(images)
        except Exception as error:  # whatever a library raises for images that it does not take
            raise _differs(target, size, f'it fails ({type(error).__name__})') from error
        differences[size] = 0.0
        for name, values in found.items():
            if values.shape != expected[name].shape:
                raise _differs(target, size, f'{name!r} has shape {tuple(values.shape)}')
            scale = max(expected[name].abs().max().item(), _SMALLEST)
            difference = (values - expected[name]).abs().max().item() / scale
            if not difference <= TOLERANCE:  # NaN, too
                raise _differs(target, size, f'{name!r} is off by {difference:.2g} of the largest')
            differences[size] = max(differences[size], difference)
    return differences


def check_keys(to: str, expected: AbstractSet[str], found: AbstractSet[str]) -> None:
    """Raise a UserError unless the keys of a file are those that the library's model has."""
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    if missing or unexpected:
        raise UserError(
            f'to={to}: its model needs {len(missing)} weights that the export lacks {missing[:3]}, and knows not '
            f'{len(unexpected)} that it has {unexpected[:3]}: nothing is written; export to another library'
        )


def _differs(target: Target, size: Size, how: str) -> UserError:
    return UserError(
        f'to={target.name}: compared in {target.library} with the backbone at {size[0]} × {size[1]} px, {how}: nothing '
        f'is written; {target.remedy}'
    )
