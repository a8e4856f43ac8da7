from .densecl_plusplus_neck import DenseCLPlusPlusNeck
from .projector import MLPProjector

__all__ = ['DenseCLPlusPlusNeck', 'MLPProjector']
