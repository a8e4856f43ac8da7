import json
import re
import shutil

import numpy as np
import pytest
from mmseg.datasets import COCOStuffDataset
from PIL import Image

from mmdclpp.datasets import CocoMultiLabel
from mmdclpp.datasets.preparation import passed, prepare_coco, report, verify_coco, verify_object_masks
from mmdclpp.datasets.preparation.coco import stuff_labels
from mmdclpp.errors import UserError

from .published import encoded, mask, photograph

pytest.importorskip('pycocotools.mask', reason='draws outlines: pip install pycocotools')


@pytest.fixture
def prepared(published_coco, server, tmp_path):
    """COCO downloaded and converted."""
    prepare_coco(tmp_path, download=True, mirror=server.url, workers=1)
    return tmp_path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_whole_way_gives_what_the_configs_load(prepared):
    checks = verify_coco(prepared, full=True, workers=1)
    assert passed(checks), report(checks)
    for split, number in (('train', 3), ('val', 2)):
        labels = CocoMultiLabel(
            f'annotations/instances_{split}2017.json',
            str(prepared / 'coco'),
            f'{split}2017',
            pipeline=[dict(type='LoadImage')],
        )
        assert [sample['img'].shape for sample in labels] == [(40, 60, 3)] * number
        assert labels[0]['gt_score'].tolist() == [1, 1, 1]
        segmentation = COCOStuffDataset(
            data_root=prepared / 'coco_stuff164k',
            data_prefix=dict(img_path=f'images/{split}2017', seg_map_path=f'annotations/{split}2017'),
            pipeline=[dict(type='LoadImage', _scope_='mmdclpp'), dict(type='LoadAnnotations', _scope_='mmseg')],
        )
        assert len(segmentation) == number
        for sample in segmentation:
            np.testing.assert_array_equal(sample['gt_seg_map'], mask(0, 11, 170, 255))
        for path in (prepared / 'coco' / 'annotations' / f'objects_{split}2017').iterdir():
            drawn = pixels(path)
            assert drawn[17, 17] == 1 and drawn[12, 12] == 3 and drawn[0, 59] == 255 and drawn[0, 0] == 0


def test_a_second_call_does_nothing(prepared, server):
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob('*')}
    server.requests.clear()
    shutil.rmtree(prepared / 'downloads')
    prepare_coco(prepared, workers=1)
    after = {path: path.stat().st_mtime_ns for path in prepared.rglob('*')}
    assert after == {path: time for path, time in before.items() if 'downloads' not in path.parts and path in after}
    assert server.requests == []


def test_a_killed_conversion_is_continued(prepared):
    objects = prepared / 'coco' / 'annotations' / 'objects_train2017'
    stuff = prepared / 'coco_stuff164k' / 'annotations' / 'val2017'
    missing = [min(objects.iterdir()), min(stuff.glob('*_labelTrainIds.png'))]
    done = [max(objects.iterdir()), max(stuff.glob('*_labelTrainIds.png'))]
    for path, other in zip(missing, done):
        path.unlink()
        other.write_bytes(b'left as it is')
    prepare_coco(prepared, workers=1)
    assert all(path.exists() for path in missing)
    assert all(path.read_bytes() == b'left as it is' for path in done)


def test_images_elsewhere_can_be_linked_and_are_not_downloaded(published_coco, server, tmp_path):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (elsewhere / '000000000100.jpg').write_bytes(photograph(0))
    root = tmp_path / 'data'
    (root / 'coco').mkdir(parents=True)
    (root / 'coco' / 'val2017').symlink_to(elsewhere)
    prepare_coco(root, ['stuff'], ['val'], download=True, mirror=server.url, workers=1)
    assert [name for name, _ in server.requests] == ['stuffthingmaps_trainval2017.zip']
    assert len(list(elsewhere.iterdir())) == 1
    assert (root / 'coco_stuff164k' / 'images' / 'val2017' / '000000000100.jpg').exists()


def test_a_link_to_its_own_folder_does_no_harm(prepared):
    for name in ('here', 'there'):
        (prepared / 'coco' / 'val2017' / name).symlink_to('.')
    assert passed(verify_coco(prepared, full=True, workers=1))


def test_the_data_root_may_be_moved(prepared):
    moved = prepared.rename(prepared.with_name(f'{prepared.name}_moved'))
    assert passed(verify_coco(moved, full=True, workers=1))


@pytest.mark.parametrize(
    'tasks, splits, archives',
    [
        (['images'], ['val'], {'val2017.zip'}),
        (['instances'], ['val'], {'annotations_trainval2017.zip'}),
        (['objects'], ['val'], {'val2017.zip', 'annotations_trainval2017.zip'}),
        (['stuff'], ['train'], {'train2017.zip', 'stuffthingmaps_trainval2017.zip'}),
    ],
)
def test_only_what_is_asked_for_is_downloaded_and_verified(published_coco, server, tmp_path, tasks, splits, archives):
    prepare_coco(tmp_path, tasks, splits, download=True, mirror=server.url, workers=1)
    assert {name for name, _ in server.requests} == archives
    assert not list(tmp_path.rglob('captions*'))
    assert passed(verify_coco(tmp_path, tasks, splits, workers=1))


def test_an_unknown_task_is_named(tmp_path):
    with pytest.raises(UserError, match="tasks: 'panoptic' is unknown: use some of 'images', 'instances'"):
        prepare_coco(tmp_path, ['panoptic'])


def test_stuff_labels_are_those_of_mmseg():
    labels = stuff_labels()
    names = COCOStuffDataset.METAINFO['classes']
    # From the list of classes that COCO-Stuff publishes, whose ids are one higher than the values of its maps.
    for value, name in {0: 'person', 12: 'stop sign', 89: 'toothbrush', 91: 'banner', 181: 'wood'}.items():
        assert names[labels[value]] == name
    assert sorted(set(labels.tolist()) - {254, 255}) == list(range(len(names)))
    assert (labels == 254).sum() == 256 - 171 - 1
    assert labels[255] == 255


def test_a_map_with_a_value_of_no_class_is_named(prepared):
    path = prepared / 'coco_stuff164k' / 'annotations' / 'val2017' / 'new.png'
    path.write_bytes(encoded(mask(0, 11), 'png'))
    with pytest.raises(UserError, match=f'{path} holds the value 11, which is no class of COCO-Stuff'):
        prepare_coco(prepared, ['stuff'], workers=1)


def edit_json(root, edit):
    path = root / 'coco' / 'annotations' / 'instances_val2017.json'
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def overwrite_mask(root, array, folder='coco/annotations/objects_val2017', suffix='.png'):
    (root / folder / f'000000000100{suffix}').write_bytes(encoded(array, 'png'))


STUFF = dict(folder='coco_stuff164k/annotations/val2017', suffix='_labelTrainIds.png')
IMAGE = 'coco/val2017/000000000100.jpg'
DAMAGES = {
    'missing image': (lambda root: (root / IMAGE).unlink(), 'val2017: 1 found, 2 expected'),
    'image of the JSON': (
        lambda root: (root / IMAGE).unlink(),
        r'instances_val2017.json: image 100: \S+100.jpg is missing',
    ),
    'cut JPEG': (
        lambda root: (root / IMAGE).write_bytes((root / IMAGE).read_bytes()[:-500]),
        r'cannot decode image \S+000000000100.jpg',
    ),
    'dangling image': (
        lambda root: edit_json(root, lambda content: content['annotations'][4].update(image_id=999)),
        r'instances_val2017.json: annotation 4: image_id 999 is not among the images',
    ),
    'dangling category': (
        lambda root: edit_json(root, lambda content: content['annotations'][4].update(category_id=2)),
        r'instances_val2017.json: annotation 4: category_id 2 is not among the categories',
    ),
    'annotation id twice': (
        lambda root: edit_json(root, lambda content: content['annotations'][4].update(id=0)),
        r'instances_val2017.json: annotations: id 0 twice',
    ),
    'image id twice': (
        lambda root: edit_json(root, lambda content: content['images'][1].update(id=100)),
        r'instances_val2017.json: images: id 100 twice',
    ),
    'annotations missing': (
        lambda root: edit_json(root, lambda content: content['annotations'].pop()),
        'instances_val2017.json: annotations: 5 found, 6 expected',
    ),
    'JSON cut': (
        lambda root: (root / 'coco/annotations/instances_val2017.json').write_text('{"images"'),
        'instances_val2017.json is no valid JSON',
    ),
    'missing mask': (
        lambda root: (root / 'coco/annotations/objects_val2017/000000000100.png').unlink(),
        r'objects_val2017/000000000100.png is missing',
    ),
    'mask value': (
        lambda root: overwrite_mask(root, mask(0, 4, 255)),
        r'objects_val2017/000000000100.png: value 4, where 0 ... 3 and 255 are allowed',
    ),
    'mask size': (
        lambda root: overwrite_mask(root, mask(0).T),
        r'objects_val2017/000000000100.png: uint8 of shape \(60, 40\), where \S+100.jpg has \(40, 60\)',
    ),
    'mask in colours': (
        lambda root: overwrite_mask(root, np.zeros((40, 60, 3), np.uint8)),
        r'objects_val2017/000000000100.png: uint8 of shape \(40, 60, 3\)',
    ),
    'cut mask': (
        lambda root: (root / 'coco/annotations/objects_val2017/000000000100.png').write_bytes(
            encoded(mask(0, 1, 2), 'png')[:60]
        ),
        r'objects_val2017/000000000100.png: ',
    ),
    'stuff value': (
        lambda root: overwrite_mask(root, mask(0, 171, 255), **STUFF),
        r'val2017/000000000100_labelTrainIds.png: value 171, where 0 ... 170 and 255 are allowed',
    ),
}


@pytest.mark.parametrize('damage, message', DAMAGES.values(), ids=DAMAGES)
def test_verification_names_every_damage(prepared, damage, message):
    damage(prepared)
    checks = verify_coco(prepared, workers=1)
    assert not passed(checks)
    problems = [problem for check in checks for problem in check.problems]
    assert any(re.search(message, problem) for problem in problems), problems
    assert all(problem in report(checks) for problem in problems)


def test_nothing_prepared_is_reported_and_no_error(published_coco, tmp_path):
    checks = verify_coco(tmp_path, workers=1)
    assert all(check.problems and check.found == 0 for check in checks)


def test_a_data_set_of_ones_own_is_verified_with_its_masks(prepared):
    coco = prepared / 'coco'
    paths = [
        coco / 'annotations' / 'instances_val2017.json',
        coco / 'val2017',
        coco / 'annotations' / 'objects_val2017',
    ]
    assert passed(verify_object_masks(*paths, workers=1))
    overwrite_mask(prepared, mask(0, 4))
    (problem,) = [problem for check in verify_object_masks(*paths, workers=1) for problem in check.problems]
    assert problem.endswith('000000000100.png: value 4, where 0 ... 3 and 255 are allowed')
