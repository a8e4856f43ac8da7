from .pretrained import Pretrained, load_part

__all__ = ['Pretrained', 'load_part']
