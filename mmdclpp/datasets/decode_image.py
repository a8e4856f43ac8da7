"""From the bytes of an image file to pixels as pretraining takes them."""

import io
import re
import warnings
from typing import NamedTuple, Optional, Tuple

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow's readers, here, so that data workers share their memory: else each loads them with its first image.
Image.preinit()
# What OpenCV has to say of a broken or unusual file says the caller, once, with the file's name.
cv2.setLogLevel(0)
# So for Pillow, which warns of EXIF that it cannot read, and from half of the size on that is refused.
warnings.filterwarnings('ignore', 'Corrupt EXIF', UserWarning)
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)

# Image files by their names: what OpenCV or Pillow reads of one image a file.
IMAGE_EXTENSIONS = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.avif', '.gif', '.bmp', '.dib', '.tif', '.tiff'),
    *('.jp2', '.j2k', '.jpx', '.ppm', '.pgm', '.pbm', '.pnm', '.tga', '.sgi', '.pcx', '.dds'),
)
# Pillow's own limit: 0.5 GB when decoded. A file of kilobytes can claim to be larger than any memory.
MAX_PIXELS = 178_956_970
_REDUCED = {
    1: cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,  # ANYDEPTH keeps 16 and 32 bits and decodes 8 bits as ever
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_ORIENTATION, _TIFF_SIZE = 0x0112, (0x0100, 0x0101)  # tags of EXIF, and of TIFF: width and height
_UPRIGHT = {  # what EXIF's orientations ask for
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
_TURNED = (5, 6, 7, 8)  # those by which height and width change places
_PERCENTILES = (0.1, 99.9)  # ours: a few dead or saturated pixels do not decide the contrast
_MOST_PIXELS_RANKED = 1 << 16

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
_JPEG_2000 = (b'\0\0\0\x0cjP  \r\n\x87\n', b'\xff\x4f\xff\x51')
_END_MARKERS = {_JPEG: b'\xff\xd9', _PNG: b'IEND\xaeB`\x82'}
_SCAN = b'\xda'  # second byte of the marker before coded data
# What coded data do not hold: 0xff is followed by zero there, by a restart marker, or by another as filling.
_JPEG_MARKER = re.compile(rb'\xff([^\x00\xd0-\xd7\xff])')


class _Header(NamedTuple):
    """Format, size before it is put upright, and EXIF's orientation."""

    format: str
    height: int
    width: int
    orientation: int


class ImageSize(NamedTuple):
    """What the header of an image file tells.

    Attributes:
        height (int): Rows of the image as :func:`decode_image` gives it, upright.
        width (int): Its columns.
        reductions (Tuple[int, ...]): At which :func:`decode_image` gives pixels that begin at the upper left corner: 1,
            of JPEGs 2, 4 and 8 too. If EXIF turns a JPEG, only those of them that divide height and width.
        header (NamedTuple): For :func:`decode_image`.
    """

    height: int
    width: int
    reductions: Tuple[int, ...]
    header: _Header


def decode_image(
    data: bytes, max_pixels: int = MAX_PIXELS, reduction: int = 1, size: Optional[ImageSize] = None
) -> np.ndarray:
    """Decode an image file to three channels of 8 bits.

    OpenCV decodes, and Pillow what OpenCV cannot (GIF, AVIF, TIFF of 32 bits, ...). EXIF's orientation is obeyed. Grey
    is repeated, CMYK and palettes are converted, alpha is dropped, of several frames the first is taken. Samples of
    more than 8 bits are stretched linearly, from the image's own 0.1 to its 99.9 percentile: cameras and scanners
    often fill 10 or 12 of 16 bits, which a division by 256 would leave almost black.

    Args:
        data (bytes): The file.
        max_pixels (int): Height times width above which an image is refused before it is decoded. Defaults to
            178,956,970, Pillow's own limit, which can only be lowered.
        reduction (int): 1, or for JPEGs 2, 4 or 8: the part of height and width at which to decode, in a fraction of
            the time. Defaults to 1.
        size (ImageSize, optional): What :func:`image_size` told of the file, whose header is then not read again.
            Defaults to None.

    Returns:
        np.ndarray: uint8 of shape ``(H, W, 3)``, BGR; H and W are the image's divided by ``reduction``, rounded up.

    Raises:
        OSError: If neither can decode it, it is too large, or a JPEG or PNG is cut off, of which decoders fill the
            rest with grey. The message says in a few words what is wrong.
        ValueError: If ``reduction`` is none of these numbers, or not 1 for another format than JPEG.
    """
    if is_cut_off(data):
        raise OSError('cut off' if data else 'empty')
    if reduction not in _REDUCED or (reduction > 1 and not data.startswith(_JPEG)):
        raise ValueError(f'reduction={reduction} must be 1, or for JPEGs 2, 4 or 8')
    header = size.header if size else _read_header(data, max_pixels)
    if data.startswith(_JPEG_2000):
        _decode_with_pillow(data, reduction)  # refuses damaged ones; on some of them OpenCV 4.10 crashes
    try:
        image = _decode_with_opencv(data, reduction, header)
    except OSError:
        image = _decode_with_pillow(data, reduction)
    return image if image.dtype == np.uint8 else to_8_bits(image)


def image_size(data: bytes, max_pixels: int = MAX_PIXELS) -> Optional[ImageSize]:
    """The size of an image, from the header of its file alone; None if Pillow cannot tell.

    Args:
        data (bytes): The file.
        max_pixels (int): As for :func:`decode_image`. Defaults to 178,956,970.

    Raises:
        OSError: If the image has more pixels than that.
    """
    header = _read_header(data, max_pixels)
    if header is None:
        return None
    height, width = header.height, header.width
    if header.orientation in _TURNED:
        height, width = width, height
    if not data.startswith(_JPEG):
        return ImageSize(height, width, (1,), header)
    upright = header.orientation not in _UPRIGHT
    reductions = tuple(by for by in _REDUCED if upright or height % by == width % by == 0)
    return ImageSize(height, width, reductions, header)


def _read_header(data: bytes, max_pixels: int) -> Optional[_Header]:
    try:
        with _open(data) as file:
            # Of a TIFF, Pillow since 11 gives the size as put upright.
            width, height = file.size if file.format != 'TIFF' else (file.tag_v2[tag] for tag in _TIFF_SIZE)
            if width * height <= max_pixels:
                return _Header(file.format, height, width, _orientation(file, data))
    except Image.DecompressionBombError:
        max_pixels = MAX_PIXELS
    except Exception:  # Pillow's plugins raise whatever a broken file makes them stumble over
        return None
    raise OSError(f'more than {max_pixels:,} pixels')


def _orientation(file: Image.Image, data: bytes) -> int:
    if file.format == 'PNG' and not _png_has(b'eXIf', data):
        return 1  # Pillow would decode it all to look for the tag behind the pixels
    try:
        return file.getexif().get(_ORIENTATION, 1)
    except Exception:  # as above; the image itself may be whole
        return 1


def _open(data: bytes) -> Image.Image:
    file = Image.open(io.BytesIO(data))
    for name in ('xmp', 'XML:com.adobe.xmp'):  # has an orientation too, which OpenCV and browsers do not obey
        file.info.pop(name, None)
    return file


def _decode_with_opencv(data: bytes, reduction: int, header: Optional[_Header]) -> np.ndarray:
    # OpenCV misses orientations of WebP, and of JPEGs in which EXIF is not the first application segment; what decodes
    # and what tells the size have to agree, so the header decides. TIFFs come upright from their decoder.
    flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise OSError('OpenCV does not decode it')
    upright = _UPRIGHT.get(header.orientation) if header and header.format != 'TIFF' else None
    return upright(image) if upright else image


def _decode_with_pillow(data: bytes, reduction: int) -> np.ndarray:
    try:
        with _open(data) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith(('I', 'F')):  # more than 8 bits, which convert() would clip to 255
                return np.repeat(np.asarray(image)[..., None], 3, axis=2)
            return np.ascontiguousarray(np.asarray(image.convert('RGB').reduce(reduction))[..., ::-1])
    except UnidentifiedImageError:
        raise OSError('no image that OpenCV or Pillow reads') from None
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them stumble over
        raise OSError(str(error) or type(error).__name__) from error


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Samples of more than 8 bits, stretched as :func:`decode_image` does; uint8 of the same shape."""
    stride = max(1, round((image.shape[0] * image.shape[1] / _MOST_PIXELS_RANKED) ** 0.5))
    ranked = image[::stride, ::stride].astype(np.float32)
    ranked = ranked[np.isfinite(ranked)]
    if not ranked.size:
        return np.zeros(image.shape, np.uint8)
    low, high = np.percentile(ranked, _PERCENTILES)
    if low == high:  # a few bright points on a background of one value
        low, high = ranked.min(), ranked.max()

    def stretched(values: np.ndarray) -> np.ndarray:
        values = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
        return np.clip(np.rint((values - low) * (255 / max(high - low, 1e-12))), 0, 255).astype(np.uint8)

    if image.dtype == np.uint16:  # by a table: floats of a large image would take several times its memory
        return stretched(np.arange(1 << 16))[image]
    return stretched(image)


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG ends before its end marker; what follows that, such as a phone's video, does not matter.

    Source: the syntax of ITU-T T.81, Annex B, and of the PNG specification, section 5.
    """
    if data.startswith(_JPEG):
        return _jpeg_is_cut_off(data)
    if data.startswith(_PNG):
        return not _png_has(_END_MARKERS[_PNG], data)
    return not data


def seems_whole(start: bytes, end: bytes) -> bool:
    """Whether the ends of a file are those of a whole image; of a JPEG or PNG with more than zeros after its end
    marker :func:`is_cut_off` has to tell.

    Args:
        start (bytes): First bytes, 8 or more of a file that has them.
        end (bytes): Last bytes.
    """
    for signature, marker in _END_MARKERS.items():
        if start.startswith(signature):
            return end.rstrip(b'\0').endswith(marker)
    return bool(start)


def _jpeg_is_cut_off(data: bytes) -> bool:
    place = len(_JPEG)
    # Segments have a length, by which the thumbnails in them are passed over; coded data are searched for their end.
    while marker := _JPEG_MARKER.search(data, place):
        place = marker.end()
        if marker.group() == _END_MARKERS[_JPEG]:
            return False
        if marker[1] == _SCAN and data.endswith(_END_MARKERS[_JPEG]):  # most files: nothing has to be searched
            return False
        if marker[1] not in b'\x01\xd8':  # the others without a length
            place += int.from_bytes(data[place : place + 2], 'big')
    return True


def _png_has(start: bytes, data: bytes) -> bool:
    """Whether a PNG has a chunk whose name and further bytes begin so."""
    place = len(_PNG)
    while place + 12 <= len(data):  # of each chunk length and name, 4 bytes each, content, and checksum of 4 bytes
        if data.startswith(start, place + 4):
            return True
        place += 12 + int.from_bytes(data[place : place + 4], 'big')
    return False
