"""How optimizers treat the parameters of a model."""

from .finite_steps import AmpOptimWrapper, OptimWrapper
from .lars_constructor import LARSOptimWrapperConstructor
from .layer_decay_constructor import LayerDecayOptimWrapperConstructor

__all__ = ['AmpOptimWrapper', 'LARSOptimWrapperConstructor', 'LayerDecayOptimWrapperConstructor', 'OptimWrapper']
