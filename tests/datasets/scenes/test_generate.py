import hashlib
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdclpp.datasets.scenes import CLASSES, PALETTE, generate, generate_scenes
from mmdclpp.errors import UserError

SMALL = dict(num_train=12, num_val=5, size=48, progress=False)


def digest(root):
    """Content of every file below ``root``."""
    return {str(p.relative_to(root)): hashlib.md5(p.read_bytes()).hexdigest() for p in root.rglob('*') if p.is_file()}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return generate_scenes(tmp_path_factory.mktemp('scenes') / 'new' / 'folder', workers=1, **SMALL)


def annotations(root, split):
    return json.loads((root / 'annotations' / f'instances_{split}.json').read_text())


def test_the_same_arguments_give_the_same_bytes_whatever_the_number_of_workers(root, tmp_path):
    assert digest(generate_scenes(tmp_path, workers=2, **SMALL)) == digest(root)


def test_another_seed_gives_other_images(root, tmp_path):
    other = digest(generate_scenes(tmp_path, seed=1, workers=1, **SMALL))
    same = digest(root)
    assert other.keys() == same.keys()
    assert all(other[name] != same[name] for name in same if name.startswith('images/'))


def test_more_images_leave_the_first_ones_as_they_are(root, tmp_path):
    more = digest(generate_scenes(tmp_path, workers=1, **dict(SMALL, num_train=15)))
    same = digest(root)
    assert all(more[name] == same[name] for name in same if name.startswith('images/'))
    assert len(set(more) - set(same)) == 6  # three images and masks


def test_no_image_is_repeated_within_or_across_the_splits(root):
    images = [content for name, content in digest(root).items() if name.startswith('images/')]
    assert len(images) == len(set(images)) == 17


@pytest.mark.parametrize('split, count', [('train', 12), ('val', 5)])
def test_boxes_areas_and_classes_are_those_of_the_masks(root, split, count):
    coco = annotations(root, split)
    assert [category['name'] for category in coco['categories']] == list(CLASSES)
    assert [category['id'] for category in coco['categories']] == list(range(1, len(CLASSES) + 1))
    assert len(coco['images']) == len(list((root / 'images' / split).iterdir())) == count
    assert len({annotation['id'] for annotation in coco['annotations']}) == len(coco['annotations'])
    for image in coco['images']:
        assert cv2.imread(str(root / 'images' / split / image['file_name'])).shape == (48, 48, 3)
        mask = np.array(Image.open((root / 'masks' / split / image['file_name']).with_suffix('.png')))
        objects = [found for found in coco['annotations'] if found['image_id'] == image['id']]
        assert 1 <= len(objects) <= 4
        assert {found['category_id'] for found in objects} == set(np.unique(mask)) - {0}
        for category in {found['category_id'] for found in objects}:
            same = [found for found in objects if found['category_id'] == category]
            assert sum(found['area'] for found in same) == (mask == category).sum()
            covered = np.zeros_like(mask)
            for left, top, width, height in (found['bbox'] for found in same):
                covered[top : top + height, left : left + width] = 1
            assert covered[mask == category].all()
            if len(same) == 1:
                rows, columns = np.nonzero(mask == category)
                left, top, width, height = same[0]['bbox']
                assert (left, top) == (columns.min(), rows.min())
                assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)


def test_masks_carry_the_palette(root):
    mask = Image.open(root / 'masks' / 'train' / '000000.png')
    assert mask.mode == 'P' and mask.size == (48, 48)
    assert mask.getpalette()[: 3 * len(PALETTE)] == [value for colour in PALETTE for value in colour]


def test_a_finished_set_is_reused_untouched(root, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    monkeypatch.setattr(generate, 'draw_scene', None)
    assert generate_scenes(root, workers=1, **SMALL) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == before


def test_an_interrupted_run_is_made_anew(root, tmp_path, monkeypatch):
    def interrupted(*args):
        if args[1:] == ('val', 48, 0, 2):
            raise KeyboardInterrupt
        return write(*args)

    write = generate._write_scene
    monkeypatch.setattr(generate, '_write_scene', interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_scenes(tmp_path, workers=1, **SMALL)
    monkeypatch.undo()
    assert digest(tmp_path).keys() < digest(root).keys()
    assert digest(generate_scenes(tmp_path, workers=1, **SMALL)) == digest(root)


def test_other_arguments_replace_the_set_without_leftovers(root, tmp_path):
    generate_scenes(tmp_path, workers=1, **dict(SMALL, num_train=14, num_val=6))
    assert digest(generate_scenes(tmp_path, workers=1, **SMALL)) == digest(root)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'mine.jpg').write_bytes(b'precious')
    with pytest.raises(UserError, match=f'{tmp_path} holds other files.*choose a new or empty folder'):
        generate_scenes(tmp_path, **SMALL)
    assert (tmp_path / 'images' / 'mine.jpg').read_bytes() == b'precious'


@pytest.mark.parametrize(
    'name, value', [('num_train', 0), ('num_val', -1), ('size', 16), ('seed', -1), ('workers', -1)]
)
def test_arguments_out_of_range_are_named(tmp_path, name, value):
    with pytest.raises(UserError, match=f'{name}={value} .*use at least'):
        generate_scenes(tmp_path / 'new', **{**SMALL, name: value})
    assert not (tmp_path / 'new').exists()
