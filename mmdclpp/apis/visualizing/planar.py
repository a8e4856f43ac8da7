"""Features laid out in the plane."""

import warnings

import numpy as np
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.errors import UserError

TITLES = {'tsne': 't-SNE', 'umap': 'UMAP'}
FEWEST = 5  # images
# prior: scikit-learn's and umap-learn's own; smaller where there are few images.
_PERPLEXITY = 30
_NEIGHBOURS = 15


def check_method(method: str) -> None:
    """Raise a UserError if a method is unknown, or its package is not installed."""
    if method not in TITLES:
        raise UserError(f'embedding={method!r} is unknown: use one of {", ".join(TITLES)}')
    try:
        if method == 'tsne':
            import sklearn.manifold  # noqa: F401
        else:
            import umap  # noqa: F401
    except ModuleNotFoundError as error:
        package = {'tsne': 'scikit-learn', 'umap': 'umap-learn'}[method]
        raise UserError(f'embedding: {TITLES[method]} needs {package}: pip install "mmdclpp[visualize]"') from error


def planar(features: Tensor, method: str, seed: int) -> np.ndarray:
    """Lay features out in the plane so that similar ones, by the cosine, lie close together.

    Args:
        features (Tensor): Shape ``(N, C)``, of 5 images or more.
        method (str): ``'tsne'`` (scikit-learn's) or ``'umap'`` (umap-learn's).
        seed (int): Decides the layout.

    Returns:
        np.ndarray: Shape ``(N, 2)``.

    Raises:
        UserError: If the method is unknown or its package is not installed.
    """
    check_method(method)
    unit = normalize(features.double(), dim=1).numpy()  # whose Euclidean distances are ordered as the cosines
    if method == 'tsne':
        from sklearn.manifold import TSNE

        return TSNE(perplexity=min(_PERPLEXITY, (len(unit) - 1) / 3), init='pca', random_state=seed).fit_transform(unit)
    from umap import UMAP

    # Of so few images the default, spectral layout has no eigenvectors to start from.
    init = 'spectral' if len(unit) > _NEIGHBOURS else 'random'
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'n_jobs value')  # a seed costs it its parallelism, and it says so
        return UMAP(n_neighbors=min(_NEIGHBOURS, len(unit) - 1), init=init, random_state=seed).fit_transform(unit)
