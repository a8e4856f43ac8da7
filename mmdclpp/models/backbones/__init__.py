from .feature_map import FeatureMap
from .pretrained import Pretrained, load_part

__all__ = ['FeatureMap', 'Pretrained', 'load_part']
