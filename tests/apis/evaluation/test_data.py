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
    lay_out(tmp_path, *MINI)
    mini = find_data('coco', tmp_path)
    assert (mini.name, mini.full) == ('coco_mini', False)
    lay_out(tmp_path, *COCO)
    full = find_data('coco', tmp_path)
    assert (full.name, full.full) == ('COCO 2017', True)
    assert full.options('test') == dict(
        data_root=f'{tmp_path}/coco/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img_path='val2017/'),
    )


@pytest.mark.parametrize('kind', ['coco', 'voc', 'voc-masks', 'coco-masks', 'coco-stuff-masks'])
def test_what_is_missing_is_named_with_the_command_that_gets_it(tmp_path, kind):
    assert find_data(kind, tmp_path) is None
    message = missing_data(kind, tmp_path)
    assert str(tmp_path) in message and 'does not exist' in message
    assert f'dataset_converters/{"voc" if kind.startswith("voc") else "coco"}.py' in message and '\n' not in message


def test_one_split_alone_is_no_data_set(tmp_path):
    lay_out(tmp_path, COCO[0])
    assert find_data('coco', tmp_path) is None


def test_the_identity_follows_the_annotations_and_not_the_place(tmp_path):
    for place in ('here', 'there', 'changed'):
        lay_out(tmp_path / place, *MINI)
    (tmp_path / 'changed' / MINI[1]).write_text('other')
    here, there, changed = (find_data('coco', tmp_path / place).identity() for place in ('here', 'there', 'changed'))
    assert here == there != changed
