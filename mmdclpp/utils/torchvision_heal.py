"""Make ``import torchvision`` work when its compiled operators do not load.

A CPU build of torch beside a CUDA build of torchvision (pip can pick that
pair) leaves torchvision without its extension. ``import torchvision`` then
dies on registering a fake kernel for ``torchvision::nms``, and with it timm,
mmpretrain and mmseg, although none of them needs the operator here. Declaring
the two operator schemas first is enough; calling them still fails, as it must.
"""

import importlib
import sys

_SCHEMAS = (
    'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
)
_library = None  # keeps the declared schemas alive


def heal_torchvision() -> bool:
    """Import torchvision, declaring the operators it lacks when it cannot.

    Returns:
        bool: True if torchvision works only thanks to this function, False if
        it needed no help.

    Raises:
        ImportError: If torchvision is not installed.
    """
    global _library
    try:
        importlib.import_module('torchvision')
    except RuntimeError as error:
        if 'torchvision::nms' not in str(error):
            raise
        import torch

        for name in [n for n in sys.modules if n.split('.')[0] == 'torchvision']:
            del sys.modules[name]
        if _library is None:
            _library = torch.library.Library('torchvision', 'FRAGMENT')
            for schema in _SCHEMAS:
                _library.define(schema)
        importlib.import_module('torchvision')
    return _library is not None
