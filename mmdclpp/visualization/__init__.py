"""Pictures of a run: pure functions over arrays, each writing one PNG and returning its path.

They draw on :class:`matplotlib.figure.Figure` without pyplot, so neither a
display nor any global state of matplotlib is involved.
"""

from .classes import class_chart
from .comparison import comparison_chart
from .components import feature_pca, pca_colours
from .inputs import to_rgb
from .losses import loss_curve, read_scalars
from .matches import Matches, correspondences, mutual_matches
from .sweep import sweep_chart

__all__ = [
    'Matches',
    'class_chart',
    'comparison_chart',
    'correspondences',
    'feature_pca',
    'loss_curve',
    'mutual_matches',
    'pca_colours',
    'read_scalars',
    'sweep_chart',
    'to_rgb',
]
