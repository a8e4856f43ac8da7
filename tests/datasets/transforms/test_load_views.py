"""Views have the pixels, boxes and flips that they say, whatever the file; each file is decoded once."""

import io
import random

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F
from mmengine.dataset import Compose
from PIL import Image, ImageOps

from mmdclpp.datasets import decode_image
from mmdclpp.datasets.load_image import BrokenImageError
from mmdclpp.datasets.transforms import LoadViews, load_views
from mmdclpp.datasets.transforms.view_recipe import ViewRecipe
from mmdclpp.errors import UserError

FLIP = dict(type='RandomFlip', prob=0.5)
PHOTOMETRIC = [
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)],
        prob=0.8,
    ),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]
META = ('img_path', 'ori_shape', 'view_boxes', 'view_flips', 'view_photometric')


def crop(scale=24, **options):
    return dict(type='RandomResizedCropWithBox', scale=scale, **options)


def encoded(image, kind='png', **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def photograph(height=61, width=83):
    """Smooth shapes with some noise, uint8 RGB."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.random((1, 3, 6, 7)))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode='bicubic')[0].permute(1, 2, 0).numpy()
    return np.clip(255 * smooth + random.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def load(data, *transforms, num_views=2, seed=0, **options):
    """The sample of a file's bytes; further lists of transforms make further kinds of views."""
    np.random.seed(seed)
    random.seed(seed)
    loader = LoadViews(list(transforms), num_views, **options)
    return loader(dict(img_path='image', img_bytes=data))


@pytest.fixture
def crops(monkeypatch):
    """Let the next crops be these: top, left, height and width."""

    def _crops(*boxes):
        left = iter(boxes)
        monkeypatch.setattr(ViewRecipe, 'draw_crop', lambda *_: next(left))

    return _crops


@pytest.fixture
def reductions(monkeypatch):
    """At what reductions files were decoded."""
    used = []

    def decode(data, reduction=1, size=None):
        used.append(reduction)
        return decode_image.decode_image(data, reduction=reduction, size=size)

    monkeypatch.setattr(load_views, 'decode_image', decode)
    return used


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('size', [24, (20, 50), 90], ids=['smaller', 'oblong', 'larger than the image'])
@pytest.mark.parametrize(
    ('interpolation', 'resample', 'levels'),
    [('bilinear', Image.Resampling.BILINEAR, 1), ('bicubic', Image.Resampling.BICUBIC, 2)],
)
def test_the_box_cut_out_resized_by_pillow_and_mirrored_is_the_view(interpolation, resample, levels, size, seed):
    image = Image.fromarray(photograph())
    sample = load(encoded(image), [crop(size, interpolation=interpolation), FLIP], seed=seed)
    height, width = (size, size) if isinstance(size, int) else size
    assert sample['ori_shape'] == (61, 83) and sample['img_shape'] == (height, width)
    for view, box, flip in zip(sample['img'], sample['view_boxes'], sample['view_flips'], strict=True):
        assert view.dtype == torch.uint8 and view.is_contiguous()
        edges = np.array(box) * (83, 61, 83, 61)
        np.testing.assert_allclose(edges, edges.round(), atol=1e-9)
        expected = image.crop(tuple(edges.round())).resize((width, height), resample)
        expected = F.pil_to_tensor(ImageOps.mirror(expected) if flip else expected).flip(0)  # BGR
        assert (view.int() - expected.int()).abs().max() <= levels


@pytest.mark.parametrize('size', [(1, 1), (1, 5), (5, 1), (7, 8)])
@pytest.mark.parametrize('box', [(0, 0, 1, 1), (29, 0, 1, 41), (0, 40, 30, 1), (0, 0, 30, 41)])
def test_crops_and_views_of_a_few_pixels_are_those_of_pillow(box, size, crops):
    image = Image.fromarray(photograph(30, 41))
    crops(box)
    (view,) = load(encoded(image), [crop(size), dict(FLIP, prob=1.0)], num_views=1)['img']
    top, left, height, width = box
    cut_out = image.crop((left, top, left + width, top + height))
    expected = ImageOps.mirror(cut_out.resize(size[::-1], Image.Resampling.BILINEAR))
    assert (view.int() - F.pil_to_tensor(expected).flip(0).int()).abs().max() <= 1


def test_flips_are_drawn_as_often_as_asked():
    sample = load(encoded(photograph(8, 8)), [crop(2), dict(FLIP, prob=0.25)], num_views=400)
    assert 70 < sum(sample['view_flips']) < 130  # 3.5 standard deviations
    assert set(map(type, sample['view_flips'])) == {bool}


def map_of_places(height, width):
    """An image whose red tells the column and whose green the row, in shares of width and height."""
    rows, columns = np.mgrid[:height, :width]
    red, green = 255 * (columns + 0.5) / width, 255 * (rows + 0.5) / height
    return Image.fromarray(np.stack((red, green, 0 * red + 128), axis=2).round().astype(np.uint8))


def assert_views_lie_where_they_say(sample, tolerance):
    """Places are read from the pixels; ``tolerance``: of their mean in each half of a view, in shares of the image."""
    for view, (left, top, right, bottom), flip in zip(
        sample['img'], sample['view_boxes'], sample['view_flips'], strict=True
    ):
        height, width = view.shape[1:]
        columns = left + (torch.arange(width) + 0.5) / width * (right - left)
        rows = top + (torch.arange(height) + 0.5) / height * (bottom - top)
        inner = slice(1, -1)  # the outer pixels mix with none beyond the crop
        columns = (view[2].float().mean(0) / 255 - (columns.flip(0) if flip else columns))[inner]
        rows = (view[1].float().mean(1) / 255 - rows)[inner]
        for deviations in (columns, rows):
            ends = torch.stack((deviations[: len(deviations) // 2].mean(), deviations[len(deviations) // 2 :].mean()))
            assert ends.abs().max() < tolerance


@pytest.mark.parametrize(
    ('kind', 'options', 'height', 'width', 'at'),
    [
        ('png', {}, 200, 256, {1}),
        ('jpeg', dict(quality=98, subsampling=0), 100, 128, {1, 2}),
        ('jpeg', dict(quality=98, subsampling=0), 403, 601, {4, 8}),
    ],
    ids=['png', 'jpeg', 'reduced jpeg'],
)
def test_boxes_and_flips_tell_where_the_pixels_come_from(kind, options, height, width, at, reductions):
    data = encoded(map_of_places(height, width), kind, **options)
    for seed in range(6):
        sample = load(data, [crop(32, crop_ratio_range=(0.3, 1.0)), FLIP], num_views=3, seed=seed)
        assert_views_lie_where_they_say(sample, 0.003)
    assert set(reductions) == at


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize('orientation', TURNS)
@pytest.mark.parametrize(('height', 'width', 'reduction'), [(400, 600, 8), (404, 604, 4), (403, 601, 1)])
def test_a_reduced_image_is_put_upright_and_its_boxes_with_it(orientation, height, width, reduction, reductions):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = map_of_places(height, width).transpose(TURNS[orientation])
    data = encoded(stored, 'jpeg', quality=98, subsampling=0, exif=exif)
    sample = load(data, [crop(32, crop_ratio_range=(0.5, 0.9)), FLIP])
    assert sample['ori_shape'] == (height, width)
    assert_views_lie_where_they_say(sample, 0.002)
    # If the last pixel reached beyond the image, it would come first in one that is turned.
    assert reductions == [reduction]


@pytest.mark.parametrize(
    ('boxes', 'sizes', 'reduction'),
    [
        (((0, 0, 800, 800), (0, 0, 1200, 1600)), (100, 100), 8),
        (((0, 0, 799, 800), (0, 0, 1200, 1600)), (100, 100), 4),
        (((0, 0, 800, 799), (0, 0, 1200, 1600)), (100, 100), 4),
        (((0, 0, 1200, 1600), (5, 7, 399, 1000)), (100, 100), 2),
        (((5, 7, 150, 1000), (0, 0, 1200, 1600)), (100, 100), 1),
        (((5, 7, 50, 50), (0, 0, 1200, 1600)), (100, 100), 1),
        (((0, 0, 1200, 1600), (0, 0, 1200, 1600)), (100, 500), 2),
        (((0, 0, 1200, 1600), (0, 0, 1200, 1600)), (100, (100, 401)), 2),
        (((0, 0, 1200, 1600), (0, 0, 1200, 1600)), (100, (300, 400)), 4),
    ],
)
def test_a_jpeg_is_reduced_as_far_as_every_crop_keeps_the_pixels_of_its_view(
    boxes, sizes, reduction, crops, reductions, large
):
    crops(*boxes)
    load(large, *([crop(size)] for size in sizes), num_views=[1, 1])
    assert reductions == [reduction]


@pytest.fixture(scope='module')
def large():
    return encoded(photograph(1200, 1600), 'jpeg', quality=90)


@pytest.mark.parametrize(
    ('kind', 'options'), [('png', {}), ('bmp', {}), ('webp', {}), ('gif', {})], ids=['png', 'bmp', 'webp', 'gif']
)
def test_other_formats_are_never_reduced(kind, options, reductions):
    sample = load(encoded(photograph(400, 400), kind, **options), [crop(10, crop_ratio_range=(0.9, 1.0))])
    assert sample['ori_shape'] == (400, 400)
    assert set(reductions) == {1}


@pytest.mark.parametrize(('scale', 'reduction'), [(64, 8), (144, 4), (270, 2)])
@pytest.mark.parametrize('offset', [0, 3, 5])
def test_views_of_a_reduced_image_are_those_of_the_whole_within_a_level(
    scale, reduction, offset, large, crops, reductions, monkeypatch
):
    drawn = (100 + offset, 200 + offset, 1000 - offset, 1001)
    crops(drawn)
    reduced = load(large, [crop(scale)], num_views=1)
    left, top, right, bottom = np.multiply(reduced['view_boxes'][0], (1600, 1200, 1600, 1200)).round().astype(int)
    told = (top, left, bottom - top, right - left)
    # A crop is moved to the pixels of the reduced image: by half of one at each edge.
    assert np.abs(np.subtract(told, drawn)).max() <= reduction
    monkeypatch.setattr(load_views, 'image_size', lambda _: None)
    crops(told)
    whole = load(large, [crop(scale)], num_views=1)
    assert reductions == [reduction, 1]
    difference = (reduced['img'][0].float() - whole['img'][0].float()).abs()
    assert 0 < difference.mean() < 1  # of 255


@pytest.mark.parametrize('backend', load_views.BACKENDS)
@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_a_file_is_decoded_once_for_all_its_views(kind, backend, monkeypatch):
    decoded = []

    def imdecode(data, flags, decode=decode_image.cv2.imdecode):
        decoded.append(len(data))
        return decode(data, flags)

    monkeypatch.setattr(decode_image.cv2, 'imdecode', imdecode)
    sample = load(encoded(photograph(), kind), [crop(), FLIP], [crop(8)], num_views=[2, 3], backend=backend)
    assert len(sample['img']) == 5 and len(decoded) == 1


def test_views_of_several_recipes_come_in_their_order_each_with_its_own_row():
    first = [crop(24), dict(FLIP, prob=1.0), dict(PHOTOMETRIC[2], prob=1.0), dict(type='Solarize', thr=128, prob=0.0)]
    second = [crop(16), dict(PHOTOMETRIC[1], prob=1.0), dict(type='Solarize', thr=51, prob=1.0)]
    sample = load(encoded(photograph()), first, second, num_views=[2, 1])
    assert [tuple(view.shape) for view in sample['img']] == [(3, 24, 24), (3, 24, 24), (3, 16, 16)]
    assert sample['view_flips'] == [True, True, False]
    rows = sample['view_photometric']
    assert rows.shape == (3, 8) and rows.dtype == np.float32
    sigmas = rows[:, 6]
    assert (sigmas[:2] > 0.1).all() and sigmas[0] != sigmas[1] and sigmas[2] == 0
    assert rows[:, 5].tolist() == [0, 0, 1]
    assert rows[:, 7].tolist() == pytest.approx([np.inf, np.inf, 0.2])
    assert len(set(sample['view_boxes'])) == 3


@pytest.mark.parametrize('seed', range(3))
def test_the_other_backend_is_mmpretrains_pipeline_draw_by_draw(seed, tmp_path):
    path = tmp_path / 'image.jpg'
    path.write_bytes(encoded(photograph(), 'jpeg'))
    kinds = dict(transforms=[[crop(), FLIP, *PHOTOMETRIC], [crop(16), *PHOTOMETRIC]], num_views=[2, 1])
    pipelines = [
        [dict(type='LoadViews', backend='mmpretrain', **kinds)],
        [dict(type='LoadImage'), dict(type='MultiViewWithGeometry', **kinds)],
    ]
    packed = []
    for pipeline in pipelines:
        np.random.seed(seed)
        random.seed(seed)
        sample = Compose([*pipeline, dict(type='PackInputs', meta_keys=META[:-1])])(dict(img_path=str(path)))
        packed.append((sample, np.random.rand(), random.random()))  # as much was drawn
    (ours, *ours_next), (theirs, *theirs_next) = packed
    assert ours_next == theirs_next
    assert all(view.equal(reference) for view, reference in zip(ours['inputs'], theirs['inputs'], strict=True))
    assert ours['data_samples'].to_dict() == theirs['data_samples'].to_dict()
    assert set(ours['data_samples'].metainfo_keys()) == set(META[:-1])


def test_whether_something_is_left_to_do_is_known():
    def leaves(*transforms, **options):
        return LoadViews([[crop(), *transforms]], **options).leaves_photometric

    assert not leaves(FLIP)
    assert not leaves(FLIP, *PHOTOMETRIC, backend='mmpretrain')
    assert not leaves(dict(type='Solarize', thr=128, prob=0.0))
    assert all(leaves(FLIP, transform) for transform in PHOTOMETRIC)


@pytest.mark.parametrize('backend', load_views.BACKENDS)
def test_packed_samples_have_what_the_preprocessor_asks_for(backend, tmp_path):
    (tmp_path / 'a.png').write_bytes(encoded(photograph()))
    pipeline = [dict(type='LoadViews', transforms=[[crop(), *PHOTOMETRIC]], backend=backend)]
    sample = Compose([*pipeline, dict(type='PackInputs', meta_keys=META)])(dict(img_path=str(tmp_path / 'a.png')))
    assert [(view.dtype, tuple(view.shape)) for view in sample['inputs']] == [(torch.uint8, (3, 24, 24))] * 2
    told = sample['data_samples']
    assert told.img_path == str(tmp_path / 'a.png') and told.ori_shape == (61, 83)
    assert len(told.view_boxes) == 2 and ('view_photometric' in told) == (backend == 'batched')


@pytest.mark.parametrize('backend', load_views.BACKENDS)
@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'', 'empty'),
        (encoded(photograph(), 'jpeg')[:-40], 'cut off'),
        (encoded(photograph())[:-40], 'cut off'),
        (b'<!DOCTYPE html>', 'no image'),
        (None, 'No such file'),
    ],
    ids=['empty', 'cut off jpeg', 'cut off png', 'a page', 'missing'],
)
def test_a_broken_file_is_named(backend, data, reason, tmp_path):
    path = tmp_path / 'broken.jpg'
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BrokenImageError, match=f'image {path} .*{reason}') as caught:
        LoadViews([[crop()]], backend=backend)(dict(img_path=str(path)))
    assert caught.value.path == str(path) and reason in caught.value.reason


@pytest.mark.parametrize('shape', [(1, 1), (1, 50), (50, 1), (3, 400)])
@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_images_of_any_shape_give_views(shape, kind):
    sample = load(encoded(photograph(*shape), kind), [crop(24), FLIP, *PHOTOMETRIC], num_views=20)
    for view, (left, top, right, bottom) in zip(sample['img'], sample['view_boxes'], strict=True):
        assert view.shape == (3, 24, 24)
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


@pytest.mark.parametrize('mode', ['L', 'CMYK'])
def test_grey_and_cmyk_jpegs_are_reduced_too(mode, reductions):
    image = Image.fromarray(photograph(400, 400)).convert(mode)
    sample = load(encoded(image, 'jpeg', quality=95), [crop(40, crop_ratio_range=(1.0, 1.0), max_attempts=0)])
    assert reductions == [8]
    expected = F.pil_to_tensor(image.convert('RGB').resize((40, 40), Image.Resampling.BILINEAR)).flip(0)
    assert (sample['img'][0].float() - expected.float()).abs().mean() < 4


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(backend='gpu'), "LoadViews.backend='gpu' is unknown: use one of 'batched', 'mmpretrain'"),
        (dict(num_views=[1, 1]), r'LoadViews.num_views=\[1, 1\] does not fit 1 lists of transforms: give'),
        (dict(transforms=[[FLIP]]), "LoadViews cannot compute .*backend='mmpretrain'"),
    ],
)
def test_a_wrong_argument_is_named(options, message):
    with pytest.raises(UserError, match=message):
        LoadViews(**{'transforms': [[crop()]], **options})
