"""The versions that mmdclpp supports, in one place.

setup.py, the environment check and its tests read them from here; docs/installation.md shows them. Imports nothing of
the package, so that setup.py can run it.
"""

import re
from typing import Dict, NamedTuple, Tuple


class Supported(NamedTuple):
    """The versions of one distribution that are accepted.

    Attributes:
        minimum (str): The oldest.
        below (str): The first that is too new.
        tested (str): The one of requirements.txt, with which the tests run.
    """

    minimum: str
    below: str
    tested: str

    @property
    def specifier(self) -> str:
        """The range as pip writes it."""
        return f'>={self.minimum},<{self.below}'

    def accepts(self, version: str) -> bool:
        """Whether a version is in the range; what follows its numbers, as in ``'2.13.0+cpu'``, does not count."""
        return _numbers(self.minimum) <= _numbers(version) < _numbers(self.below)


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(number) for number in re.match(r'\d+(\.\d+)*', version)[0].split('.'))


PYTHON = Supported('3.10', '3.13', '3.11')
SUPPORTED: Dict[str, Supported] = {
    'torch': Supported('2.8', '3', '2.13.0'),
    'torchvision': Supported('0.23', '1', '0.28.0'),
    'timm': Supported('1.0', '2', '1.0.31'),
    'onedl-mmengine': Supported('0.10.12', '0.11', '0.10.12'),
    'onedl-mmcv': Supported('2.3.6', '2.4', '2.3.6'),
    'onedl-mmpretrain': Supported('1.3.6', '1.4', '1.3.6'),
    'onedl-mmsegmentation': Supported('1.4.2', '1.5', '1.4.2'),
    'onedl-mmdetection': Supported('3.5.1', '3.6', '3.5.1'),
    'opencv-python-headless': Supported('4.10', '6', '4.10.0.84'),
}
