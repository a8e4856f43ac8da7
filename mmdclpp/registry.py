"""The registry scope ``mmdclpp``: each node is a child of mmpretrain's.

A config with ``default_scope = 'mmdclpp'`` therefore names our parts and
mmpretrain's alike without a prefix. mmengine imports this module when it
first meets the scope, so torchvision is healed here, before anything that
needs it, and mmpretrain before its models are imported; and from here on mmengine
loads no checkpoint that would run code, unless it is trusted.
"""

from mmdclpp.utils.mmpretrain_heal import heal_mmpretrain
from mmdclpp.utils.torchvision_heal import heal_torchvision

heal_torchvision()
heal_mmpretrain()

from mmengine.registry import Registry  # noqa: E402
from mmpretrain import registry as parent  # noqa: E402

from mmdclpp.utils.checkpoint_files import guard_mmengine  # noqa: E402

guard_mmengine()


def _child(name: str, node: Registry, location: str) -> Registry:
    # A node imports its own locations when it is first used, but not its parent's: so both are its own.
    return Registry(name, parent=node, scope='mmdclpp', locations=[f'mmpretrain.{location}', f'mmdclpp.{location}'])


# mmengine looks a name up in our scope only where there is a node of it: every kind of part a runner builds has one.
RUNNERS = _child('runner', parent.RUNNERS, 'engine')
RUNNER_CONSTRUCTORS = _child('runner constructor', parent.RUNNER_CONSTRUCTORS, 'engine')
LOOPS = _child('loop', parent.LOOPS, 'engine')
HOOKS = _child('hook', parent.HOOKS, 'engine')
LOG_PROCESSORS = _child('log processor', parent.LOG_PROCESSORS, 'engine')
OPTIMIZERS = _child('optimizer', parent.OPTIMIZERS, 'engine')
OPTIM_WRAPPERS = _child('optimizer wrapper', parent.OPTIM_WRAPPERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('optimizer wrapper constructor', parent.OPTIM_WRAPPER_CONSTRUCTORS, 'engine')
PARAM_SCHEDULERS = _child('parameter scheduler', parent.PARAM_SCHEDULERS, 'engine')
DATASETS = _child('dataset', parent.DATASETS, 'datasets')
DATA_SAMPLERS = _child('data sampler', parent.DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child('transform', parent.TRANSFORMS, 'datasets')
MODELS = _child('model', parent.MODELS, 'models')
MODEL_WRAPPERS = _child('model wrapper', parent.MODEL_WRAPPERS, 'models')
WEIGHT_INITIALIZERS = _child('weight initializer', parent.WEIGHT_INITIALIZERS, 'models')
BATCH_AUGMENTS = _child('batch augment', parent.BATCH_AUGMENTS, 'models')
TASK_UTILS = _child('task util', parent.TASK_UTILS, 'models')
METRICS = _child('metric', parent.METRICS, 'evaluation')
EVALUATORS = _child('evaluator', parent.EVALUATORS, 'evaluation')
VISUALIZERS = _child('visualizer', parent.VISUALIZERS, 'visualization')
VISBACKENDS = _child('vis backend', parent.VISBACKENDS, 'visualization')
