"""Backbones for other libraries: written in their own form, and compared with ours in the library itself.

``export.py`` is what a user calls. Each ``to_*.py`` writes and loads for one library, as a :class:`target.Target`;
``keys.py`` renames weights, ``model.py`` is what is exported, ``check.py`` compares, ``card.py`` writes the model card.
"""

import mmdclpp.registry  # noqa: F401  first: it heals torchvision, which mmpretrain imports
