"""The two transforms that keep where in the image a view lies."""

import random

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmpretrain.models import SelfSupDataPreprocessor

from mmdclpp.utils.paths import config_path

KEYS = ('view_boxes', 'view_flips')


def image(height: int = 61, width: int = 83) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def views(pipeline: list, seed: int, multi_view: str = 'MultiViewWithGeometry') -> dict:
    np.random.seed(seed)
    random.seed(seed)
    packed = Compose(
        [
            dict(type=multi_view, num_views=2, transforms=[pipeline]),
            dict(type='PackInputs', meta_keys=KEYS),
        ]
    )(dict(img=image()))
    # What either generator would draw next tells whether as much was drawn before.
    return dict(packed, next_draws=(np.random.rand(), random.random()))


@pytest.mark.parametrize('config', ['_base_/datasets/scenes_two_views.py', '_base_/datasets/coco_two_views.py'])
@pytest.mark.parametrize('seed', range(3))
def test_pixels_and_draws_are_those_of_mmpretrains_transforms(config, seed):
    ours = Config.fromfile(config_path(config)).view_pipeline
    theirs = [dict(ours[0], type='RandomResizedCrop'), *ours[1:]]
    got, expected = views(ours, seed), views(theirs, seed, 'MultiView')
    assert got['next_draws'] == expected['next_draws']
    for view, reference in zip(got['inputs'], expected['inputs'], strict=True):
        assert view.equal(reference)


@pytest.mark.parametrize('seed', range(6))
def test_the_box_cut_out_resized_and_mirrored_is_the_view(seed):
    sample = views([dict(type='RandomResizedCropWithBox', scale=24), dict(type='RandomFlip', prob=0.5)], seed)
    height, width = image().shape[:2]
    geometry = sample['data_samples']
    for view, box, flip in zip(sample['inputs'], geometry.view_boxes, geometry.view_flips, strict=True):
        left, top, right, bottom = np.round(np.array(box) * (width, height, width, height)).astype(int)
        expected = mmcv.imresize(image()[top:bottom, left:right], (24, 24))
        np.testing.assert_array_equal(view.permute(1, 2, 0), expected[:, ::-1] if flip else expected)


@pytest.mark.parametrize(
    'pipeline',
    [
        [dict(type='RandomResizedCrop', scale=24), dict(type='RandomFlip', prob=0.5)],
        [dict(type='RandomResizedCropWithBox', scale=24), dict(type='RandomFlip', prob=1.0, direction='vertical')],
    ],
    ids=['a crop that does not tell', 'a flip upside down'],
)
def test_views_of_unknown_geometry_come_without_any(pipeline):
    sample = views(pipeline, seed=0)
    assert len(sample['inputs']) == 2
    assert not set(KEYS) & set(sample['data_samples'].keys() + sample['data_samples'].metainfo_keys())


def test_geometry_reaches_the_model_with_the_batch():
    pipeline = [dict(type='RandomResizedCropWithBox', scale=24)]
    samples = [{key: views(pipeline, seed)[key] for key in ('inputs', 'data_samples')} for seed in range(3)]
    batch = SelfSupDataPreprocessor()(default_collate(samples), training=True)
    assert [sample.view_boxes for sample in batch['data_samples']] == [
        sample['data_samples'].view_boxes for sample in samples
    ]
    assert all(sample.view_flips == [False, False] for sample in batch['data_samples'])
