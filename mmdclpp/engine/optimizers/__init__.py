"""How optimizers treat the parameters of a model."""

from .lars_constructor import LARSOptimWrapperConstructor
from .layer_decay_constructor import LayerDecayOptimWrapperConstructor

__all__ = ['LARSOptimWrapperConstructor', 'LayerDecayOptimWrapperConstructor']
