from typing import Iterator

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def default_scope() -> Iterator[None]:
    """Names without a prefix are looked up as in a config with ``default_scope = 'mmdclpp'``."""
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        yield
