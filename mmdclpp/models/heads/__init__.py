from .contrastive_heads import DenseInfoNCEHead, GlobalInfoNCEHead
from .multi_label_linear_head import MultiLabelLinearHead

__all__ = ['DenseInfoNCEHead', 'GlobalInfoNCEHead', 'MultiLabelLinearHead']
