import shutil

import pytest

from mmdclpp.apis.evaluation.data import find_data, missing_data


def lay_out(root, *files):
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


COCO = ('coco/annotations/instances_train2017.json', 'coco/annotations/instances_val2017.json')
MINI = ('coco_mini/annotations/instances_train.json', 'coco_mini/annotations/instances_val.json')


def test_the_published_data_set_comes_before_a_reduced_one(tmp_path):
    lay_out(tmp_path, *MINI, 'coco_mini/images/1.jpg')
    mini = find_data('coco', tmp_path)
    assert (mini.name, mini.full) == ('coco_mini', False)
    lay_out(tmp_path, *COCO, 'coco/train2017/1.jpg', 'coco/val2017/2.jpg')
    full = find_data('coco', tmp_path)
    assert (full.name, full.full) == ('COCO 2017', True)
    assert full.options('test') == dict(
        data_root=f'{tmp_path}/coco/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img_path='val2017/'),
    )


@pytest.mark.parametrize('kind', ['coco', 'voc', 'voc-masks', 'voc-aug-masks', 'coco-masks', 'coco-stuff-masks'])
def test_what_is_missing_is_named_with_the_command_that_gets_it(tmp_path, kind):
    assert find_data(kind, tmp_path) is None
    message = missing_data(kind, tmp_path)
    assert str(tmp_path) in message and 'does not exist' in message
    assert f'dataset_converters/{"voc" if kind.startswith("voc") else "coco"}.py' in message and '\n' not in message


def test_one_split_alone_is_no_data_set(tmp_path):
    lay_out(tmp_path, COCO[0])
    assert find_data('coco', tmp_path) is None


def test_the_identity_follows_the_annotations_and_not_the_place(tmp_path):
    lay_out(tmp_path / 'here', *MINI, 'coco_mini/images/1.jpg')
    shutil.copytree(tmp_path / 'here', tmp_path / 'there')

    def identity(place):
        return find_data('coco', tmp_path / place).identity()

    assert identity('here') == identity('there')
    (tmp_path / 'there' / 'coco_mini/images/1.jpg').write_text('another image')
    assert identity('here') != identity('there')
    train, val = (tmp_path / 'here' / name for name in MINI)
    before = identity('here')
    train.write_text(train.read_text() + val.read_text()[:1])  # one end moved from the one to the other
    val.write_text(val.read_text()[1:])
    assert identity('here') != before


def test_sbds_masks_make_another_data_set(tmp_path):
    folder = 'VOCdevkit/VOC2012'
    lists = [f'{folder}/ImageSets/Segmentation/{split}.txt' for split in ('train', 'val')]
    lay_out(tmp_path, *lists, f'{folder}/JPEGImages/1.jpg', f'{folder}/SegmentationClass/1.png')
    assert find_data('voc-aug-masks', tmp_path).name == 'VOC2012'
    lay_out(tmp_path, f'{folder}/ImageSets/Segmentation/aug.txt', f'{folder}/SegmentationClassAug/1.png')
    assert find_data('voc-aug-masks', tmp_path).name == 'VOC2012Aug'
    assert find_data('voc-masks', tmp_path).name == 'VOC2012'
