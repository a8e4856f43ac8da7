"""Hooks, and how optimizers treat parameters."""

from .broken_images_hook import BrokenImagesHook
from .diagnostics_hook import DiagnosticsHook
from .gradient_checkpointing_hook import GradientCheckpointingHook
from .online_dense_hook import OnlineDenseHook
from .online_evaluation_hook import OnlineEvaluationHook
from .online_multi_label_hook import OnlineMultiLabelHook
from .optimizers import LARSOptimWrapperConstructor, LayerDecayOptimWrapperConstructor
from .progress_hook import ProgressHook
from .reconstruction_hook import ReconstructionHook

__all__ = [
    'BrokenImagesHook',
    'DiagnosticsHook',
    'GradientCheckpointingHook',
    'LARSOptimWrapperConstructor',
    'LayerDecayOptimWrapperConstructor',
    'OnlineDenseHook',
    'OnlineEvaluationHook',
    'OnlineMultiLabelHook',
    'ProgressHook',
    'ReconstructionHook',
]
