"""Annotation files that are changed at random: they load, or one line says what is wrong with them."""

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdclpp.datasets.preparation.coco import verify_object_masks
from mmdclpp.datasets.preparation.object_masks import write_object_masks
from mmdclpp.datasets.preparation.voc import CLASSES, write_coco_json
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS

from ..fuzzing import BUDGETS, damaged, mutated

COCO = dict(
    images=[dict(id=n, file_name=name, height=6, width=8) for n, name in enumerate(('a.png', 'b/c.png'))],
    annotations=[
        dict(id=1, image_id=0, category_id=2, iscrowd=0, bbox=[1, 1, 4, 3], segmentation=[[1, 1, 5, 1, 5, 4]]),
        dict(id=2, image_id=1, category_id=7, ignore=1, bbox=[0, 0, 2, 2]),
        dict(id=3, image_id=1, category_id=7, iscrowd=1, segmentation=dict(size=[6, 8], counts=[10, 20, 18])),
    ],
    categories=[dict(id=2, name='cat'), dict(id=7, name='dog')],
)
XML = f"""<annotation><folder>VOC2007</folder><filename>000005.jpg</filename>
<size><width>60</width><height>40</height><depth>3</depth></size>
<object><name>{CLASSES[3]}</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object></annotation>""".encode()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'images' / 'b').mkdir(parents=True)
    for image in COCO['images']:
        Image.new('RGB', (8, 6)).save(tmp_path / 'images' / image['file_name'])
    return tmp_path


@contextmanager
def only_one_line():
    """Allow a UserError of one line that can be printed, and nothing else."""
    try:
        yield
    except UserError as error:
        assert '\n' not in str(error)
        str(error).encode()


def load(folder):
    """Read ``a.json`` in all ways in which annotations are read."""
    where = dict(data_root=str(folder), ann_file='a.json', data_prefix='images', serialize_data=False)
    with only_one_line():
        labels = DATASETS.build(dict(type='CocoMultiLabel', **where))
        scores = np.stack([labels.get_data_info(index)['gt_score'] for index in range(len(labels))])
        assert scores.shape[1] == len(labels.metainfo['classes'])
    with only_one_line():
        images = DATASETS.build(dict(type='UnlabelledImages', **where))
        assert all(isinstance(images.get_data_info(index)['img_path'], str) for index in range(len(images)))
    masks = folder / 'masks'
    shutil.rmtree(masks, ignore_errors=True)
    with only_one_line():
        write_object_masks(folder / 'a.json', masks, workers=1)
    for check in verify_object_masks(folder / 'a.json', folder / 'images', masks, workers=1):
        assert not any('\n' in problem for problem in check.problems)
    assert not [path for path in folder.rglob('*.png') if not path.is_relative_to(masks) and 'images' not in path.parts]


@pytest.mark.parametrize('budget', BUDGETS)
def test_coco_json_of_another_structure(folder, budget):
    @budget
    @given(st.data())
    def check(data):
        (folder / 'a.json').write_text(json.dumps(mutated(data.draw, COCO)))
        load(folder)

    check()


@pytest.mark.parametrize('budget', BUDGETS)
def test_coco_json_of_other_bytes(folder, budget):
    @budget
    @given(st.data())
    def check(data):
        (folder / 'a.json').write_bytes(damaged(data.draw, json.dumps(COCO).encode()))
        load(folder)

    check()


@pytest.mark.parametrize('budget', BUDGETS)
def test_a_list_of_paths_of_other_bytes(folder, budget):
    where = dict(type='UnlabelledImages', data_root=str(folder), data_prefix='images', serialize_data=False)

    @budget
    @given(st.data())
    def check(data):
        (folder / 'list.txt').write_bytes(damaged(data.draw, b'a.png\nb/c.png\n'))
        with only_one_line():
            DATASETS.build(dict(where, ann_file='list.txt'))
        with only_one_line():
            DATASETS.build(dict(where, exclude_file=str(folder / 'list.txt')))

    check()


WORDS = [
    *(b'60', b'-1', b'1e3', b'nan', b'9' * 5000, b'<a>' * 2000, b'&lt;', b'&x;', b'<!DOCTYPE a>', b'\xff\xfe'),
    *(b'cow', b'<object/>', b'<![CDATA[', b'<?xml version="1.0" encoding="utf-32"?>', b''),
]


@pytest.mark.parametrize('budget', BUDGETS)
def test_an_annotation_of_voc(folder, budget):
    for name in ('ImageSets/Main', 'Annotations'):
        (folder / name).mkdir(parents=True)
    parts = XML.replace(b'>', b'>\0').replace(b'<', b'\0<').split(b'\0')

    @budget
    @given(st.data())
    def check(data):
        changed = list(parts)
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(parts) - 1))] = data.draw(st.sampled_from(WORDS))
        xml = b''.join(changed) if data.draw(st.booleans()) else damaged(data.draw, XML)
        (folder / 'Annotations' / '000005.xml').write_bytes(xml)
        names = b'000005\n' if data.draw(st.booleans()) else damaged(data.draw, b'000005\n')
        (folder / 'ImageSets' / 'Main' / 'test.txt').write_bytes(names)
        (folder / 'annotations' / 'pascal_test2007.json').unlink(missing_ok=True)
        with only_one_line():
            write_coco_json(folder, 'test')

    check()
