from .densecl_plusplus_neck import DenseCLPlusPlusNeck
from .feature_batch_norm import FeatureBatchNorm
from .projector import MLPProjector

__all__ = ['DenseCLPlusPlusNeck', 'FeatureBatchNorm', 'MLPProjector']
