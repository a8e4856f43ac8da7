"""Hooks."""

from .diagnostics_hook import DiagnosticsHook
from .online_dense_hook import OnlineDenseHook
from .online_evaluation_hook import OnlineEvaluationHook
from .online_multi_label_hook import OnlineMultiLabelHook
from .progress_hook import ProgressHook
from .reconstruction_hook import ReconstructionHook

__all__ = [
    'DiagnosticsHook',
    'OnlineDenseHook',
    'OnlineEvaluationHook',
    'OnlineMultiLabelHook',
    'ProgressHook',
    'ReconstructionHook',
]
