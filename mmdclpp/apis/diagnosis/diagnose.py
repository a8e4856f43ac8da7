"""Figures, tables and pictures of the features of pretrained models."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from rich.console import Console
from torch import Tensor

from mmdclpp.apis._tables import MISSING, Cell, Table, print_table
from mmdclpp.apis.diagnosis.views import compute_views
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.errors import UserError
from mmdclpp.evaluation.diagnostics import dense_figures, global_figures
from mmdclpp.evaluation.geometric_matches import ViewGeometry
from mmdclpp.evaluation.similarities import similarity_histograms
from mmdclpp.utils.files import PathLike, write_whole
from mmdclpp.utils.strict_json import strict_json
from mmdclpp.visualization.similarities import similarity_chart

# Their cost grows with the square of the positions of a view, and of the channels times the rows.
HISTOGRAM_POSITIONS = 36
RANK_ROWS = 16384
_ROWS = {
    'intra': 'similarity within a view',
    'cross_view': 'similarity of both views',
    'inter': 'similarity between images',
    'dense_rank': 'effective rank, positions',
    'dense_std': 'relative std, positions',
    'exact_matches': 'exact matches',
    'exact_matches_chance': '… at random',
    'near_matches': 'near matches',
    'near_matches_chance': '… at random',
    'alignment': 'alignment',
    'uniformity': 'uniformity',
    'global_rank': 'effective rank, global',
    'global_std': 'relative std, global',
}


def diagnose(
    checkpoint: PathLike,
    images: PathLike,
    num_images: int = 200,
    seed: int = 0,
    num_bins: int = 100,
    batch_size: int = 32,
) -> Dict[str, Any]:
    """Figures and histograms of a pretrained model's features, of two views of each image.

    The views are those of the checkpoint's own training pipeline, drawn from ``seed``: the same for all models with
    the same pipeline. Features are computed in eval mode. docs/diagnostics.md tells what the figures mean.

    Args:
        checkpoint (str or PathLike): A pretraining checkpoint, with its config in it.
        images (str or PathLike): A folder of images, or a text file with one path a line, relative to its folder.
        num_images (int): So many images at most, drawn from ``seed``. Defaults to 200.
        seed (int): Decides images and views. Defaults to 0.
        num_bins (int): Bins of the histograms, over [-1, 1]. Defaults to 100.
        batch_size (int): Images a step; decides nothing else. Defaults to 32.

    Returns:
        Dict[str, Any]: ``checkpoint``, ``name``, ``arch``, ``seed`` (of pretraining), ``num_images``, ``grid``; all of
        :func:`~mmdclpp.evaluation.dense_figures` and
        :func:`~mmdclpp.evaluation.global_figures` of the backbone's features; and their ``densities``:
        ``bins``, which are the ``num_bins + 1`` edges, and ``intra``, ``cross_view``, ``inter``, each of at most 36
        positions a view. ``projection`` holds figures and densities of the projections, as far as there are any.

    Raises:
        UserError: If the checkpoint or an image cannot be read, there are fewer than two images, or the checkpoint's
            pipeline does not make two views.
    """
    for key, value, least in (('num_images', num_images, 2), ('num_bins', num_bins, 1), ('batch_size', batch_size, 1)):
        if value < least:
            raise UserError(f'{key}={value} must be {least} or more')
    (source,) = read_sources([str(checkpoint)])
    views = compute_views(source, images, num_images, seed, batch_size)
    return dict(
        checkpoint=source.checkpoint,
        name=source.name,
        arch=source.arch,
        seed=source.seed,
        num_images=len(views.positions) // 2,
        grid=list(views.grid),
        **_diagnosed(views.positions, views.aggregate, views.grid, views.geometry, num_bins),
        projection=_diagnosed(
            views.dense_projections, views.global_projections, views.projection_grid, views.geometry, num_bins
        ),
    )


def diagnose_all(
    checkpoints: Sequence[PathLike],
    images: PathLike,
    num_images: int = 200,
    seed: int = 0,
    names: Optional[Sequence[str]] = None,
    out: Optional[PathLike] = None,
    plot: Optional[PathLike] = None,
) -> List[Dict[str, Any]]:
    """Diagnose several checkpoints, print tables, and write what was found.

    Args:
        checkpoints (Sequence[str or PathLike]): Pretraining checkpoints.
        images, num_images, seed: See :func:`diagnose`.
        names (Sequence[str], optional): What to call them, one each. Defaults to None, after folder and file, and
            as many more folders as tell them apart.
        out (str or PathLike, optional): JSON file for the results: that of a single checkpoint by itself, of several
            a list. Defaults to None.
        plot (str or PathLike, optional): PNG file for histograms of the backbones' features. Defaults to None.

    Returns:
        List[Dict[str, Any]]: Of each what :func:`diagnose` returns.

    Raises:
        UserError: As :func:`diagnose`, if names are missing or given twice, or a file cannot be written.
    """
    names = list(names or default_names(checkpoints))
    if len(names) != len(checkpoints) or len(set(names)) < len(names):
        raise UserError(f'names: {", ".join(names)}: give {len(checkpoints)}, one a checkpoint, all different')
    for key, place in (('out', out), ('plot', plot)):
        if place is not None:
            _check_writable(key, Path(place))
    found = {name: diagnose(file, images, num_images, seed) for name, file in zip(names, checkpoints)}
    results, console = list(found.values()), Console()
    print_table(_table('Features of the backbone', found), console)
    print_table(_table('Projections', {name: result['projection'] for name, result in found.items()}), console)
    if out is not None:
        console.print(f'written: {write_whole(out, strict_json(results if len(results) > 1 else results[0]))}')
    if plot is not None:
        console.print(f'drawn: {similarity_chart(found, plot)}')
    return results


def default_names(checkpoints: Sequence[PathLike]) -> List[str]:
    """What to call checkpoints: each after its file and folder, and as many folders above it as tell them apart."""
    paths = [tuple(os.path.splitext(os.path.abspath(file))[0].split(os.sep)) for file in checkpoints]
    number = 2
    while len({parts[-number:] for parts in paths}) < len(set(paths)):
        number += 1
    return ['/'.join(parts[-number:]) for parts in paths]


def _check_writable(key: str, path: Path) -> None:
    """Raise a UserError, before the work rather than after it, if a file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise UserError(f'{key}: {path} cannot be written ({error.strerror}): choose another place') from error


def _diagnosed(
    dense: Optional[Tensor],
    aggregate: Optional[Tensor],
    grid: Tuple[int, int],
    geometry: Optional[ViewGeometry],
    num_bins: int,
) -> Dict[str, Any]:
    figures: Dict[str, Any] = {}
    if dense is not None:
        figures.update(dense_figures(dense, grid, geometry, RANK_ROWS))
        figures['densities'] = {'bins': torch.linspace(-1, 1, num_bins + 1, dtype=torch.float64).tolist()}
        histograms = similarity_histograms(_some_positions(dense), num_bins)
        figures['densities'].update({kind: density.tolist() for kind, density in histograms._asdict().items()})
    if aggregate is not None:
        figures.update(global_figures(aggregate))
    return figures


def _some_positions(dense: Tensor) -> Tensor:
    """As many positions of each view as histograms take seconds of, drawn for each view by itself."""
    if dense.shape[1] <= HISTOGRAM_POSITIONS:
        return dense
    order = torch.rand(dense.shape[:2], generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    return dense.gather(1, order[:, :HISTOGRAM_POSITIONS, None].expand(-1, -1, dense.shape[2]))


def _table(title: str, results: Dict[str, Dict[str, Any]]) -> Table:
    rows = [
        [Cell(label), *(_cell(result, key) for result in results.values())]
        for key, label in _ROWS.items()
        if any(key in result for result in results.values())
    ]
    return Table(title, ['', *results], rows)


def _cell(result: Dict[str, Any], key: str) -> Cell:
    if key not in result:
        return Cell(MISSING)
    if 'matches' in key:
        return Cell(f'{100 * result[key]:.1f} %')
    return Cell(f'{result[key]:.1f}' if key.endswith('rank') else f'{result[key]:.3f}')
