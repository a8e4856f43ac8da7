import io

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import MMLogger
from PIL import Image

from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS, TRANSFORMS


def encoded(kind, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


JPEG, PROGRESSIVE, PNG = encoded('jpeg'), encoded('jpeg', progressive=True), encoded('png')


@pytest.fixture
def load():
    return TRANSFORMS.build(dict(type='LoadImage'))


@pytest.mark.parametrize(
    'data',
    [JPEG, PROGRESSIVE, PNG, encoded('bmp'), JPEG + bytes(100)],
    ids=['jpeg', 'progressive', 'png', 'bmp', 'padded'],
)
def test_images_load_as_with_mmcv(load, tmp_path, data):
    (tmp_path / 'image').write_bytes(data)
    ours = load(dict(img_path=str(tmp_path / 'image')))
    theirs = LoadImageFromFile()(dict(img_path=str(tmp_path / 'image')))
    assert ours.keys() == theirs.keys()
    assert (ours['img'] == theirs['img']).all()
    assert ours['img_shape'] == ours['ori_shape'] == (40, 60)


@pytest.mark.parametrize(
    'data',
    [
        JPEG[:-2],
        JPEG[: len(JPEG) // 2],
        JPEG[:30],
        PROGRESSIVE[: len(PROGRESSIVE) // 2],
        PNG[: len(PNG) // 2],
        PNG[:-12],
        b'',
        b'no image at all',
        encoded('bmp')[:60],
    ],
    ids=['no end', 'half a jpeg', 'header', 'half a progressive', 'half a png', 'png end', 'empty', 'text', 'bmp'],
)
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_broken_and_cut_off_images_are_named(tmp_path, data, backend):
    path = tmp_path / 'broken.jpg'
    path.write_bytes(data)
    with pytest.raises(UserError, match=f'cannot decode image {path} .*{len(data)} bytes.*restore the file'):
        TRANSFORMS.build(dict(type='LoadImage', imdecode_backend=backend))(dict(img_path=str(path)))


def test_missing_images_and_folders_are_named(load, tmp_path):
    for path in (tmp_path / 'none.jpg', tmp_path):
        with pytest.raises(UserError, match=f'cannot read image {path} .*: restore the file, or check'):
            load(dict(img_path=str(path)))


def test_the_message_comes_through_a_worker_of_the_loader(tmp_path):
    Image.new('RGB', (4, 4)).save(tmp_path / 'a.png')
    (tmp_path / 'b.png').write_bytes(b'')
    dataset = DATASETS.build(
        dict(
            type='UnlabelledImages', data_root=str(tmp_path), pipeline=[dict(type='LoadImage'), dict(type='PackInputs')]
        )
    )
    with pytest.raises(UserError, match='cannot decode image .*b.png'):
        list(torch.utils.data.DataLoader(dataset, num_workers=1, collate_fn=list))


def test_a_broken_image_can_be_skipped_and_is_told(tmp_path, caplog):
    Image.new('RGB', (4, 4)).save(tmp_path / 'a.png')
    (tmp_path / 'b.png').write_bytes(b'')
    pipeline = [dict(type='LoadImage', skip_broken=True), dict(type='PackInputs')]
    dataset = DATASETS.build(dict(type='UnlabelledImages', data_root=str(tmp_path), pipeline=pipeline))
    logger = MMLogger.get_instance('skipping')
    logger.addHandler(caplog.handler)
    assert dataset[1]['inputs'].shape == (3, 4, 4)
    assert 'b.png (broken or cut off, 0 bytes)' in caplog.text and 'Another image takes its place' in caplog.text
