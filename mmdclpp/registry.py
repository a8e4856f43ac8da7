"""The registry scope ``mmdclpp``: each node is a child of mmpretrain's.

A config with ``default_scope = 'mmdclpp'`` therefore names our parts and
mmpretrain's alike without a prefix. mmengine imports this module when it
first meets the scope, so torchvision is healed here, before anything that
needs it.
"""

from mmdclpp.utils.torchvision_heal import heal_torchvision

heal_torchvision()

from mmengine.registry import Registry  # noqa: E402
from mmpretrain import registry as parent  # noqa: E402

__all__ = ['DATASETS', 'HOOKS', 'METRICS', 'MODELS', 'TRANSFORMS', 'WEIGHT_INITIALIZERS']


def _child(name: str, node: Registry, location: str) -> Registry:
    return Registry(name, parent=node, scope='mmdclpp', locations=[f'mmdclpp.{location}'])


DATASETS = _child('dataset', parent.DATASETS, 'datasets')
TRANSFORMS = _child('transform', parent.TRANSFORMS, 'datasets')
MODELS = _child('model', parent.MODELS, 'models')
WEIGHT_INITIALIZERS = _child('weight initializer', parent.WEIGHT_INITIALIZERS, 'models')
HOOKS = _child('hook', parent.HOOKS, 'engine')
METRICS = _child('metric', parent.METRICS, 'evaluation')
