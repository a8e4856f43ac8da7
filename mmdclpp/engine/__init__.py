"""Hooks, and how optimizers treat parameters."""

from .broken_images_hook import BrokenImagesHook
from .checkpoint_hook import CheckpointHook
from .diagnostics_hook import DiagnosticsHook
from .finite_hook import FiniteHook
from .gradient_checkpointing_hook import GradientCheckpointingHook
from .history_hook import HistoryHook
from .online_dense_hook import OnlineDenseHook
from .online_evaluation_hook import OnlineEvaluationHook
from .online_multi_label_hook import OnlineMultiLabelHook
from .optimizers import (
    AmpOptimWrapper,
    LARSOptimWrapperConstructor,
    LayerDecayOptimWrapperConstructor,
    OptimWrapper,
)
from .preemption_hook import PreemptionHook
from .progress_hook import ProgressHook
from .rank_watch_hook import RankWatchHook
from .reconstruction_hook import ReconstructionHook
from .train_loop import EpochBasedTrainLoop

__all__ = [
    'AmpOptimWrapper',
    'BrokenImagesHook',
    'CheckpointHook',
    'DiagnosticsHook',
    'EpochBasedTrainLoop',
    'FiniteHook',
    'GradientCheckpointingHook',
    'HistoryHook',
    'LARSOptimWrapperConstructor',
    'LayerDecayOptimWrapperConstructor',
    'OnlineDenseHook',
    'OnlineEvaluationHook',
    'OnlineMultiLabelHook',
    'OptimWrapper',
    'PreemptionHook',
    'ProgressHook',
    'RankWatchHook',
    'ReconstructionHook',
]
