import io
import pickle

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmdclpp.apis._cli import user_message
from mmdclpp.datasets.load_image import BrokenImageError
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


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'', 'empty, 0 bytes'),
        (JPEG[:-2], f'cut off, {len(JPEG) - 2} bytes'),
        (b'<!DOCTYPE html>', 'no image that OpenCV or Pillow reads, 15 bytes'),
    ],
    ids=['empty', 'cut off', 'a page of a web server'],
)
def test_the_error_has_path_and_reason_also_after_pickling(load, tmp_path, data, reason):
    path = tmp_path / 'broken.jpg'
    path.write_bytes(data)
    with pytest.raises(BrokenImageError) as caught:
        load(dict(img_path=str(path)))
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.path, error.reason) == (str(path), reason)
        assert str(error).startswith(f'cannot decode image {path} ({reason})')


def test_bytes_that_the_data_set_has_read_are_decoded_and_no_file_is_opened(load):
    loaded = load(dict(img_path='archive/none.png', img_bytes=PNG))
    np.testing.assert_array_equal(loaded['img'][..., ::-1], np.asarray(Image.open(io.BytesIO(PNG))))
    with pytest.raises(BrokenImageError, match=r'cannot decode image archive/none.png \(cut off'):
        load(dict(img_path='archive/none.png', img_bytes=PNG[:-12]))


@pytest.mark.parametrize('missing', [False, True])
def test_the_message_comes_through_a_worker_of_the_loader(tmp_path, missing):
    Image.new('RGB', (4, 4)).save(tmp_path / 'a.png')
    (tmp_path / 'b.png').write_bytes(b'')
    dataset = DATASETS.build(
        dict(
            type='UnlabelledImages', data_root=str(tmp_path), pipeline=[dict(type='LoadImage'), dict(type='PackInputs')]
        )
    )
    if missing:
        (tmp_path / 'b.png').unlink()
    with pytest.raises(UserError) as caught:
        list(torch.utils.data.DataLoader(dataset, num_workers=1, collate_fn=list))
    kind = 'read' if missing else 'decode'
    line = user_message(caught.value)
    assert line.startswith(f'cannot {kind} image {tmp_path}/b.png (') and ': restore the file' in line
