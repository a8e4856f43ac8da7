"""What formats and depths become."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mmdclpp.datasets.decode_image import decode_image, image_size, is_cut_off, seems_whole

RAMP = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, axis=0)
COLOURS = np.stack([RAMP, RAMP[:, ::-1], 255 - RAMP // 2], axis=-1)
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


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


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'tiff', 'webp'])
@pytest.mark.parametrize('value', range(1, 10))
def test_orientation_tags_are_obeyed(kind, value):
    options = dict(lossless=True) if kind == 'webp' else {}
    data = encoded(COLOURS, kind, exif=orientation(value), **options)
    assert difference(data, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))[..., ::-1]) < 2
    assert difference(encoded(COLOURS, kind, exif=orientation(6), **options), np.rot90(COLOURS[..., ::-1], -1)) < 2


XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>'


@pytest.mark.parametrize(
    'segments',
    [
        [XMP, orientation(6).tobytes()],
        [orientation(6).tobytes(), XMP],
        [orientation(6).tobytes()[:-6]],
        [b'Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0'],
        [b'Exif\0\0broken'],
    ],
    ids=['after XMP', 'before XMP', 'cut off', 'a long integer', 'broken'],
)
@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_an_odd_tag_means_the_same_to_header_and_decoder(segments):
    """OpenCV and Pillow disagree about most of these."""
    added = b''.join(b'\xff\xe1' + (len(content) + 2).to_bytes(2, 'big') + content for content in segments)
    data = encoded(COLOURS, 'jpeg')
    data = data[:2] + added + data[2:]
    shape = decode_image(data).shape[:2]
    assert shape == image_size(data)[:2]
    assert decode_image(data, reduction=2).shape[:2] == (shape[0] // 2, shape[1] // 2)
    if XMP in segments:
        assert shape == COLOURS.shape[1::-1]


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


FORMATS = [
    *(('jpeg', mode) for mode in ('RGB', 'L', 'CMYK')),
    *(('png', mode) for mode in ('RGB', '1', 'P', 'LA', 'RGBA', 'I;16')),
    *(('tiff', mode) for mode in ('RGB', 'L', 'I;16', 'F')),
    *(('webp', 'RGB'), ('gif', 'P'), ('bmp', 'RGB'), ('jpeg2000', 'RGB'), ('ppm', 'RGB'), ('tga', 'RGB')),
]


@pytest.mark.parametrize(('kind', 'mode'), FORMATS)
@pytest.mark.parametrize('value', [3, 6])
def test_the_header_tells_the_size_that_decoding_gives(kind, mode, value):
    image = Image.fromarray(RAMP.astype(np.uint16)) if mode == 'I;16' else Image.fromarray(COLOURS).convert(mode)
    data = encoded(image, kind, exif=orientation(value))
    size = image_size(data)
    assert (size.height, size.width) == decode_image(data).shape[:2]
    assert (2 in size.reductions) == (kind == 'jpeg')


def test_an_orientation_behind_the_pixels_of_a_png_is_found():
    data = encoded(COLOURS, 'png')
    data = data[:-12] + chunk(b'eXIf', orientation(6).tobytes().removeprefix(b'Exif\0\0')) + data[-12:]
    assert image_size(data)[:2] == decode_image(data).shape[:2] == COLOURS.shape[1::-1]


@pytest.mark.parametrize('kind', ['jpeg', 'webp', 'tiff'])
def test_an_orientation_that_xmp_alone_has_is_not_obeyed(kind):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(COLOURS, kind, xmp=xmp)
    assert image_size(data)[:2] == decode_image(data).shape[:2] == COLOURS.shape[:2]


def test_size_and_kind_are_those_of_the_content_whatever_the_end():
    assert image_size(WITH_AN_END['jpeg'][:700])[:3] == (48, 64, (1, 2, 4, 8))
    assert image_size(WITH_AN_END['png'][:700])[:3] == (48, 64, (1,))
    assert image_size(b'') is image_size(b'<!DOCTYPE html>') is image_size(WITH_AN_END['jpeg'][:30]) is None


def chunk(kind, content):
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


CLAIMING = ('png', 'jpeg', 'bmp')


def claiming(kind, width, height):
    """A small file whose header claims a size."""
    if kind == 'png':
        header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
        chunks = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(bytes(1000))) + chunk(b'IEND', b'')
        return b'\x89PNG\r\n\x1a\n' + chunks
    data = bytearray(encoded(NOISE, kind))
    if kind == 'jpeg':
        place = data.index(b'\xff\xc0') + 5
        data[place : place + 4] = struct.pack('>HH', height, width)
    else:
        data[18:26] = struct.pack('<ii', width, height)
    return bytes(data)


@pytest.fixture
def no_decoding(monkeypatch):
    def decode(*args):
        raise AssertionError('pixels are decoded')

    monkeypatch.setattr(cv2, 'imdecode', decode)
    monkeypatch.setattr(Image.Image, 'load', decode)


@pytest.mark.parametrize('data', map(claiming, CLAIMING, [60_000] * 3, [60_000] * 3), ids=CLAIMING)
def test_an_image_larger_than_memory_is_refused_by_its_header(data, no_decoding):
    for look in (decode_image, image_size):
        with pytest.raises(OSError, match='more than 178,956,970 pixels'):
            look(data)


@pytest.mark.filterwarnings('ignore:Image size')
@pytest.mark.parametrize('data', map(claiming, CLAIMING, [13_000] * 3, [12_000] * 3), ids=CLAIMING)
def test_the_limit_can_be_lowered(data, no_decoding):
    assert image_size(data)[:2] == (12_000, 13_000)
    with pytest.raises(OSError, match='more than 100,000,000 pixels'):
        decode_image(data, max_pixels=100_000_000)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
@pytest.mark.parametrize('reduction', [2, 4, 8])
def test_a_jpeg_can_be_decoded_at_reduced_size_and_upright(mode, reduction):
    image = Image.fromarray(COLOURS[:45, :59]).convert(mode)  # no multiple of the reduction
    data = encoded(image, 'jpeg', quality=95, exif=orientation(6))
    whole, reduced = decode_image(data), decode_image(data, reduction=reduction)
    assert reduced.shape == (-(-59 // reduction), -(-45 // reduction), 3)
    inner = cv2.resize(whole[: 59 // 8 * 8, : 45 // 8 * 8], None, fx=1 / reduction, fy=1 / reduction, interpolation=3)
    assert np.abs(reduced[: inner.shape[0], : inner.shape[1]].astype(float) - inner).mean() < 1.5


@pytest.mark.parametrize(('data', 'reduction'), [(encoded(COLOURS, 'png'), 2), (encoded(COLOURS, 'jpeg'), 3)])
def test_what_cannot_be_reduced_is_an_error_of_the_caller(data, reduction):
    with pytest.raises(ValueError, match=f'reduction={reduction} must be 1, or for JPEGs 2, 4 or 8'):
        decode_image(data, reduction=reduction)


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'', 'empty'),
        (b'\xff\xd8\xff', 'cut off'),
        (b'<!DOCTYPE html>', 'no image that OpenCV or Pillow reads'),
        (bytes(1000), 'no image that OpenCV or Pillow reads'),
        (encoded(RAMP, 'gif')[:-500], 'truncated'),
    ],
)
def test_a_few_words_tell_what_is_wrong(data, reason):
    with pytest.raises(OSError, match=reason):
        decode_image(data)


def test_a_damaged_jpeg_2000_does_not_reach_opencv(monkeypatch):
    """On some of them, OpenCV 4.10 ends the process."""
    data = encoded(COLOURS, 'jpeg2000')
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: pytest.fail('OpenCV decodes it'))
    with pytest.raises(OSError, match='broken data stream'):
        decode_image(data[: len(data) // 2])


def with_thumbnail():
    thumbnail = encoded(COLOURS[:16, :16], 'jpeg')
    segment = b'Exif\0\0' + thumbnail + bytes(10)
    return b'\xff\xd8\xff\xe1' + (len(segment) + 2).to_bytes(2, 'big') + segment + encoded(COLOURS, 'jpeg')[2:]


def with_restart_markers():
    return cv2.imencode('.jpg', COLOURS, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()


def with_filling():  # any number of 0xff may come before a marker
    return encoded(NOISE, 'jpeg').replace(b'\xff\xda', b'\xff\xff\xff\xda')[:-2] + b'\xff\xff\xd9'


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
