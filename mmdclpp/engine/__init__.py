"""Hooks."""

from .online_dense_hook import OnlineDenseHook
from .online_evaluation_hook import OnlineEvaluationHook
from .online_multi_label_hook import OnlineMultiLabelHook
from .progress_hook import ProgressHook

__all__ = ['OnlineDenseHook', 'OnlineEvaluationHook', 'OnlineMultiLabelHook', 'ProgressHook']
