"""What the export to a library consists of."""

import dataclasses
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence

from torch import Tensor

from mmdclpp.apis.exporting.model import ExportedModel

Outputs = Dict[str, Tensor]
WEIGHTS = 'model.safetensors'


@dataclasses.dataclass(frozen=True)
class Target:
    """A library that backbones are exported to.

    Attributes:
        name (str): What a user calls it.
        library (str): Its own name.
        packages (Sequence[str]): Those that it needs besides what training needs: ``mmdclpp[export]`` brings them.
        write (Callable): Given the model and a folder, writes all files but the model card there.
        load (Callable): Given the model and the folder, loads what was written as a user of the library does, and
            returns a function from images to those of :meth:`ExportedModel.outputs` that the library gives. Raises a
            UserError if a key is missing or not expected.
        usage (Callable): Given the model and the folder's name, the Python code for the model card. It leaves what the
            library gives of ``images`` in ``features``.
        reference (Callable, optional): Given the model and a size, another backbone to compare with at this size, or
            None for the model's own. Defaults to None, always the model's own.
        note (Callable, optional): Given the model, a paragraph for the model card. Defaults to None.
        remedy (str): What a user can do where the export is not right.
        not_in_path (str): Characters that the path of the folder must not have. Defaults to none.
    """

    name: str
    library: str
    packages: Sequence[str]
    write: Callable[[ExportedModel, Path], None]
    load: Callable[[ExportedModel, Path], Callable[[Tensor], Outputs]]
    usage: Callable[[ExportedModel, str], str]
    reference: Optional[Callable] = None
    note: Optional[Callable[[ExportedModel], str]] = None
    remedy: str = 'export to another library'
    not_in_path: str = ''
