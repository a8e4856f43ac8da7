import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset
from PIL import Image

from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS

REAL = Path(__file__).parents[3] / 'shared' / 'data'
CAT, BIRD, DOG = 2, 4, 7
PLAIN, CROWD, DIFFICULT = {}, dict(iscrowd=1), dict(ignore=1)


def content(*annotations, images=('a.png', 'b.png')):
    """A COCO file with images 10, 11, ...; annotations as (image_id, category_id, flags)."""
    return dict(
        images=[dict(id=10 + n, file_name=name) for n, name in enumerate(images)],
        annotations=[dict(image_id=image, category_id=category, **flags) for image, category, flags in annotations],
        categories=[dict(id=DOG, name='dog'), dict(id=CAT, name='cat'), dict(id=BIRD, name='bird')],
    )


@pytest.fixture
def build(tmp_path):
    """Write a COCO file and two images, and build the data set on them."""
    (tmp_path / 'images').mkdir()
    for name in ('a.png', 'b.png'):
        Image.new('RGB', (8, 6)).save(tmp_path / 'images' / name)

    def build(text, **kwargs):
        text = json.dumps(text) if isinstance(text, dict) else text
        (tmp_path / 'instances.json').write_bytes(text if isinstance(text, bytes) else text.encode())
        config = dict(
            type='CocoMultiLabel', data_root=str(tmp_path), ann_file='instances.json', data_prefix='images', **kwargs
        )
        return DATASETS.build(config)

    return build


def scores(dataset):
    return [dataset.get_data_info(i)['gt_score'].tolist() for i in range(len(dataset))]


def test_a_class_is_positive_where_it_is_annotated_and_classes_are_in_order_of_id(build):
    dataset = build(content((10, DOG, PLAIN), (10, DOG, PLAIN), (10, CAT, PLAIN), (11, BIRD, PLAIN)))
    assert dataset.metainfo['classes'] == ('cat', 'bird', 'dog')
    assert scores(dataset) == [[1, 0, 1], [0, 1, 0]]
    assert [dataset.get_cat_ids(i) for i in range(2)] == [[0, 2], [1]]


def test_images_without_annotations_are_kept_as_all_negative(build):
    dataset = build(content())
    assert scores(dataset) == [[0, 0, 0], [0, 0, 0]]
    assert dataset.get_cat_ids(0) == []


@pytest.mark.parametrize('flag, argument', [(CROWD, 'crowd'), (DIFFICULT, 'ignore')])
@pytest.mark.parametrize('policy, score', [('positive', 1), ('negative', 0), ('ignore', -1)])
def test_policies_settle_classes_that_have_flagged_annotations_only(build, flag, argument, policy, score):
    dataset = build(content((10, CAT, flag), (11, CAT, flag), (11, CAT, PLAIN), (11, CAT, flag)), **{argument: policy})
    assert scores(dataset) == [[score, 0, 0], [1, 0, 0]]


def test_by_default_a_crowd_counts_and_a_difficult_object_does_neither(build):
    assert scores(build(content((10, CAT, CROWD), (10, DOG, DIFFICULT)))) == [[1, 0, -1], [0, 0, 0]]


def test_an_annotation_with_both_flags_follows_the_ignore_policy(build):
    both = dict(iscrowd=1, ignore=1)
    assert scores(build(content((10, CAT, both)), crowd='positive', ignore='negative'))[0] == [0, 0, 0]


def test_of_a_crowd_and_a_difficult_object_the_more_certain_verdict_counts(build):
    flagged = content((10, CAT, DIFFICULT), (10, CAT, CROWD), (11, CAT, CROWD), (11, CAT, DIFFICULT))
    assert scores(build(flagged, crowd='negative', ignore='ignore')) == [[-1, 0, 0], [-1, 0, 0]]


@pytest.mark.parametrize('how', ['classes', 'metainfo'])
def test_chosen_classes_keep_their_order_and_drop_the_others(build, how):
    chosen = dict(classes=['dog', 'cat']) if how == 'classes' else dict(metainfo=dict(classes=['dog', 'cat']))
    assert scores(build(content((10, DOG, PLAIN), (10, BIRD, PLAIN), (11, BIRD, PLAIN)), **chosen)) == [[1, 0], [0, 0]]


def test_the_target_reaches_the_data_sample(build):
    pipeline = [dict(type='LoadImage'), dict(type='PackInputs')]
    sample = build(content((10, CAT, PLAIN), (10, DOG, DIFFICULT)), pipeline=pipeline)[0]
    assert sample['inputs'].shape == (3, 6, 8)
    assert sample['data_samples'].gt_score.dtype == torch.float32
    assert sample['data_samples'].gt_score.tolist() == [1, 0, -1]
    assert sample['data_samples'].num_classes == 3


def test_class_balancing_wrapper_finds_the_classes(build):
    dataset = build(content((10, CAT, PLAIN), (11, CAT, PLAIN), (11, DOG, PLAIN)))
    assert len(ClassBalancedDataset(dataset, oversample_thr=1.0)) > len(dataset)  # the dog is seen more often


def without(section, key=None):
    broken = content((10, CAT, PLAIN))
    if key is None:
        del broken[section]
    else:
        del broken[section][0][key]
    return broken


def changed(section, **values):
    broken = content((10, CAT, PLAIN))
    broken[section][0].update(values)
    return broken


@pytest.mark.parametrize(
    'text, message',
    [
        ('{"images": [', 'is no valid JSON .*download or export it anew'),
        ('[]', "has no list 'images'"),
        (without('images'), "has no list 'images'"),
        (without('annotations'), "has no list 'annotations'"),
        (without('categories'), "has no list 'categories'"),
        (without('images', 'file_name'), r"images\[0\] \(id 10\) is without 'file_name'"),
        (without('annotations', 'category_id'), r"annotations\[0\] is without 'category_id'"),
        (without('categories', 'name'), r"categories\[0\] \(id 7\) is without 'name'"),
        (content(images=()), "has an empty list 'images'"),
        (content((10, 3, PLAIN)), r"annotations\[0\] has category_id 3, which is not in 'categories'"),
        (content((12, CAT, dict(id=5))), r"annotations\[0\] \(id 5\) has image_id 12, which is not in 'images'"),
        (changed('images', id=11), r'images\[1\] \(id 11\) has the id of images\[0\]'),
        (changed('categories', id=CAT), r'categories\[1\] \(id 2\) has the id of categories\[0\]'),
        (content((10, CAT, dict(id=1)), (11, CAT, dict(id=1))), r'annotations\[1\] \(id 1\) has the id of annot'),
        (changed('images', id=float('nan')), r'images\[0\] \(id nan\) has id nan, which is no integer or text'),
        (changed('images', id=[1]), r'images\[0\] \(id \[1\]\) has id \[1\], which is no integer or text'),
        (changed('images', id='ten'), r"images\[1\] \(id 11\) has an id of another kind than images\[0\], 'ten'"),
        (changed('images', file_name=7), r'images\[0\] \(id 10\) has file_name 7, which is no name of a file'),
        (changed('images', file_name='a\0'), r"has file_name 'a\\x00', which is no name of a file"),
        (changed('annotations', image_id=True), r'annotations\[0\] has image_id True, which is no integer or text'),
        (changed('annotations', iscrowd='0'), r"annotations\[0\] has iscrowd '0', which is neither 0 nor 1"),
        (changed('categories', name=None), r'categories\[0\] \(id 7\) has name None, which is no text'),
        (dict(content(), annotations=[[]]), r'annotations\[0\] is \[\], no object'),
        ('[' * 100_000, 'is no valid JSON .too many brackets within each other'),
        ('{"images": ' + '1' * 5000 + '}', 'is no valid JSON .Exceeds the limit'),
        (content(images=('c.png',)), 'images/c.png, does not exist: check data_root and data_prefix'),
    ],
)
def test_malformed_files_are_named_with_their_fault(build, text, message):
    with pytest.raises(UserError, match=message) as caught:
        build(text)
    assert 'instances.json' in str(caught.value) or 'c.png' in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(classes=['cat', 'cow']), "classes: 'cow' not among the categories of .*instances.json"),
        (dict(crowd='maybe'), "crowd='maybe' is unknown: use one of 'negative', 'ignore', 'positive'"),
        (dict(ignore=True), 'ignore=True is unknown: use one of'),
    ],
)
def test_wrong_arguments_are_named(build, arguments, message):
    with pytest.raises(UserError, match=message):
        build(content(), **arguments)


def test_a_file_of_another_encoding_is_named(build, tmp_path):
    with pytest.raises(UserError, match='instances.json is no valid JSON .*utf-8'):
        build(json.dumps(content(images=('é.png',)), ensure_ascii=False).encode('latin-1'))


def test_a_missing_annotation_file_is_named(tmp_path):
    with pytest.raises(UserError, match=f'{tmp_path}/none.json does not exist: check data_root and ann_file'):
        DATASETS.build(dict(type='CocoMultiLabel', data_root=str(tmp_path), ann_file='none.json'))


@pytest.mark.parametrize(
    'name, split, images, classes',
    [
        ('voc2007', 'train', 3508, 20),
        ('voc2007', 'val', 1500, 20),
        ('coco_mini', 'train', 2317, 80),
        ('coco_mini', 'val', 497, 80),
    ],
)
def test_real_annotations_agree_with_a_plain_count(name, split, images, classes):
    if not (REAL / name).exists():
        pytest.skip(f'needs {name}')
    path = REAL / name / 'annotations' / f'instances_{split}.json'
    dataset = DATASETS.build(
        dict(type='CocoMultiLabel', data_root=str(REAL / name), ann_file=str(path), data_prefix='images')
    )
    target = np.array(scores(dataset))
    assert target.shape == (images, classes)
    plain, flagged = set(), set()
    for found in json.loads(path.read_text())['annotations']:
        (flagged if found.get('ignore') else plain).add((found['image_id'], found['category_id']))
    assert (target == 1).sum() == len(plain)
    assert (target == -1).sum() == len(flagged - plain)
