"""Pictures of a run: pure functions over arrays, each writing one PNG and returning its path.

They draw on :class:`matplotlib.figure.Figure` without pyplot, so neither a
display nor any global state of matplotlib is involved.
"""

from .classes import class_chart
from .comparison import comparison_chart
from .components import feature_pca, pca_colours
from .factors import factor_chart
from .heat import heat_maps
from .histograms import histogram_chart
from .inputs import to_rgb
from .lines import line_chart
from .losses import loss_curve, read_scalars
from .matches import Matches, correspondences, mutual_matches
from .reconstructions import reconstruction_pairs
from .similarities import similarity_chart
from .sweep import sweep_chart

__all__ = [
    'Matches',
    'class_chart',
    'comparison_chart',
    'correspondences',
    'factor_chart',
    'feature_pca',
    'heat_maps',
    'histogram_chart',
    'line_chart',
    'loss_curve',
    'mutual_matches',
    'pca_colours',
    'read_scalars',
    'reconstruction_pairs',
    'similarity_chart',
    'sweep_chart',
    'to_rgb',
]
