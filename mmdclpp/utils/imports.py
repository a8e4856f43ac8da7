"""Imports of packages that talk."""

import contextlib
import io
from importlib import import_module


def import_quietly(module: str) -> None:
    """Import a module of mm*, some of which print that a package is missing which nobody needs."""
    with contextlib.redirect_stdout(io.StringIO()):
        import_module(module)
