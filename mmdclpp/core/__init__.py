"""The mathematics of DenseCL++ in pure PyTorch: usable from any training loop."""

from .dense_views import DenseViews
from .draws import Draws
from .gather import gather_views, mean_over_processes
from .guided_scores import guided_scores
from .info_nce import InfoNCE, NegativeGroup, info_nce
from .layout import ViewLayout, siblings
from .losses import dense_loss, global_loss
from .matching import Matches, match_positions, mutual_matches
from .negatives import (
    AllNegatives,
    CrossViewNegatives,
    GlobalNegatives,
    GuidedNegatives,
    NegativeSampler,
    RandomNegatives,
)
from .reconstruction import reconstruction_loss

__all__ = [
    'AllNegatives',
    'CrossViewNegatives',
    'DenseViews',
    'Draws',
    'GlobalNegatives',
    'GuidedNegatives',
    'InfoNCE',
    'Matches',
    'NegativeGroup',
    'NegativeSampler',
    'RandomNegatives',
    'ViewLayout',
    'dense_loss',
    'gather_views',
    'global_loss',
    'guided_scores',
    'info_nce',
    'match_positions',
    'mean_over_processes',
    'mutual_matches',
    'reconstruction_loss',
    'siblings',
]
