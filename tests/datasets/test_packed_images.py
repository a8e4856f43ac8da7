"""A packed data set gives what the folder of images gives, to every process."""

import os
import zlib

import numpy as np
import pytest
from mmengine.runner import Runner

from mmdclpp.datasets.packed_file import MANIFEST_KEY, Manifest, entry_key
from mmdclpp.datasets.preparation import pack_images, packing
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS

pytest.importorskip('lmdb')
PATHS = [f'{kind}/{index}.jpg' for first, kind in enumerate(('tall', 'wide')) for index in range(first, 8, 2)]


def build(**kwargs):
    return DATASETS.build(dict(dict(type='PackedImages'), **kwargs))


@pytest.fixture(scope='module')
def root(tiny_coco, tmp_path_factory):
    """A folder with ``a.lmdb``, of the eight images of ``tiny_coco``."""
    folder = tmp_path_factory.mktemp('packed')
    pack_images(build(type='UnlabelledImages', data_root=str(tiny_coco / 'images')), folder / 'a.lmdb')
    return folder


def names(dataset):
    return [dataset[index]['img_path'] for index in range(len(dataset))]


def test_a_sample_has_the_bytes_of_its_file_under_the_path_that_was_packed(root, tiny_coco):
    dataset = build(ann_file='a.lmdb', data_root=str(root))
    assert names(dataset) == PATHS
    for index, path in enumerate(PATHS):
        data = (tiny_coco / 'images' / path).read_bytes()
        assert dataset[index] == dict(img_path=path, img_bytes=data, sample_idx=index)


@pytest.mark.parametrize(
    'loader',
    [
        dict(type='LoadImage'),
        dict(type='LoadViews', transforms=[[dict(type='RandomResizedCrop', scale=32)]], num_views=2),
    ],
)
def test_pipelines_give_the_same_as_from_the_folder(root, tiny_coco, loader):
    packed = build(ann_file=str(root / 'a.lmdb'), pipeline=[loader])
    folder = build(type='UnlabelledImages', data_root=str(tiny_coco / 'images'), pipeline=[loader])
    for index in range(8):
        found, expected = (_pixels(dataset, index) for dataset in (packed, folder))
        assert len(found) and all(map(np.array_equal, found, expected))


def _pixels(dataset, index):
    np.random.seed(index)
    return dataset[index]['img']


def test_a_tilde_is_expanded(root, monkeypatch):
    monkeypatch.setenv('HOME', str(root))
    assert len(build(ann_file='~/a.lmdb')) == len(build(ann_file='a.lmdb', data_root='~')) == 8


def test_images_are_left_out_as_in_a_folder(root, tmp_path):
    (tmp_path / 'left_out.txt').write_text('wide/3.jpg\tcut off\n')
    assert names(build(ann_file=str(root / 'a.lmdb'), exclude=['0'], exclude_file=str(tmp_path / 'left_out.txt'))) == [
        path for path in PATHS if path not in ('tall/0.jpg', 'wide/3.jpg')
    ]
    assert names(build(ann_file=str(root / 'a.lmdb'), exclude=['0'], indices=2)) == PATHS[1:3]
    with pytest.raises(UserError, match="exclude: no image of .*a.lmdb is named 'x'"):
        build(ann_file=str(root / 'a.lmdb'), exclude=['x'])


def test_subsets_and_copies_read_their_own_images(root):
    dataset = build(ann_file=str(root / 'a.lmdb'))
    assert names(dataset.get_subset([5, 1])) == [PATHS[5], PATHS[1]]
    assert names(build(ann_file=str(root / 'a.lmdb'), serialize_data=False)) == PATHS


def test_another_image_takes_the_place_of_one_that_does_not_decode(tmp_path, tiny_coco):
    good = (tiny_coco / 'images' / PATHS[0]).read_bytes()
    with packing._new_database(tmp_path / 'a.lmdb') as put:
        for index, data in enumerate([b'none', good]):
            put(entry_key(index), data)
        put(
            MANIFEST_KEY,
            Manifest(['a.jpg', 'b.jpg'], [4, len(good)], [zlib.crc32(b'none'), zlib.crc32(good)], {}).to_bytes(),
        )
    pipeline = [dict(type='LoadImage'), dict(type='PackInputs', meta_keys=['img_path'])]
    sample = build(ann_file=str(tmp_path / 'a.lmdb'), skip_broken=True, pipeline=pipeline)[0]['data_samples']
    assert sample.img_path == 'b.jpg'
    assert [path for path, _ in sample.broken_images] == ['a.jpg']


def test_a_prefix_is_refused_and_an_empty_one_is_none(root):
    assert len(build(ann_file='a.lmdb', data_root=str(root), data_prefix=dict(img_path=''))) == 8
    with pytest.raises(UserError, match="data_prefix='train2017/': packed images lie in no folder: set data_prefix=''"):
        build(ann_file='a.lmdb', data_root=str(root), data_prefix='train2017/')


def test_a_missing_file_is_named(root):
    with pytest.raises(UserError, match='packed images: .*/b.lmdb cannot be read .*: check data_root and ann_file'):
        build(ann_file='b.lmdb', data_root=str(root))


class WithProcess:
    """Name and checksum of each image, and which process read it."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        sample = self.dataset[index]
        return sample['img_path'], zlib.crc32(sample['img_bytes']), os.getpid()


def _check_two_epochs(root, tiny_coco, **options):
    """Two joined sets of one file, of which this process reads first."""
    file = dict(type='PackedImages', ann_file=str(root / 'a.lmdb'))
    joined = DATASETS.build(dict(type='ConcatDataset', datasets=[dict(file, exclude=['0']), file]))
    assert joined[0]['img_path'] == PATHS[1]
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=2,
            persistent_workers=True,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
            dataset=WithProcess(joined),
            **options,
        ),
        seed=0,
    )
    checksums = {path: zlib.crc32((tiny_coco / 'images' / path).read_bytes()) for path in PATHS}
    orders = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        samples = [sample for batch in loader for sample in zip(*batch)]
        orders.append([path for path, _, _ in samples])
        assert sorted(orders[-1]) == sorted(PATHS[1:] + PATHS)
        assert all(checksum == checksums[path] for path, checksum, _ in samples)
        processes = {process for _, _, process in samples}
        assert len(processes) == 2 and os.getpid() not in processes
    assert orders[0] != orders[1]


def test_workers_shuffle_joined_sets_of_a_file_that_their_parent_has_read(root, tiny_coco):
    _check_two_epochs(root, tiny_coco)


@pytest.mark.slow
@pytest.mark.ci
def test_workers_that_are_spawned_do_so_too(root, tiny_coco):
    _check_two_epochs(root, tiny_coco, multiprocessing_context='spawn')
