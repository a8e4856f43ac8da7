"""Similarities within and between images, as histograms."""

from pathlib import Path
from typing import Any, Mapping

from .histograms import histogram_chart
from .style import PathLike, folded

_KINDS = {'intra': 'within a view', 'inter': 'between images'}


def similarity_chart(results: Mapping[str, Mapping[str, Any]], out_png: PathLike) -> Path:
    """Draw how similar positions are, one panel a model, its title with the means.

    Args:
        results (Mapping[str, Mapping]): Name of the model -> what :func:`mmdclpp.apis.diagnose` found: ``intra`` and
            ``inter``, the means, and ``densities``.
        out_png (str or PathLike): The picture to write.

    Returns:
        Path: ``out_png``.

    Raises:
        UserError: If there is no model, or the file cannot be written.
    """
    panels = {}
    for name, result in results.items():
        densities = result['densities']
        means = ' and '.join(f'{result[kind]:.2f}' for kind in _KINDS)
        panels[f'{folded(name)}\nmeans {means}'] = {
            label: (densities['bins'], densities[kind]) for kind, label in _KINDS.items()
        }
    return histogram_chart(panels, out_png, 'cosine similarity of two positions')
