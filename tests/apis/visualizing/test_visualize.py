"""Pictures of models on images: what is written, where it comes from, and what cannot be shown."""

import inspect
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdclpp.apis import visualize
from mmdclpp.apis.embedding import PretrainedBackbone
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.apis.visualizing.gallery import nearest_images, nearest_patches, search_gallery
from mmdclpp.apis.visualizing.images import find_images, middle_square, two_views
from mmdclpp.apis.visualizing.job import Job, Options, slugs
from mmdclpp.apis.visualizing.kinds import pairs_of
from mmdclpp.apis.visualizing.planar import planar
from mmdclpp.apis.visualizing.visualize import default_pairs
from mmdclpp.errors import UserError

CONFIG = """
default_scope = 'mmdclpp'
model = dict(
    type='DenseCLPlusPlus',
    data_preprocessor=dict(mean=[128] * 3, std=[64] * 3, to_rgb=True),
    backbone={backbone},
    neck=dict(aggregate='gap'),
)
"""
VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=24),
    img_size=32,
    patch_size=8,
)
RESNET = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)


@pytest.fixture
def config(tmp_path):
    """Write a config with a backbone."""

    def write(backbone=VIT):
        path = tmp_path / 'config.py'
        path.write_text(CONFIG.format(backbone=backbone))
        return path

    return write


@pytest.fixture
def images(tiny_coco):
    """Eight images."""
    return sorted((tiny_coco / 'images').rglob('*.jpg'))


@pytest.fixture
def model(config) -> PretrainedBackbone:
    return PretrainedBackbone(read_sources(['random'], config=str(config()))[0], 'cpu')


def linked(index) -> set:
    return set(re.findall(r'(?:href|src)="([^"#]+)"', index.read_text()))


# What is written.


@pytest.mark.slow
def test_all_that_can_be_shown_of_a_folder_is_and_the_index_links_it(config, tiny_coco, tmp_path, capsys):
    options = dict(config=config(), num_shown=2, num_neighbours=2, num_clusters=3)
    files = visualize(['random', 'random:1'], tiny_coco / 'images', out_dir=tmp_path / 'out', **options)
    names = {
        *('index.html', 'matches.html', 'pca.png', 'kmeans.png', 'attention.png', 'tsne.png'),
        *('neighbours.png', 'neighbours_patches.png'),
        *(f'{kind}_random_seed_{seed}.png' for kind in ('matches', 'attention') for seed in (0, 1)),
    }
    assert {file.name for file in files} == {file.name for file in (tmp_path / 'out').iterdir()} == names
    assert linked(files[0]) == names - {'index.html'} and files[0].name == 'index.html'
    assert f'{len(names)} files written; open {files[0]}' in capsys.readouterr().out


def test_only_what_was_asked_for_is_written_to_a_folder_of_the_models_name(config, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = visualize('random', images[0], show=['pca'], config=config(), names=['my model'])
    folder = tmp_path / 'work_dirs/visualizations/vit_24_1_8'
    assert [file.resolve() for file in files] == [folder / 'index.html', folder / 'pca.png']
    assert 'my model' in files[0].read_text()


def test_what_a_model_or_few_images_do_not_allow_is_left_out_with_a_word(config, images, tmp_path, capsys):
    files = visualize('random', images[0], config=config(RESNET), out_dir=tmp_path / 'out', size=96)
    names = {file.name for file in files}
    assert names == {'index.html', 'matches.html', 'matches_random.png', 'pca.png', 'kmeans.png'}
    assert linked(files[0]) == names - {'index.html'}
    for told in (capsys.readouterr().out, files[0].read_text()):
        assert 'attention: ResNet has no class token' in told
        assert 'embedding: needs 5 images, not 1' in told and 'neighbours: needs 2 images, not 1' in told


def test_no_model_overwrites_the_pictures_of_another(config, images, tmp_path):
    arguments = dict(show=['attention'], config=config(), out_dir=tmp_path / 'out', size=16)
    files = visualize(['random', 'random:1'], images[0], names=['run-1', 'run_1'], **arguments)
    names = {'index.html', 'attention.png', 'attention_run_1.png', 'attention_run_1_2.png'}
    assert len(files) == 4 and {file.name for file in (tmp_path / 'out').iterdir()} == names == {
        *linked(files[0]),
        'index.html',
    }


def test_names_of_files_are_told_apart_by_numbers():
    assert slugs(['a b', 'a-b', 'a b 2', 'c']) == {'a b': 'a_b', 'a-b': 'a_b_2', 'a b 2': 'a_b_2_2', 'c': 'c'}


def test_a_place_without_images_is_named(tmp_path):
    (tmp_path / 'list.txt').write_text('')
    for place, message in ((tmp_path, 'holds no image'), (tmp_path / 'list.txt', 'lists no image')):
        with pytest.raises(UserError, match=f'images: {place} {message}') as error:
            find_images([place], 5, 0)
        assert 'data_root' not in str(error.value)


def job(model, paths, num_shown=9, **options) -> Job:
    given = dict(size=None, pairs='views', num_clusters=6, num_neighbours=5, embedding='tsne', seed=0)
    return Job({'a': model}, paths, num_shown, Path('out'), Options(**(given | options)))


@pytest.mark.parametrize(('size', 'grid'), [(None, (8, 8)), (48, (6, 6)), (100, (12, 12))])
def test_features_are_computed_at_any_size(model, images, size, grid):
    """By default at twice that of pretraining, 32 px; sides are rounded to whole patches, of 8 px."""
    positions, grids = job(model, images[:2], size=size).dense
    assert grids == {'a': grid} and positions['a'].shape == (2, grid[0] * grid[1], 24)
    side = 8 * grid[0]
    expected = model(model.preprocess(images[1], side)).positions[0]  # a square, of which nothing is cut off
    torch.testing.assert_close(positions['a'][1], expected, atol=1e-5, rtol=1e-4)


# Images and views.


@pytest.mark.parametrize(
    ('number', 'pairs', 'titles'),
    [
        (2, 'images', ['0.jpg and 2.jpg']),
        (5, 'images', ['0.jpg and 2.jpg', '4.jpg and 6.jpg']),
        (2, 'views', ['two views of 0.jpg', 'two views of 2.jpg']),
    ],
)
def test_pairs_are_neighbouring_images_or_two_views_of_each(model, images, number, pairs, titles):
    views, found, places = pairs_of(job(model, images, number, pairs=pairs))
    assert found == titles and len(views) == 2 * len(titles) == 2 * len(places)
    assert all((place is None) == (pairs == 'images') for place in places)


def test_two_images_are_matched_with_each_other_unless_asked_otherwise(tiny_coco, images):
    assert default_pairs(images[:2]) == 'images'
    for other in (images[:1], images[:3], [images[0], tiny_coco / 'images']):
        assert default_pairs(other) == 'views'


def test_files_come_first_and_folders_are_drawn_from_by_the_seed(tiny_coco, images, tmp_path):
    folder, listed = tiny_coco / 'images', tmp_path / 'list.txt'
    listed.write_text(f'{images[3]}\n{images[1]}\n')
    assert find_images([images[5], folder, images[2]], 9, 0)[:2] == [images[5], images[2]]
    first, again, other = (find_images([folder], 5, seed) for seed in (0, 0, 1))
    assert first == again != other and len(set(first)) == 5
    assert sorted(find_images([listed, images[1]], 9, 0)) == [images[1], images[3]]


def test_views_are_crops_that_lie_where_they_are_said_to_and_overlap():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    for seed in range(20):
        views, places = two_views(Image.fromarray(pixels), (seed, 0))
        crops = [pixels[y0:y1, x0:x1] for (x0, y0, x1, y1), _ in places]
        assert [place.flip for place in places] == [False, True]
        assert (np.array(views[0]) == crops[0]).all() and (np.array(views[1]) == crops[1][:, ::-1]).all()
        low, high = np.max([box[:2] for box, _ in places], axis=0), np.min([box[2:] for box, _ in places], axis=0)
        assert (high > low).all()


def test_the_middle_square_is_as_high_or_wide_as_the_image():
    image = Image.fromarray(np.arange(70, dtype=np.uint8)[None].repeat(20, axis=0))
    assert np.array(middle_square(image))[0].tolist() == list(range(25, 45))


# Neighbours and maps.


def test_neighbours_are_those_of_brute_force(model, images):
    gallery = search_gallery(model, images, 3, 'gallery')
    maps, means = [], []
    for path in images:
        positions = model(model.preprocess(path)).positions[0].detach().double()
        maps.append(torch.nn.functional.normalize(positions, dim=1))
        means.append(torch.nn.functional.normalize(positions.mean(dim=0), dim=0))
    whole, patches = nearest_images(gallery, 3, 4), nearest_patches(gallery, 4)
    for query in range(3):
        by_image = [float(means[query] @ mean) if index != query else -2 for index, mean in enumerate(means)]
        by_patch = [  # row 2, column 2 of 4 × 4 is the middle one
            float((grid @ maps[query][10]).max()) if index != query else -2 for index, grid in enumerate(maps)
        ]
        for found, similarity in ((whole, by_image), (patches, by_patch)):
            expected = np.argsort(similarity)[::-1][:4]
            assert found.index[query].tolist() == expected.tolist()
            np.testing.assert_allclose(found.similarity[query], np.array(similarity)[expected], atol=1e-5)
        row, column = divmod(int((maps[patches.index[query, 0]] @ maps[query][10]).argmax()), 4)
        assert patches.boxes[query, 0].tolist() == [column / 4, row / 4, (column + 1) / 4, (row + 1) / 4]
    assert gallery.query_box.tolist() == [0.5, 0.5, 0.75, 0.75]


def test_neighbours_are_no_more_than_there_are_other_images(model, images):
    gallery = search_gallery(model, images[:3], 2, 'gallery')
    assert nearest_images(gallery, 2, 9).index.shape == nearest_patches(gallery, 9).index.shape == (2, 2)


@pytest.mark.parametrize('method', ['tsne', pytest.param('umap', marks=pytest.mark.slow)])
def test_a_map_keeps_groups_apart_whatever_the_lengths_of_features(method):
    pytest.importorskip({'tsne': 'sklearn', 'umap': 'umap'}[method], reason='needs requirements/visualize.txt')
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(2).repeat_interleave(15)
    features = torch.eye(2, 6)[groups] + 0.05 * torch.randn(30, 6, generator=generator)
    points = torch.from_numpy(planar(features * torch.linspace(0.1, 20, 30)[:, None], method, 0)).double()
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    assert (groups[distances.argmin(dim=1)] == groups).all()


# Mistakes.


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(images='nowhere.jpg'), r'images: nowhere.jpg does not exist: give image files or a folder'),
        (dict(images=[]), 'images: none given'),
        (dict(show=['tsne']), "show='tsne' is unknown: use some of matches, pca, kmeans, attention, embedding"),
        (dict(pairs='crops'), "pairs='crops' is unknown: use one of views, images"),
        (dict(num_shown=0), 'num_shown=0 must be 1 or more'),
        (dict(size=-8), 'size=-8 must be 1 or more'),
        (dict(show=['attention'], backbone=RESNET), 'attention: ResNet has no class token'),
        (dict(show=['neighbours'], number=1), 'neighbours: needs 2 images, not 1: give more'),
        (dict(show=['embedding'], number=4), 'embedding: needs 5 images, not 4: give more'),
        (dict(show=['embedding'], embedding='pacmap'), "embedding='pacmap' is unknown: use one of tsne, umap"),
        (dict(show=['matches'], pairs='images', number=1), 'matches: pairs=images needs two images'),
        (dict(show=['kmeans'], num_clusters=99), 'num_clusters=99'),
        (dict(models=['random', 'random:1'], names=['a', 'a']), 'names: a, a: give each model a name of its own'),
        (dict(size=0), 'size=0 must be 1 or more'),
        (dict(size=8), 'size=8: random sees a single patch'),
        (dict(seed=-1), 'seed=-1 must be 0'),
        (dict(num_clusters=19), 'num_clusters=19: give 2 to 18'),
        (dict(num_clusters=1), 'num_clusters=1: give 2 to 18'),
        (dict(show=['kmeans'], num_clusters=5, number=1, size=16), 'num_clusters=5, but random has 4 positions'),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(config, images, tmp_path, change, message):
    change = dict(change)
    arguments = dict(
        models=['random'],
        images=images[: change.pop('number', 8)],
        config=config(change.pop('backbone', VIT)),
        out_dir=tmp_path / 'out',
        show=['pca'],
    )
    with pytest.raises(UserError, match=message) as error:
        visualize(**(arguments | change))
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'out').exists()


def test_a_broken_image_is_no_reason_to_leave_a_kind_out(config, tmp_path):
    path = tmp_path / 'broken.jpg'
    path.write_bytes(b'\xff\xd8 no image')
    with pytest.raises(UserError, match='broken.jpg'):
        visualize('random', path, config=config(), out_dir=tmp_path / 'out')


def test_a_map_without_its_package_names_the_remedy(config, images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', None)
    with pytest.raises(UserError, match=re.escape('t-SNE needs scikit-learn: pip install "mmdclpp[visualize]"')):
        visualize('random', images, show=['embedding'], config=config(), out_dir=tmp_path / 'out')


def test_the_tool_has_a_flag_for_every_argument_with_the_same_default(repo, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['visualize.py', 'random', '--images', 'a.jpg'])
    arguments = vars(runpy.run_path(str(repo / 'tools/visualize.py'))['parse_args']())
    assert arguments.pop('models') == ['random'] and arguments.pop('images') == ['a.jpg']
    parameters = inspect.signature(visualize).parameters.values()
    assert arguments == {each.name: each.default for each in parameters if each.default is not each.empty}


def test_images_may_stand_behind_the_checkpoints(repo, monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr('mmdclpp.apis.visualize', lambda **arguments: given.update(arguments), raising=False)
    words = ['random:1', 'run/epoch_10.pth', 'model.safetensors', str(tmp_path), 'a.JPG', 'list.txt']
    monkeypatch.setattr(sys, 'argv', ['visualize.py', *words, '--images', 'b.png'])
    runpy.run_path(str(repo / 'tools/visualize.py'))['main']()
    assert given['models'] == words[:3] and given['images'] == [*words[3:], 'b.png']


@pytest.mark.slow
def test_the_tool_writes_files_and_ends_in_a_line_on_mistakes(run, config, images, tmp_path):
    arguments = ('--config', config(), '--show', 'pca', '--out-dir', 'out', '--names', 'mine', '--size', '64')
    done = run('tools/visualize.py', 'random', '--images', *images[:2], *arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'out' / 'pca.png').is_file() and 'open out/index.html' in done.stdout
    failed = run('tools/visualize.py', 'random', '--images', 'none.jpg', *arguments)
    assert failed.returncode == 2 and failed.stderr.splitlines()[-1].startswith('error: images: none.jpg does not')
