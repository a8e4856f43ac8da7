"""Pictures: pure functions over arrays, each writing one PNG, or one HTML page, and returning its path.

They draw on :class:`matplotlib.figure.Figure` without pyplot, so neither a
display nor any global state of matplotlib is involved.
"""

from .attention import attention_heads, attention_maps
from .classes import class_chart
from .clusters import cluster_positions, feature_clusters
from .comparison import comparison_chart
from .components import feature_pca, pca_colours
from .factors import factor_chart
from .heat import heat_maps
from .histograms import histogram_chart
from .inputs import to_rgb
from .lines import line_chart
from .losses import loss_curve, read_scalars
from .match_page import DensePairs, Pair, Place, match_page
from .matches import Matches, correspondences, mutual_matches
from .neighbours import Neighbours, neighbour_rows
from .reconstructions import reconstruction_pairs
from .similarities import similarity_chart
from .sweep import sweep_chart
from .thumbnails import thumbnail_chart

__all__ = [
    'DensePairs',
    'Matches',
    'Neighbours',
    'Pair',
    'Place',
    'attention_heads',
    'attention_maps',
    'class_chart',
    'cluster_positions',
    'comparison_chart',
    'correspondences',
    'factor_chart',
    'feature_clusters',
    'feature_pca',
    'heat_maps',
    'histogram_chart',
    'line_chart',
    'loss_curve',
    'match_page',
    'mutual_matches',
    'neighbour_rows',
    'pca_colours',
    'read_scalars',
    'reconstruction_pairs',
    'similarity_chart',
    'sweep_chart',
    'thumbnail_chart',
    'to_rgb',
]
