"""COCO objects as a data set of mmseg's."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from mmdclpp.registry import DATASETS

# mmseg's own names below, ours with its scope: as in the configs.
CONFIG = dict(
    type='CocoObjectsDataset',
    _scope_='mmdclpp',
    data_prefix=dict(img_path='val2017', seg_map_path='annotations/objects_val2017'),
    pipeline=[dict(type='LoadImage', _scope_='mmdclpp'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
)
MASK = np.arange(0, 96, dtype=np.uint8).reshape(8, 12) % 81


@pytest.fixture
def dataset(tmp_path):
    """Two images; the mask of the second has every class, and a crowd."""
    masks, images = tmp_path / 'annotations/objects_val2017', tmp_path / 'val2017'
    masks.mkdir(parents=True)
    images.mkdir()
    crowd = MASK.copy()
    crowd[0, :3] = 255
    for name, mask in (('000000000139', np.zeros_like(MASK)), ('000000000285', crowd)):
        Image.new('RGB', (12, 8)).save(images / f'{name}.jpg')
        Image.fromarray(mask).save(masks / f'{name}.png')
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(dict(CONFIG, data_root=str(tmp_path)))


def test_its_classes_are_the_background_and_the_categories_by_ascending_id(dataset):
    classes = dataset.metainfo['classes']
    assert len(classes) == 81
    assert [classes[index] for index in (0, 1, 12, 80)] == ['background', 'person', 'stop sign', 'toothbrush']


def test_no_two_classes_share_a_colour(dataset):
    palette = dataset.metainfo['palette']
    assert len({tuple(colour) for colour in palette}) == 81
    assert palette[0] == [0, 0, 0]


def test_a_sample_has_the_values_of_the_mask_that_is_named_after_the_image(dataset):
    assert len(dataset) == 2
    values = dataset[1]['data_samples'].gt_sem_seg.data[0].numpy()
    assert (values[0, :3] == 255).all()
    np.testing.assert_array_equal(values.ravel()[3:], MASK.ravel()[3:])
