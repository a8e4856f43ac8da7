"""Extraction equals a plain loop over images, however it is spread, interrupted and cached."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.dataset import ConcatDataset
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.data import Subset

from mmdclpp.errors import UserError
from mmdclpp.evaluation import (
    extract_image_features,
    iterate_features,
    multi_label_targets,
    weights_fingerprint,
)
from mmdclpp.evaluation import features as module
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import DATASETS, MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32)
BACKBONES = {
    'ViT': dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='raw', drop_rate=0.5),
    'ResNet': dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
}
RESIZE = dict(type='Resize', scale=(32, 32))
EXACT = dict(rtol=0, atol=1e-6)


def build_backbone(name='ViT'):
    """A backbone in train mode, as pretraining leaves it, with statistics of its own."""
    torch.manual_seed(0)
    backbone = MODELS.build(BACKBONES[name])
    for parameter in backbone.parameters():  # also those that start at zero
        nn.init.normal_(parameter, std=0.1)
    for part in backbone.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 2)
    backbone.train()
    return backbone


def build_preprocessor():
    return MODELS.build(dict(type='ClsDataPreprocessor', mean=[120, 110, 100], std=[60, 55, 50], to_rgb=True))


def build_dataset(root, resize=RESIZE, **kwargs):
    """Eight images of two classes."""
    pipeline = [dict(type='LoadImage'), *([resize] if resize else []), dict(type='PackInputs')]
    files = dict(data_root=str(root), ann_file='annotations.json', data_prefix='images')
    return DATASETS.build(dict(type='CocoMultiLabel', **files, pipeline=pipeline, **kwargs))


def extract(backbone, dataset, **kwargs):
    return extract_image_features(backbone, build_preprocessor(), dataset, **{'batch_size': 2, **kwargs})


@torch.no_grad()
def plain_loop(backbone, dataset):
    """One image after the other."""
    backbone.eval()
    preprocessor = build_preprocessor()
    inputs = [preprocessor(dict(inputs=item['inputs'][None]))['inputs'] for item in dataset]
    return [extract_features(backbone, image) for image in inputs]


def assert_equal(features, expected, **tolerance):
    assert (features.cls is None) == (expected.cls is None)
    for values, others in zip(filter(torch.is_tensor, features), filter(torch.is_tensor, expected)):
        torch.testing.assert_close(values, others, **(tolerance or EXACT))


@pytest.fixture
def root(tiny_coco, tmp_path):
    """A data set of one's own, to be spoilt."""
    return Path(shutil.copytree(tiny_coco, tmp_path / 'data'))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Arguments for a cache in shards of three, three and two images."""
    monkeypatch.setattr(module, 'SHARD_SIZE', 3)
    return dict(cache_dir=tmp_path / 'cache', fingerprint='a backbone')


@pytest.fixture
def backbone():
    """A ViT; ``backbone.seen`` counts the images that it is given."""
    backbone = build_backbone()
    backbone.seen = 0

    def count(module, inputs):
        module.seen += len(inputs[0])

    backbone.register_forward_pre_hook(count)
    return backbone


@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('batch_size, num_workers', [(3, 0), (8, 2), (100, 4)])
def test_both_aggregates_equal_a_plain_loop(tiny_coco, name, batch_size, num_workers):
    dataset = build_dataset(tiny_coco)
    features = extract(build_backbone(name), dataset, batch_size=batch_size, num_workers=num_workers)
    expected = plain_loop(build_backbone(name), dataset)
    for kind in ('cls', 'gap') if name == 'ViT' else ('gap',):
        values = features.aggregate(kind)
        assert values.dtype == torch.float32 and not values.requires_grad
        torch.testing.assert_close(values, torch.cat([each.aggregate(kind) for each in expected]), **EXACT)
    if name == 'ResNet':
        with pytest.raises(UserError, match="aggregate='cls' needs a class token"):
            features.aggregate('cls')


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('name', BACKBONES)
def test_worker_processes_feed_a_gpu(tiny_coco, name):
    dataset, preprocessor = build_dataset(tiny_coco), build_preprocessor().cuda()
    features = extract_image_features(build_backbone(name).cuda(), preprocessor, dataset, 2, num_workers=2)
    assert_equal(features, extract(build_backbone(name), dataset), rtol=1e-2, atol=1e-2)


def test_modes_statistics_and_random_draws_are_as_before(tiny_coco):
    backbone = build_backbone('ResNet')
    backbone.layer1.eval()
    modes, state = [part.training for part in backbone.modules()], weights_fingerprint(backbone)
    draws = torch.get_rng_state()
    assert True in modes and False in modes
    extract(backbone, build_dataset(tiny_coco))
    assert [part.training for part in backbone.modules()] == modes
    assert weights_fingerprint(backbone) == state
    assert torch.equal(torch.get_rng_state(), draws)


def test_the_features_of_chosen_images_come_with_their_annotations(tiny_coco, backbone):
    dataset, chosen = build_dataset(tiny_coco), [5, 2, 2, 7, 0]
    batches = list(iterate_features(backbone, build_preprocessor(), dataset, chosen, batch_size=2, num_workers=2))
    assert [len(samples) for _, samples in batches] == [2, 2, 1]
    samples = [sample for _, samples in batches for sample in samples]
    assert [sample.sample_idx for sample in samples] == chosen
    assert [sample.gt_score.tolist() for sample in samples] == multi_label_targets(dataset)[chosen].tolist()
    assert {features.grid for features, _ in batches} == {(4, 4)}
    expected = plain_loop(backbone, dataset)
    for part in ('cls', 'positions'):
        values = torch.cat([getattr(features, part) for features, _ in batches])
        torch.testing.assert_close(values, torch.cat([getattr(expected[index], part) for index in chosen]), **EXACT)


def test_a_probe_trains_on_features_and_leaves_the_backbone_without_gradient(tiny_coco, backbone):
    probe = nn.Linear(24, 1)
    batches = iterate_features(backbone, build_preprocessor(), build_dataset(tiny_coco), range(8), 4, 0)
    features, _ = next(batches)
    assert not backbone.training
    probe(features.positions).sum().backward()
    assert probe.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in backbone.parameters())
    batches.close()
    assert all(part.training for part in backbone.modules())


def test_an_interrupted_extraction_goes_on_where_it_stopped(tiny_coco, backbone, cache, capsys):
    dataset = build_dataset(tiny_coco)

    def interrupt(module, inputs):
        if module.seen == 7:
            raise KeyboardInterrupt

    handle = backbone.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        extract(backbone, dataset, **cache, batch_size=1)
    handle.remove()
    assert backbone.training

    backbone.seen = 0
    features = extract(backbone, dataset, **cache)
    assert backbone.seen == 2  # two shards of three were whole
    assert_equal(features, extract(build_backbone(), dataset))

    capsys.readouterr()
    backbone.seen = 0
    assert_equal(extract(backbone, dataset, **cache), features)
    assert backbone.seen == 0
    assert capsys.readouterr().out == ''

    (folder,) = cache['cache_dir'].iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        'images_00000000-00000002.safetensors',
        'images_00000003-00000005.safetensors',
        'images_00000006-00000007.safetensors',
        'key.json',
    ]
    key = json.loads((folder / 'key.json').read_text())
    assert key['fingerprint'] == 'a backbone' and key['images'] == 8 and key['first_image'] == 'tall/0.jpg'
    assert [transform.split('(')[0] for transform in key['transforms']] == ['LoadImage', 'Resize', 'PackInputs']


def cut_off(shard, *_):
    shard.write_bytes(shard.read_bytes()[:-5])


def change_a_value(shard, *_):
    content = bytearray(shard.read_bytes())
    content[-2] ^= 1
    shard.write_bytes(content)


def take_another_shard(shard, next_shard, _):
    shutil.copy(next_shard, shard)


def take_another_cache(shard, _, of_another):
    shutil.copy(of_another, shard)


def empty(shard, *_):
    shard.write_bytes(b'')


@pytest.mark.parametrize('damage', [cut_off, change_a_value, take_another_shard, take_another_cache, empty])
def test_a_damaged_shard_is_named_and_extracted_again(tiny_coco, backbone, cache, damage):
    dataset = build_dataset(tiny_coco)
    features = extract(backbone, dataset, **cache)
    first, second, _ = sorted(cache['cache_dir'].glob('*/*.safetensors'))
    extract(build_backbone('ResNet'), dataset, **{**cache, 'fingerprint': 'another'})
    (other,) = (path for path in cache['cache_dir'].glob(f'*/{first.name}') if path != first)
    damage(first, second, other)

    backbone.seen = 0
    with pytest.warns(UserWarning, match=rf'{first} is damaged \(.+\): its features are extracted again'):
        assert_equal(extract(backbone, dataset, **cache), features)
    assert backbone.seen == 3
    assert_equal(extract(backbone, dataset, **cache), features)
    assert backbone.seen == 3


def other_weights(root):
    return build_dataset(root), dict(fingerprint='another backbone')


def other_transform(root):
    return build_dataset(root, dict(type='Resize', scale=(32, 32), interpolation='bicubic')), {}


def fewer_images(root):
    return build_dataset(root, indices=7), {}


def other_order(root):
    return build_dataset(root, indices=[1, 0, 2, 3, 4, 5, 6, 7]), {}


def other_content_of_an_image(root):
    with (root / 'images' / 'tall' / '4.jpg').open('ab') as file:
        file.write(b'.')
    return build_dataset(root), {}


def an_image_written_anew(root):
    path = root / 'images' / 'tall' / '4.jpg'
    os.utime(path, (0, path.stat().st_mtime + 1))
    return build_dataset(root), {}


@pytest.mark.parametrize(
    'change',
    [
        other_weights,
        other_transform,
        fewer_images,
        other_order,
        other_content_of_an_image,
        an_image_written_anew,
    ],
)
def test_what_changes_the_features_gets_a_cache_of_its_own(root, backbone, cache, change):
    extract(backbone, build_dataset(root), **cache)
    backbone.seen = 0
    dataset, other = change(root)
    extract(backbone, dataset, **{**cache, **other})
    assert backbone.seen == len(dataset)
    assert len(list(cache['cache_dir'].iterdir())) == 2


def test_batches_workers_annotations_and_the_place_of_the_data_change_nothing(root, backbone, cache):
    features = extract(backbone, build_dataset(root), **cache)
    backbone.seen = 0
    moved = build_dataset(root.rename(root.with_name('moved')), classes=['wide'])
    assert_equal(extract(backbone, moved, **cache, batch_size=3, num_workers=0), features)
    assert backbone.seen == 0


def test_joined_data_sets_give_the_rows_of_one_after_the_other(tiny_coco, backbone, cache):
    parts = [build_dataset(tiny_coco, indices=[6, 1]), build_dataset(tiny_coco, indices=3)]
    joined = ConcatDataset(parts)
    expected = [extract(backbone, part) for part in parts]
    for _ in range(2):
        features = extract(backbone, joined, **cache)
        assert_equal(features, type(features)(*map(torch.cat, zip(*expected))))
    assert backbone.seen == 2 * len(joined)
    assert torch.equal(multi_label_targets(joined), torch.cat(list(map(multi_label_targets, parts))))


def test_targets_are_those_of_the_samples(root):
    path = root / 'annotations.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['ignore'] = 1
    del content['annotations'][1]
    path.write_text(json.dumps(content))
    dataset = build_dataset(root)
    targets = multi_label_targets(dataset)
    assert targets.dtype == torch.float32 and targets.unique().tolist() == [-1, 0, 1]
    assert torch.equal(targets, torch.stack([item['data_samples'].gt_score for item in dataset]))


def test_a_fingerprint_tells_every_part_of_the_state(tiny_coco):
    def fingerprint(change=lambda module: module):
        return weights_fingerprint(change(build_backbone('ResNet')))

    def nudge(values):
        def change(backbone):
            parameter = backbone.get_parameter(values) if 'weight' in values else backbone.get_buffer(values)
            parameter.data.view(-1)[-1] += 1e-3
            return backbone

        return change

    changes = [nudge('conv1.weight'), nudge('bn1.running_mean'), nn.Module.half, nn.Sequential]
    assert fingerprint() == fingerprint() == fingerprint(lambda module: module.to(memory_format=torch.channels_last))
    assert len({fingerprint(), *map(fingerprint, changes)}) == 5


def missing_image(root):
    (root / 'images' / 'wide' / '3.jpg').unlink()
    return build_dataset(root)


def broken_image(root):
    (root / 'images' / 'wide' / '3.jpg').write_bytes(b'\xff\xd8\xff\xda')
    return build_dataset(root)


def other_sizes(root):
    shutil.copy(root.parent / 'small.png', root / 'images' / 'wide' / '3.jpg')
    return build_dataset(root, resize=None)


def no_settings(root):
    dataset = build_dataset(root)
    dataset.pipeline.transforms.insert(1, nn.Module.__call__.__get__(object()))
    return dataset


@pytest.mark.parametrize(
    'build, options, message',
    [
        (broken_image, {}, r'cannot decode image \S+3.jpg \(cut off, 4 bytes\)'),
        (missing_image, {}, r'cannot read image \S+3.jpg \(No such file or directory\): restore the file'),
        (other_sizes, {}, r'images of a batch differ in shape, \(3, 8, 9\) and \(3, 64, 64\): add a Resize'),
        (
            lambda root: build_dataset(root, indices=0, serialize_data=False),
            {},
            'there is no image to extract features of',
        ),
        (build_dataset, dict(fingerprint=''), 'cache_dir needs a fingerprint'),
        (build_dataset, dict(cache_dir='data/annotations.json'), r'annotations.json/\S+ cannot be written'),
        (lambda root: Subset(build_dataset(root), [1, 2]), {}, 'Subset does not tell its annotations .+ indices'),
        (no_settings, {}, 'does not tell its settings: give it a __repr__'),
    ],
)
def test_a_mistake_is_told_in_one_line(root, cache, monkeypatch, build, options, message):
    monkeypatch.chdir(root.parent)
    cv2.imwrite('small.png', np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(UserError, match=message) as caught:
        extract(build_backbone(), build(root), **{**cache, **options})
    assert '\n' not in str(caught.value)


def test_without_a_cache_any_data_set_will_do(tiny_coco, backbone):
    dataset = build_dataset(tiny_coco)
    features, all_features = extract(backbone, Subset(dataset, [4, 1])), extract(backbone, dataset)
    assert_equal(features, type(features)(*(values[[4, 1]] for values in all_features)))


def of_two(rank, folder, data):
    """One of two processes: in memory, where the second has nothing to do, and into a cache."""
    torch.set_num_threads(1)
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    dist.init_process_group('gloo', store=dist.FileStore(f'{folder}/store', 2), rank=rank, world_size=2)
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        backbone, dataset = build_backbone(), build_dataset(data)
        in_memory = extract(backbone, dataset, num_workers=0)
        module.SHARD_SIZE = 3
        cached = extract(backbone, dataset, cache_dir=f'{folder}/cache', fingerprint='a backbone', num_workers=0)
    torch.save([tuple(in_memory), tuple(cached)], f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def test_two_processes_equal_one_which_takes_up_their_cache(tiny_coco, tmp_path, backbone, cache):
    mp.spawn(of_two, args=(str(tmp_path), str(tiny_coco)), nprocs=2)
    dataset = build_dataset(tiny_coco)
    expected = extract(backbone, dataset)
    for rank in range(2):
        for features in torch.load(tmp_path / f'{rank}.pt'):
            assert_equal(type(expected)(*features), expected)
    backbone.seen = 0
    assert_equal(extract(backbone, dataset, **cache), expected)
    assert backbone.seen == 0
