import json

import numpy as np
import pytest
from PIL import Image

from mmdclpp.datasets.preparation import draw_objects, write_object_masks
from mmdclpp.datasets.preparation.object_masks import colour_map, encode_mask
from mmdclpp.errors import UserError

coco = pytest.importorskip('pycocotools.mask', reason='draws outlines: pip install pycocotools')

VALUES = {1: 1, 7: 2, 90: 3}


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(category_id, segmentation, **more):
    return dict(id=5, image_id=1, category_id=category_id, segmentation=segmentation, iscrowd=0, **more)


def area(left, top, right, bottom, value, shape=(20, 30)):
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = value
    return mask


def uncompressed(mask):
    """Run lengths of columns one after another, beginning with zeros."""
    flat = mask.flatten(order='F').astype(bool)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], flat]))).tolist()
    return dict(size=list(mask.shape), counts=np.diff([0, *ends, flat.size]).tolist())


def compressed(mask, as_text=True):
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=list(mask.shape), counts=code['counts'].decode() if as_text else code['counts'])


SQUARE = area(4, 5, 12, 15, 1)


@pytest.mark.parametrize(
    'segmentation',
    [
        [rectangle(4, 5, 12, 15)],
        [rectangle(4, 5, 8, 15), rectangle(8, 5, 12, 15)],
        uncompressed(SQUARE),
        compressed(SQUARE),
        compressed(SQUARE, as_text=False),
    ],
    ids=['polygon', 'two polygons', 'uncompressed', 'compressed', 'bytes'],
)
def test_every_kind_of_outline_gives_the_same_pixels(segmentation):
    mask = draw_objects([annotation(7, segmentation)], 20, 30, VALUES)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, SQUARE * 2)


def test_a_triangle_has_half_the_area_of_its_square():
    mask = draw_objects([annotation(1, [[0, 0, 20, 0, 0, 20]])], 20, 30, VALUES)
    assert mask[2, 2] == 1 and mask[18, 18] == 0
    assert mask.sum() == pytest.approx(200, abs=15)


@pytest.mark.parametrize('order', [1, -1])
def test_the_smaller_object_is_on_top_whatever_its_place_in_the_file(order):
    large, small = annotation(90, [rectangle(0, 0, 20, 20)]), annotation(1, [rectangle(5, 5, 9, 9)])
    mask = draw_objects([large, small][::order], 20, 30, VALUES)
    np.testing.assert_array_equal(mask, np.maximum(area(0, 0, 20, 20, 3), 0) - area(5, 5, 9, 9, 2))


def test_size_is_that_of_the_outline_and_not_what_the_file_says():
    large = annotation(90, [rectangle(0, 0, 20, 20)], area=1)
    small = annotation(1, [rectangle(5, 5, 9, 9)], area=1000)
    assert draw_objects([small, large], 20, 30, VALUES)[6, 6] == 1


def test_of_two_objects_of_one_size_the_later_is_on_top():
    both = [annotation(category, [rectangle(2, 2, 8, 8)]) for category in (7, 90)]
    assert draw_objects(both, 20, 30, VALUES).max() == 3
    assert draw_objects(both[::-1], 20, 30, VALUES).max() == 2


@pytest.mark.parametrize('order', [1, -1])
@pytest.mark.parametrize('kind', [dict(iscrowd=1), dict(ignore=1)], ids=['crowd', 'ignored'])
def test_regions_to_ignore_lie_below_objects_however_small(kind, order):
    region = {**annotation(1, uncompressed(area(6, 6, 9, 9, 1))), **kind}
    around = annotation(7, [rectangle(8, 0, 30, 20)])
    mask = draw_objects([region, around][::order], 20, 30, VALUES)
    np.testing.assert_array_equal(mask, np.maximum(area(8, 0, 30, 20, 2), area(6, 6, 8, 9, 255)))


@pytest.mark.parametrize('segmentation', [[], None, {}])
def test_the_box_of_an_annotation_without_outline_is_ignored(segmentation):
    mask = draw_objects([annotation(7, segmentation, bbox=[3.5, 2, 4, 30])], 20, 30, VALUES)
    np.testing.assert_array_equal(mask, area(3, 2, 8, 20, 255))


def test_an_image_without_annotations_is_background():
    assert not draw_objects([], 20, 30, VALUES).any()


@pytest.mark.parametrize(
    'broken, message',
    [
        (annotation(2, [rectangle(0, 0, 5, 5)]), 'category_id 2 is not among the categories'),
        (annotation(1, [[1, 2, 3, 4]]), 'a polygon is not a list of three or more points'),
        (annotation(1, [[1, 2, 3, 4, 5, 6, 7]]), 'a polygon is not a list of three or more points'),
        (annotation(1, [1, 2, 3, 4, 5, 6]), 'a polygon is not a list of three or more points'),
        (annotation(1, compressed(np.ones((30, 20)))), 'its run-length encoding is not one of 20 x 30 pixels'),
        (annotation(1, dict(size=[20, 30], counts=[5, 5])), 'its counts do not add up to 20 x 30 pixels'),
        (annotation(1, []), 'it has neither a segmentation nor a bbox'),
    ],
)
def test_a_malformed_annotation_is_named(broken, message):
    with pytest.raises(UserError, match=f'annotation 5: {message}: repair'):
        draw_objects([broken], 20, 30, VALUES)


def test_colours_are_those_of_voc():
    colours = colour_map()
    assert colours[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_masks_keep_their_values_as_palette_images(tmp_path):
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (tmp_path / 'mask.png').write_bytes(encode_mask(mask))
    with Image.open(tmp_path / 'mask.png') as image:
        assert image.mode == 'P'
        np.testing.assert_array_equal(np.asarray(image), mask)


@pytest.fixture
def own_data(tmp_path):
    content = dict(
        images=[dict(id=i, file_name=f'{folder}/{i}.jpg', height=20, width=30) for i, folder in enumerate('aab')],
        annotations=[{**annotation(90, [rectangle(0, 0, 5, 5)]), 'id': i, 'image_id': i} for i in (0, 2)],
        categories=[dict(id=90, name='z'), dict(id=7, name='b')],
    )

    def write(**changes):
        (tmp_path / 'own.json').write_text(json.dumps({**content, **changes}))
        return tmp_path / 'own.json'

    return write


@pytest.mark.parametrize('workers', [1, 2])
def test_every_image_of_a_file_gets_its_mask_and_values_follow_the_category_ids(own_data, tmp_path, workers):
    assert write_object_masks(own_data(), tmp_path / 'masks', workers) == 3
    for name, value in (('a/0', 2), ('a/1', 0), ('b/2', 2)):
        with Image.open(tmp_path / 'masks' / f'{name}.png') as mask:
            np.testing.assert_array_equal(np.asarray(mask), area(0, 0, 5, 5, value))


def test_masks_that_are_there_are_left_and_missing_ones_drawn(own_data, tmp_path):
    write_object_masks(own_data(), tmp_path, 1)
    (tmp_path / 'a' / '0.png').unlink()
    (tmp_path / 'a' / '1.png').write_bytes(b'mine')
    assert write_object_masks(own_data(), tmp_path, 1) == 1
    assert (tmp_path / 'a' / '0.png').exists()
    assert (tmp_path / 'a' / '1.png').read_bytes() == b'mine'


@pytest.mark.parametrize('workers', [1, 2])
def test_a_malformed_annotation_of_a_file_is_named_by_any_process(own_data, tmp_path, workers):
    path = own_data(annotations=[annotation(90, [[1, 2]])])
    with pytest.raises(UserError, match='annotation 5: a polygon'):
        write_object_masks(path, tmp_path / 'masks', workers)


@pytest.mark.parametrize('name', ['../../evil.jpg', 'a/../../evil.jpg', '/tmp/evil.jpg', '.'])
def test_names_that_lead_out_of_the_folder_are_refused(own_data, tmp_path, name):
    path = own_data(images=[dict(id=1, file_name=name, height=20, width=30)], annotations=[])
    with pytest.raises(UserError, match=f"own.json: file_name '{name}' names no file below"):
        write_object_masks(path, tmp_path / 'masks', 1)


def test_the_folder_of_masks_may_lie_above(own_data, tmp_path, monkeypatch):
    (tmp_path / 'below').mkdir()
    monkeypatch.chdir(tmp_path / 'below')
    assert write_object_masks(own_data(), '../masks', 1) == 3
    assert (tmp_path / 'masks' / 'a' / '0.png').exists()


@pytest.mark.parametrize('other', ['a/0.png', './a/0.jpeg', 'a/0.jpg'])
def test_two_images_with_the_same_mask_are_refused(own_data, tmp_path, other):
    images = [dict(id=i, file_name=name, height=20, width=30) for i, name in enumerate(['a/0.jpg', other])]
    path = own_data(images=images, annotations=[])
    message = rf"own.json: file_name 'a/0.jpg' and '{other}' have the same mask \S+/masks/a/0.png: rename one"
    with pytest.raises(UserError, match=message):
        write_object_masks(path, tmp_path / 'masks', 1)
    assert not (tmp_path / 'masks').exists()


def test_more_categories_than_a_byte_holds_are_refused(own_data, tmp_path):
    path = own_data(categories=[dict(id=i, name=str(i)) for i in range(255)])
    with pytest.raises(UserError, match='own.json has 255 categories: leave at most 254'):
        write_object_masks(path, tmp_path, 1)


def test_without_pycocotools_one_line_says_what_to_install(own_data, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'pycocotools', None)
    with pytest.raises(UserError, match='pip install pycocotools'):
        write_object_masks(own_data(), tmp_path, 1)


@pytest.mark.parametrize(
    'changes',
    [
        dict(segmentation=[['x'] * 6]),
        dict(segmentation=[[float('nan')] * 6]),
        dict(segmentation=[[0, 0, 1e9, 0, 0, 1e9]]),
        dict(segmentation='polygon'),
        dict(segmentation=dict(size=[20, 30], counts=[-600, 1200])),
        dict(segmentation=dict(size=[20, 30], counts='\x7f' * 50)),
        dict(segmentation=dict(size=7, counts='0')),
        dict(segmentation=[], bbox=[0, 0, float('inf'), 1]),
        dict(segmentation=[], bbox='abcd'),
        dict(segmentation=[], bbox=7),
    ],
)
def test_outlines_that_are_none_are_named(own_data, tmp_path, changes):
    path = own_data(annotations=[{**annotation(90, [[0, 0, 5, 0, 5, 5]]), 'id': 5, 'image_id': 0, **changes}])
    with pytest.raises(UserError, match='annotation 5: .*: repair the annotation file, or take it out'):
        write_object_masks(path, tmp_path / 'masks', 1)


def test_an_image_too_large_to_be_one_is_refused(own_data, tmp_path):
    images = [dict(id=i, file_name=f'{i}.jpg', height=10**9, width=10**9) for i in (0, 2)]
    with pytest.raises(UserError, match="'0.jpg' has height 1000000000 and width 1000000000, more than 178,956,970"):
        write_object_masks(own_data(images=images), tmp_path / 'masks', 1)
