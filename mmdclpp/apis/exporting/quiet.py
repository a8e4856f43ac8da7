"""Other libraries at work, without what they say of it."""

import contextlib
import io
import warnings
from typing import Iterator


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Leave out prints and warnings: whether all went well is checked."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
