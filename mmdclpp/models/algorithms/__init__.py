from .densecl_plusplus import DenseCLPlusPlus

__all__ = ['DenseCLPlusPlus']
