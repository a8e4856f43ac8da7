from .contrastive_heads import DenseInfoNCEHead, GlobalInfoNCEHead

__all__ = ['DenseInfoNCEHead', 'GlobalInfoNCEHead']
