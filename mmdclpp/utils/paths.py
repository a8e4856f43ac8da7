"""Where the package's configs and tools lie: in the checkout, or in an installed wheel."""

from pathlib import Path

from mmdclpp.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]


def config_path(name: str) -> Path:
    """Find a shipped config.

    Args:
        name (str): Path below ``configs/``, such as ``'densecl_pp/vit-s16_coco.py'``.

    Raises:
        UserError: If there is no such config.
    """
    return _shipped('configs', name)


def tool_path(name: str) -> Path:
    """Find a tool.

    Args:
        name (str): Path below ``tools/``, such as ``'train.py'``.

    Raises:
        UserError: If there is no such tool.
    """
    return _shipped('tools', name)


def _shipped(folder: str, name: str) -> Path:
    # In a wheel they lie where mim looks for them; a checkout has them beside the package.
    for place in (_PACKAGE / '.mim' / folder, _PACKAGE.parent / folder):
        if (place / name).is_file():
            return place / name
    kind = folder.removesuffix('s')
    raise UserError(f'{name} is no shipped {kind}: look below {_PACKAGE.parent / folder}')
