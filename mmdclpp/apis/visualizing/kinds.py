"""The kinds of pictures: each is made from a job, and gives the files it wrote."""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from PIL import Image

from mmdclpp.apis.visualizing.gallery import nearest_images, nearest_patches
from mmdclpp.apis.visualizing.images import displayed, two_views
from mmdclpp.apis.visualizing.job import File, Job
from mmdclpp.apis.visualizing.planar import FEWEST, TITLES, check_method, planar
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.attention import class_attention
from mmdclpp.visualization.attention import attention_heads, attention_maps
from mmdclpp.visualization.clusters import feature_clusters
from mmdclpp.visualization.components import feature_pca
from mmdclpp.visualization.match_page import DensePairs, Pair, Place, match_page
from mmdclpp.visualization.matches import correspondences
from mmdclpp.visualization.neighbours import neighbour_rows
from mmdclpp.visualization.thumbnails import thumbnail_chart

# Any image, to try a model with.
BLANK = np.zeros((1, 1), np.uint8)


class Kind(NamedTuple):
    """A kind of pictures.

    Attributes:
        title (str): Heading.
        text (str): What is seen, in a sentence or two.
        draw (Callable[[Job], List[File]]): Makes them.
        check (Callable[[Job], None]): Raises a UserError if the models or packages do not allow it. Defaults to all
            being well.
        fewest (int): Images that it needs. Defaults to 1.
    """

    title: str
    text: str
    draw: Callable[[Job], List[File]]
    check: Callable[[Job], None] = lambda job: None
    fewest: int = 1


def pairs_of(job: Job) -> Tuple[List[Image.Image], List[str], List[Optional[Tuple[Place, Place]]]]:
    """What is matched: the images of all pairs, first and second in turn; the pairs' titles; where two views lie.

    Raises:
        UserError: If there is no pair.
    """
    if job.options.pairs == 'views':
        made = [two_views(square, (job.options.seed, index)) for index, square in enumerate(job.squares)]
        views = [view for pair, _ in made for view in pair]
        return views, [f'two views of {path.name}' for path in job.shown], [places for _, places in made]
    if len(job.shown) < 2:
        raise UserError('matches: pairs=images needs two images: give another, or use pairs=views')
    titles = [f'{one.name} and {other.name}' for one, other in zip(job.shown[::2], job.shown[1::2])]
    return job.squares[: 2 * len(titles)], titles, [None] * len(titles)


def _matches(job: Job) -> List[File]:
    views, titles, places = pairs_of(job)
    positions, grids = job.dense_of(views)
    pictures = [displayed(view) for view in views]
    pairs = [Pair(title, pair, where) for title, pair, where in zip(titles, zip(pictures[::2], pictures[1::2]), places)]
    models = {name: DensePairs(dense[::2], dense[1::2], grids[name]) for name, dense in positions.items()}
    page = match_page(pairs, models, job.folder / 'matches.html')
    files = [File(page, 'Explore the matches')]
    for name, dense in models.items():
        path = job.folder / f'matches_{job.slugs[name]}.png'
        correspondences(pictures[::2], pictures[1::2], dense.first, dense.second, dense.grid, path, num_lines=12)
        files.append(File(path, f'{name}: the most confident matches'))
    return files


def _pca(job: Job) -> List[File]:
    path = feature_pca(job.pictures, *job.dense, job.folder / 'pca.png')
    return [File(path, 'First three principal components as red, green and blue')]


def _kmeans(job: Job) -> List[File]:
    path = job.folder / 'kmeans.png'
    feature_clusters(job.pictures, *job.dense, path, job.options.num_clusters, job.options.seed)
    return [File(path, f'{job.options.num_clusters} clusters of the positions of all images')]


def _check_clusters(job: Job) -> None:
    for name, model in job.models.items():
        positions = len(job.shown) * model(model.preprocess(BLANK, job.size(model))).positions.shape[1]
        if job.options.num_clusters > positions:
            raise UserError(
                f'kmeans: num_clusters={job.options.num_clusters}, but {name} has {positions} positions in the images '
                'that are shown: give fewer clusters, or a larger size'
            )


def _check_attention(job: Job) -> None:
    for model in job.models.values():
        class_attention(model.backbone, model.preprocess(BLANK, job.size(model)))


def _attention(job: Job) -> List[File]:
    weights, grids = {}, {}
    for name, model in job.models.items():
        found = [class_attention(model.backbone, model.preprocess(square, job.size(model))) for square in job.squares]
        weights[name], grids[name] = torch.cat([each.positions.cpu() for each in found]), found[0].grid
    files = [File(attention_maps(job.pictures, weights, grids, job.folder / 'attention.png'), 'Mean of the heads')]
    for name in job.models:
        path = job.folder / f'attention_{job.slugs[name]}.png'
        files.append(File(attention_heads(job.pictures, weights[name], grids[name], path), f'{name}: each head'))
    return files


def _embedding(job: Job) -> List[File]:
    method = job.options.embedding
    points = {name: planar(found.global_, method, job.options.seed) for name, found in job.galleries.items()}
    thumbnails = [job.thumbnail(index) for index in range(len(job.paths))]
    path = thumbnail_chart(points, thumbnails, job.folder / f'{method}.png')
    return [File(path, f'{TITLES[method]} of the global features of {len(thumbnails)} images')]


def _neighbours(job: Job) -> List[File]:
    galleries, k = job.galleries, job.options.num_neighbours
    queries = len(job.shown)
    shown = [job.thumbnail(index) for index in range(queries)]
    whole = {name: nearest_images(gallery, queries, k) for name, gallery in galleries.items()}
    patches = {name: nearest_patches(gallery, k) for name, gallery in galleries.items()}
    boxes = {name: gallery.query_box[None].repeat(queries, axis=0) for name, gallery in galleries.items()}
    found = {int(index) for table in (whole, patches) for each in table.values() for index in each.index.flat}
    images = {index: job.thumbnail(index) for index in found}
    return [
        File(
            neighbour_rows(shown, whole, images, job.folder / 'neighbours.png'),
            f'Nearest of {len(job.paths)} images, by global features',
        ),
        File(
            neighbour_rows(shown, patches, images, job.folder / 'neighbours_patches.png', boxes),
            'Images with the patch that is most similar to the middle patch of the query',
        ),
    ]


KINDS: Dict[str, Kind] = {
    'matches': Kind(
        'Dense matches', 'Where each patch of one view finds its most similar patch in the other.', _matches
    ),
    'pca': Kind(
        'Principal components', 'Equal colours mean similar features; each model has components of its own.', _pca
    ),
    'kmeans': Kind(
        'Clusters',
        'K-means of dense features: what a model holds to be alike, across images.',
        _kmeans,
        _check_clusters,
    ),
    'attention': Kind(
        'Attention',
        'Where the class token looks in the last layer. In a model that was pretrained with aggregate '
        "'gap' nothing has trained it to look anywhere.",
        _attention,
        _check_attention,
    ),
    'embedding': Kind(
        'Map of images',
        'Images with similar global features lie close together.',
        _embedding,
        lambda job: check_method(job.options.embedding),
        FEWEST,
    ),
    'neighbours': Kind(
        'Nearest neighbours',
        'What a model finds most similar, by the whole image and by one patch.',
        _neighbours,
        fewest=2,
    ),
}
