import json
import re

import numpy as np
import pytest
from mmseg.datasets import PascalVOCDataset

from mmdclpp.datasets import CocoMultiLabel
from mmdclpp.datasets.preparation import passed, prepare_voc, report, verify_voc
from mmdclpp.errors import UserError

from .published import encoded, mask


@pytest.fixture
def prepared(published_voc, server, tmp_path):
    """VOC downloaded and converted."""
    prepare_voc(tmp_path, download=True, mirror=server.url, workers=1)
    return tmp_path


def test_the_whole_way_gives_what_the_configs_load(prepared):
    checks = verify_voc(prepared, full=True, workers=1)
    assert passed(checks), report(checks)
    for split, number in (('trainval', 2), ('test', 1)):
        labels = CocoMultiLabel(
            f'annotations/pascal_{split}2007.json',
            str(prepared / 'VOCdevkit' / 'VOC2007'),
            'JPEGImages',
            pipeline=[dict(type='LoadImage')],
        )
        assert [sample['img'].shape for sample in labels] == [(40, 60, 3)] * number
        assert labels[0]['gt_score'].tolist() == [-1] + [0] * 18 + [1]  # aeroplane difficult, tvmonitor there
    found = {}
    for split, folder, values in (
        ('train', 'SegmentationClass', (0, 20, 255)),
        ('val', 'SegmentationClass', (0, 20, 255)),
        ('aug', 'SegmentationClassAug', (0, 3, 20)),
    ):
        dataset = PascalVOCDataset(
            ann_file=f'ImageSets/Segmentation/{split}.txt',
            data_root=prepared / 'VOCdevkit' / 'VOC2012',
            data_prefix=dict(img_path='JPEGImages', seg_map_path=folder),
            pipeline=[dict(type='LoadImage', _scope_='mmdclpp'), dict(type='LoadAnnotations', _scope_='mmseg')],
        )
        for sample in dataset:
            np.testing.assert_array_equal(sample['gt_seg_map'], mask(*values))
        found[split] = [dataset.get_data_info(index)['img_path'][-15:-4] for index in range(len(dataset))]
    assert found['aug'] == ['2008_000002', '2008_000003']
    lists = prepared / 'VOCdevkit' / 'VOC2012' / 'ImageSets' / 'Segmentation'
    assert (lists / 'trainaug.txt').read_text().split() == sorted(found['train'] + found['aug'])


def test_boxes_and_ids_follow_cocos_conventions(prepared):
    content = json.loads((prepared / 'VOCdevkit/VOC2007/annotations/pascal_trainval2007.json').read_text())
    assert content['images'][0] == dict(id=5, file_name='000005.jpg', width=60, height=40)
    assert [category['name'] for category in content['categories']] == list(PascalVOCDataset.METAINFO['classes'][1:])
    first, second = content['annotations'][:2]
    assert (first['image_id'], first['category_id'], first['ignore']) == (5, 20, 0)
    assert (first['bbox'], first['area']) == ([0, 1, 60, 10], 600)
    assert (second['category_id'], second['bbox'], second['area'], second['ignore']) == (1, [6, 7, 1, 1], 1, 1)
    assert [annotation['id'] for annotation in content['annotations']] == [1, 2, 3, 4]


def test_only_the_years_asked_for_are_downloaded(published_voc, server, tmp_path):
    prepare_voc(tmp_path, ['2012'], aug=False, download=True, mirror=server.url, workers=1)
    assert [name for name, _ in server.requests] == ['VOCtrainval_11-May-2012.tar']
    assert passed(verify_voc(tmp_path, ['2012'], aug=False, workers=1))


def test_a_killed_conversion_is_continued_and_what_is_there_left(prepared, server):
    root = prepared / 'VOCdevkit' / 'VOC2012'
    (root / 'ImageSets' / 'Segmentation' / 'aug.txt').unlink()
    masks = sorted((root / 'SegmentationClassAug').iterdir())
    masks[0].unlink()
    masks[1].write_bytes(b'left as it is')
    own = prepared / 'VOCdevkit' / 'VOC2007' / 'annotations' / 'pascal_test2007.json'
    own.write_text('left as it is')
    server.requests.clear()
    prepare_voc(prepared, workers=1)
    assert server.requests == []
    assert masks[0].exists() and masks[1].read_bytes() == b'left as it is'
    assert own.read_text() == 'left as it is'
    assert (root / 'ImageSets' / 'Segmentation' / 'aug.txt').read_text().split() == ['2008_000002', '2008_000003']


def test_masks_that_mmseg_converted_are_taken(published_voc, server, tmp_path):
    prepare_voc(tmp_path, ['2012'], aug=False, download=True, mirror=server.url, workers=1)
    root = tmp_path / 'VOCdevkit' / 'VOC2012'
    (root / 'SegmentationClassAug').mkdir()
    names = ['2008_000003', '2008_000002']
    for name in names:
        (root / 'SegmentationClassAug' / f'{name}.png').write_bytes(encoded(mask(0, 5), 'png'))
    (root / 'ImageSets' / 'Segmentation' / 'aug.txt').write_text('\n'.join(names))
    prepare_voc(tmp_path, ['2012'], workers=1)
    assert passed(verify_voc(tmp_path, ['2012'], workers=1))


def bomb(levels=9):
    entities = ''.join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "ha"}">' for i in range(levels))
    return f'<!DOCTYPE annotation [{entities}]><annotation><size>&a{levels - 1};</size></annotation>'


@pytest.mark.parametrize(
    'encoding, xml, reason',
    [
        ('utf-8', bomb(), "it declares the document type 'annotation'"),
        ('utf-16', '<?xml version="1.0" encoding="utf-16"?>' + bomb(), "it declares the document type 'annotation'"),
        ('utf-8', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "the document type 'a'"),
        ('utf-8', '<?xml version="1.0" encoding="klingon"?><annotation/>', 'unknown encoding'),
        ('utf-8', '<annotation><size><width>-1</width><height>5</height></size></annotation>', 'its size is -1 x 5'),
        ('utf-8', '<annotation>', 'no element found'),
        ('utf-8', '<annotation/>', 'NoneType'),
        ('utf-8', '<annotation><size><width>x</width></size></annotation>', "'x'"),
    ],
    ids=['entities', 'entities in utf-16', 'external entity', 'encoding', 'size', 'cut', 'empty', 'number'],
)
def test_an_annotation_that_is_not_vocs_is_named(prepared, encoding, xml, reason):
    root = prepared / 'VOCdevkit' / 'VOC2007'
    (root / 'annotations' / 'pascal_test2007.json').unlink()
    (root / 'Annotations' / '000001.xml').write_text(xml, encoding=encoding)
    with pytest.raises(UserError, match=f'Annotations/000001.xml is no annotation of VOC .*{reason}'):
        prepare_voc(prepared, ['2007'])


DAMAGES = {
    'missing image': ('VOC2012/JPEGImages/2008_000002.jpg', None, r'2008_000002.jpg is missing'),
    'cut JPEG': ('VOC2007/JPEGImages/000005.jpg', lambda data: data[:-300], r'cannot decode image \S+/000005.jpg'),
    'missing mask': ('VOC2012/SegmentationClass/2007_000033.png', None, 'SegmentationClass/2007_000033.png is missing'),
    'mask value': (
        'VOC2012/SegmentationClassAug/2008_000003.png',
        lambda _: encoded(mask(0, 21), 'png'),
        'SegmentationClassAug/2008_000003.png: value 21, where 0 ... 20 and 255 are allowed',
    ),
    'a list with an image of val': (
        'VOC2012/ImageSets/Segmentation/aug.txt',
        lambda data: data + b'2007_000033\n',
        'VOC2012: 2007_000033 is twice in the lists of train, val, aug',
    ),
    'missing list': ('VOC2007/ImageSets/Main/test.txt', None, 'VOC2007 test: images: 0 found, 1 expected'),
    'missing JSON': ('VOC2007/annotations/pascal_test2007.json', None, r'pascal_test2007.json does not exist'),
    'objects missing': (
        'VOC2007/annotations/pascal_test2007.json',
        lambda data: data.replace(b'"ignore": 0', b'"ignore": 1'),
        'pascal_test2007.json: annotations: 0 found, 1 expected',
    ),
}


@pytest.mark.parametrize('file, damage, message', DAMAGES.values(), ids=DAMAGES)
def test_verification_names_every_damage(prepared, file, damage, message):
    path = prepared / 'VOCdevkit' / file
    path.write_bytes(damage(path.read_bytes())) if damage else path.unlink()
    problems = [problem for check in verify_voc(prepared, workers=1) for problem in check.problems]
    assert any(re.search(message, problem) for problem in problems), problems


def test_an_unknown_year_is_named(tmp_path):
    with pytest.raises(UserError, match="years: '2010' is unknown: use some of 2007, 2012"):
        prepare_voc(tmp_path, ['2010'])
