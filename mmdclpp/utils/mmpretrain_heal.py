"""Make ``import mmpretrain.models`` work beside transformers 5.

mmpretrain (1.3.6) imports its models of image and text wherever pycocotools and
transformers are installed, whatever their versions. They are written for
transformers 4: what version 5 dropped is None to them, and a class that inherits
from it ends the import of all other models. Nothing here needs them.
"""

from importlib.metadata import PackageNotFoundError, version

NEWEST = 4  # major version of transformers


def heal_mmpretrain() -> bool:
    """Let mmpretrain leave its multimodal models out, as it does without transformers, where they cannot be imported.

    To be called before ``mmpretrain.models`` is imported.

    Returns:
        bool: Whether they are left out for this reason.
    """
    from mmpretrain.utils import dependency

    try:
        too_new = int(version('transformers').partition('.')[0]) > NEWEST
    except PackageNotFoundError:
        return False
    if too_new:
        dependency.WITH_MULTIMODAL = False
    return too_new
