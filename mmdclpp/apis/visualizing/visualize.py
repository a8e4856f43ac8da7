"""Pictures and pages of what pretrained models make of images."""

import struct
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import torch
from mmengine.device import get_device
from rich.console import Console

from mmdclpp.apis.diagnosis.diagnose import default_names
from mmdclpp.apis.embedding import PretrainedBackbone
from mmdclpp.apis.sources.model_source import ModelSource
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.apis.visualizing.images import find_images
from mmdclpp.apis.visualizing.job import File, Job, Options, slug
from mmdclpp.apis.visualizing.kinds import BLANK, KINDS
from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, write_whole
from mmdclpp.visualization.clusters import MOST_CLUSTERS
from mmdclpp.visualization.pages import render
from mmdclpp.visualization.style import DPI

PAIRS = ('views', 'images')
_DOTS = DPI / 96  # of a picture a CSS pixel


def visualize(
    models: Union[PathLike, Sequence[PathLike]],
    images: Union[PathLike, Sequence[PathLike]],
    show: Optional[Sequence[str]] = None,
    out_dir: Optional[PathLike] = None,
    size: Optional[int] = None,
    pairs: Optional[str] = None,
    num_images: int = 300,
    num_shown: int = 6,
    num_clusters: int = 6,
    num_neighbours: int = 5,
    embedding: str = 'tsne',
    seed: int = 0,
    names: Optional[Sequence[str]] = None,
    backbone: Optional[str] = None,
    config: Optional[PathLike] = None,
) -> List[Path]:
    """Show what one model or several side by side make of images, as PNG files and an interactive page.

    Args:
        models (str, PathLike or a sequence): Checkpoints, or ``'random'``; see
            :func:`~mmdclpp.apis.sources.read_sources.read_sources`.
        images (str, PathLike or a sequence): Image files, folders of images, text files with one path a line.
        show (Sequence[str], optional): Of ``matches``, ``pca``, ``kmeans``, ``attention``, ``embedding`` and
            ``neighbours``. Defaults to None, all that the models and images allow.
        out_dir (str or PathLike, optional): Defaults to None, ``work_dirs/visualizations/`` and the models' names.
        size (int, optional): Side of the input of dense features, in px, rounded to whole patches. Defaults to None,
            twice that of pretraining.
        pairs (str, optional): What is matched: ``'views'``, two random crops of each image, or ``'images'``, the
            first with the second, the third with the fourth. Defaults to None: two image files that are all that is
            given are matched with each other, else views.
        num_images (int): So many images at most, for the map of images and as neighbours. Defaults to 300.
        num_shown (int): So many of them are shown in all other pictures. Defaults to 6.
        num_clusters (int): Of k-means, 2 to 18. Defaults to 6.
        num_neighbours (int): Neighbours an image. Defaults to 5.
        embedding (str): How the map of images is made, ``'tsne'`` or ``'umap'``. Defaults to 'tsne'.
        seed (int): Decides which images of a folder, views, clusters and maps. Defaults to 0.
        names (Sequence[str], optional): What to call the models, one each. Defaults to None, after their methods, or
            their files where these are the same.
        backbone, config: See :func:`~mmdclpp.apis.sources.read_sources.read_sources`. Default to None.

    Returns:
        List[Path]: The files, ``index.html``, which links the others, first.

    Raises:
        UserError: If a model or image cannot be read, or what was asked for in ``show`` cannot be shown: attention of
            a CNN, neighbours of a single image, a map without scikit-learn or umap-learn.
    """
    models, images = _as_list(models), _as_list(images)
    positive = dict(num_images=num_images, num_shown=num_shown, num_neighbours=num_neighbours)
    _check(show, pairs, num_clusters, seed, **(positive if size is None else dict(positive, size=size)))
    paths = find_images(images, num_images, seed)
    sources = read_sources(list(map(str, models)), backbone, None if config is None else str(config), names)
    named = dict(zip(_distinct(_names(sources) if names is None else names), sources))
    options = Options(size, pairs or default_pairs(images), num_clusters, num_neighbours, embedding, seed)
    device = get_device()
    job = Job(
        models={name: PretrainedBackbone(source, device) for name, source in named.items()},
        paths=paths,
        num_shown=num_shown,
        folder=Path(out_dir) if out_dir is not None else _default_folder(sources, models),
        options=options,
    )
    for name, model in job.models.items():
        _check_input(name, model, job.size(model))
    return _draw(job, show)


def default_pairs(images: Sequence[PathLike]) -> str:
    """What is matched if the user does not say."""
    two_files = len(images) == 2 and all(Path(image).is_file() and Path(image).suffix != '.txt' for image in images)
    return 'images' if two_files else 'views'


def _draw(job: Job, show: Optional[Sequence[str]]) -> List[Path]:
    console = Console()
    left_out: Dict[str, str] = {}
    kinds = list(KINDS if show is None else dict.fromkeys(show))
    for kind in kinds:
        try:
            if len(job.paths) < KINDS[kind].fewest:
                raise UserError(f'{kind}: needs {KINDS[kind].fewest} images, not {len(job.paths)}: give more')
            KINDS[kind].check(job)
        except UserError as error:
            if show is not None:
                raise
            left_out[kind] = str(error)
            console.print(f'left out: {error}', markup=False, highlight=False, soft_wrap=True)
    sections = {kind: KINDS[kind].draw(job) for kind in kinds if kind not in left_out}
    index = write_whole(job.folder / 'index.html', _index(job, sections, list(left_out.values())))
    files = [index, *(file.path for files in sections.values() for file in files)]
    console.print(f'{len(files)} files written; open {index}', markup=False, highlight=False, soft_wrap=True)
    return files


def _index(job: Job, sections: Dict[str, List[File]], left_out: Sequence[str]) -> str:
    return render(
        'index.html.jinja',
        title=' · '.join(job.models),
        lead=f'{len(job.paths)} images, {len(job.shown)} of them shown; seed {job.options.seed}.',
        models=[
            dict(name=name, arch=model.source.arch, size=job.size(model), weights=model.source.checkpoint or 'random')
            for name, model in job.models.items()
        ],
        sections=[
            dict(
                kind=kind,
                title=KINDS[kind].title,
                text=KINDS[kind].text,
                files=[dict(name=file.path.name, caption=file.caption, width=_width(file.path)) for file in files],
            )
            for kind, files in sections.items()
        ],
        left_out=left_out,
    )


def _width(path: Path) -> int:
    """Of a picture in CSS pixels; 0 of a page."""
    if path.suffix != '.png':
        return 0
    with path.open('rb') as file:
        return round(struct.unpack('>I', file.read(20)[16:])[0] / _DOTS)  # PNG's first chunk begins with it


@torch.no_grad()
def _check_input(name: str, model: PretrainedBackbone, size: int) -> None:
    """Raise a UserError if a model does not take images of a size, as some of timm's do not, or sees one patch."""
    try:
        grid = model(model.preprocess(BLANK, size)).grid
    except AssertionError as error:
        raise UserError(f'size={size}: {name} does not take it ({error}): give {model.source.image_size}') from error
    if min(grid) < 2:
        raise UserError(f'size={size}: {name} sees a single patch: give a larger one')


def _check(show: Optional[Sequence[str]], pairs: Optional[str], num_clusters: int, seed: int, **positive: int) -> None:
    for kind in show or ():
        if kind not in KINDS:
            raise UserError(f'show={kind!r} is unknown: use some of {", ".join(KINDS)}')
    if pairs not in (None, *PAIRS):
        raise UserError(f'pairs={pairs!r} is unknown: use one of {", ".join(PAIRS)}')
    for key, value in positive.items():
        if value < 1:
            raise UserError(f'{key}={value} must be 1 or more')
    if not 2 <= num_clusters <= MOST_CLUSTERS:
        raise UserError(f'num_clusters={num_clusters}: give 2 to {MOST_CLUSTERS}')
    if not 0 <= seed < 2**32:
        raise UserError(f'seed={seed} must be 0 to 2**32 - 1')


def _names(sources: Sequence[ModelSource]) -> List[str]:
    """After their methods; where these are the same, after their files."""
    names = [source.name for source in sources]
    if len(set(names)) == len(names):
        return names
    files = iter(default_names([source.checkpoint for source in sources if source.checkpoint]))
    return [next(files) if source.checkpoint else f'random, seed {source.seed}' for source in sources]


def _distinct(names: Sequence[str]) -> Sequence[str]:
    if len(set(names)) < len(names):
        raise UserError(f'names: {", ".join(names)}: give each model a name of its own')
    return names


def _default_folder(sources: Sequence[ModelSource], models: Sequence[PathLike]) -> Path:
    files = [source.checkpoint for source in sources if source.checkpoint]
    parts = [slug(name) for name in (default_names(files) if files else [sources[0].arch])]
    return Path('work_dirs/visualizations', '-'.join(parts)[:120])


def _as_list(values: Union[PathLike, Sequence[PathLike]]) -> List[PathLike]:
    return [values] if isinstance(values, (str, Path)) else list(values)
