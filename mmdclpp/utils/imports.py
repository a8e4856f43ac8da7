"""Imports of packages that talk, and of packages that may be missing."""

import contextlib
import io
from importlib import import_module
from types import ModuleType

from mmdclpp.errors import UserError


def import_quietly(module: str) -> None:
    """Import a module of mm*, some of which print that a package is missing which nobody needs."""
    with contextlib.redirect_stdout(io.StringIO()):
        import_module(module)


def import_optional(module: str, extra: str) -> ModuleType:
    """Import a module of a package that the base install does without.

    Args:
        module (str): Its name.
        extra (str): The extra of this package that brings it.

    Raises:
        UserError: If the package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition('.')[0]
        if (error.name or '').partition('.')[0] != package:
            raise
        raise UserError(f'{package} is not installed: pip install "mmdclpp[{extra}]"') from error
