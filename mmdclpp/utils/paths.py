"""Where the package's configs lie: in the checkout, or in an installed wheel."""

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
    # In a wheel configs lie where mim looks for them; a checkout has them beside the package.
    for configs in (_PACKAGE / '.mim' / 'configs', _PACKAGE.parent / 'configs'):
        if (configs / name).is_file():
            return configs / name
    raise UserError(f'{name} is no shipped config: look below {_PACKAGE.parent / "configs"}')
