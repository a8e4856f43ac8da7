"""DenseCL++ for the OpenMMLab ecosystem (arXiv 2210.05063).

Importing this package is light: :mod:`mmdclpp.core` needs PyTorch alone, the
registered components load when a config names the scope ``mmdclpp``.
"""

from .version import __version__

__all__ = ['__version__']
