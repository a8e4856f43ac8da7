"""What formats and depths become."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdclpp.datasets.decode_image import decode_image, is_cut_off, seems_whole

RAMP = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, axis=0)
COLOURS = np.stack([RAMP, RAMP[:, ::-1], 255 - RAMP // 2], axis=-1)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def by_opencv(image, extension):
    return cv2.imencode(extension, image)[1].tobytes()


def difference(data, expected):
    image = decode_image(data)
    assert (image.dtype, image.shape) == (np.uint8, expected.shape)
    return np.abs(image.astype(float) - expected).mean()


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('jpeg', dict(quality=95)),
        ('png', {}),
        ('webp', dict(quality=95)),
        ('bmp', {}),
        ('gif', {}),
        ('jpeg2000', {}),
        ('tiff', {}),
        ('tiff', dict(compression='tiff_lzw')),
        ('ppm', {}),
        ('tga', {}),
        pytest.param('avif', {}, marks=pytest.mark.skipif('.avif' not in Image.registered_extensions(), reason='')),
    ],
)
def test_every_format_that_opencv_or_pillow_reads_gives_its_colours(kind, options):
    assert difference(encoded(COLOURS, kind, **options), COLOURS[..., ::-1]) < 2


@pytest.mark.parametrize(
    ('mode', 'kind'), [('CMYK', 'jpeg'), ('CMYK', 'tiff'), ('RGBA', 'png'), ('RGBA', 'webp'), ('RGBA', 'tiff')]
)
def test_four_channels_become_three_colours(mode, kind):
    options = dict(lossless=True) if kind == 'webp' else {}
    assert difference(encoded(Image.fromarray(COLOURS).convert(mode), kind, **options), COLOURS[..., ::-1]) < 2


@pytest.mark.parametrize(('mode', 'kind'), [('L', 'jpeg'), ('L', 'png'), ('LA', 'png'), ('L', 'tiff'), ('P', 'gif')])
def test_grey_is_repeated(mode, kind):
    assert difference(encoded(Image.fromarray(RAMP).convert(mode), kind), RAMP[..., None].repeat(3, axis=-1)) < 2


@pytest.mark.parametrize(
    'data',
    [
        encoded(RAMP.astype(np.uint16) * 16, 'png'),  # 12 of 16 bits, as many cameras and scanners have
        encoded(RAMP.astype(np.uint16) * 257, 'tiff'),
        encoded(RAMP.astype(np.int32) * 1000 - 1024, 'tiff'),
        encoded(RAMP.astype(np.float32) / 255, 'tiff'),
        by_opencv(RAMP.astype(np.uint16)[..., None].repeat(3, axis=-1) * 16, '.tif'),
        by_opencv(RAMP.astype(np.uint16) * 16, '.jp2'),
    ],
    ids=['12-bit png', '16-bit tiff', '32-bit tiff', 'float tiff', '16-bit colour tiff', '16-bit jp2'],
)
def test_more_than_8_bits_are_stretched_to_their_own_range(data):
    assert difference(data, RAMP[..., None].repeat(3, axis=-1)) < 1


def test_dead_and_saturated_pixels_do_not_decide_the_contrast():
    deep = RAMP.astype(np.uint16) * 8
    deep[0, 0], deep[0, 1] = 65535, 0
    assert difference(encoded(deep, 'png'), RAMP[..., None].repeat(3, axis=-1)) < 1


def test_bright_points_on_a_background_of_one_value_remain():
    deep = np.full((100, 100), 7, np.uint16)
    deep[50, 50] = 4000
    image = decode_image(encoded(deep, 'png'))
    assert image[50, 50].tolist() == [255] * 3 and image.sum() == 3 * 255


def test_pixels_without_a_value_are_dark():
    deep = RAMP.astype(np.float32)
    deep[:4] = np.nan
    image = decode_image(encoded(deep, 'tiff'))
    assert not image[:4].any() and image[4:].max() == 255


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'tiff', 'webp'])
def test_orientation_tags_are_obeyed(kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    options = dict(lossless=True) if kind == 'webp' else {}
    expected = np.rot90(COLOURS[..., ::-1], -1)
    assert difference(encoded(COLOURS, kind, exif=exif, **options), expected) < 2


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_a_webp_with_a_broken_tag_is_still_decoded():
    assert difference(encoded(COLOURS, 'webp', quality=95, exif=b'Exif\0\0broken'), COLOURS[..., ::-1]) < 2


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'tiff', 'gif', 'webp', 'bmp', 'jpeg2000', 'ppm', 'tga'])
@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_half_a_file_is_refused(kind, capfd):
    data = encoded(COLOURS, kind)
    with pytest.raises(OSError):
        decode_image(data[: len(data) // 2])
    assert 'WARN' not in capfd.readouterr().err  # OpenCV's own log


def with_thumbnail():
    thumbnail = encoded(COLOURS[:16, :16], 'jpeg')
    segment = b'Exif\0\0' + thumbnail + bytes(10)
    return b'\xff\xd8\xff\xe1' + (len(segment) + 2).to_bytes(2, 'big') + segment + encoded(COLOURS, 'jpeg')[2:]


def with_restart_markers():
    return cv2.imencode('.jpg', COLOURS, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()


def with_filling():  # any number of 0xff may come before a marker
    return encoded(NOISE, 'jpeg').replace(b'\xff\xda', b'\xff\xff\xff\xda')[:-2] + b'\xff\xff\xd9'


NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
WITH_AN_END = {
    'jpeg': encoded(NOISE, 'jpeg', quality=95),
    'progressive jpeg': encoded(NOISE, 'jpeg', progressive=True),
    'jpeg with thumbnail': with_thumbnail(),
    'jpeg with restart markers': with_restart_markers(),
    'jpeg with filling': with_filling(),
    'png': encoded(NOISE, 'png'),
    'png of many chunks': encoded(np.tile(NOISE, (10, 10, 1)), 'png'),
}
KINDS_WITH_AN_END = pytest.mark.parametrize('data', WITH_AN_END.values(), ids=WITH_AN_END)


@KINDS_WITH_AN_END
def test_whatever_follows_the_end_of_an_image_it_is_whole(data):
    assert not is_cut_off(data) and seems_whole(data[:8], data[-20:])
    for seed in range(20):
        tail = np.random.default_rng(seed).bytes(1 << seed % 14)
        assert not is_cut_off(data + tail)
    # Motion photos and pictures for stereo: what follows has markers of its own, or an end.
    assert not is_cut_off(data + data) and not is_cut_off(data + data[: len(data) // 2])
    assert not is_cut_off(data + bytes(5000)) and seems_whole(data[:8], data + bytes(5000))
    np.testing.assert_array_equal(decode_image(data + tail), decode_image(data))


@KINDS_WITH_AN_END
def test_an_image_cut_off_anywhere_is_refused(data):
    for length in {*range(8, 1000), *range(8, len(data), 37), *range(len(data) - 20, len(data))}:
        if length < len(data):
            assert is_cut_off(data[:length]), length
            assert is_cut_off(data[:length] + bytes(3000)), length
