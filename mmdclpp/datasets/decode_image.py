"""From the bytes of an image file to pixels as pretraining takes them."""

import io
import re

import cv2
import numpy as np
from PIL import Image, ImageOps

# What OpenCV has to say of a broken or unusual file says the caller, once, with the file's name.
cv2.setLogLevel(0)

# Image files by their names: what OpenCV or Pillow reads of one image a file.
IMAGE_EXTENSIONS = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.avif', '.gif', '.bmp', '.dib', '.tif', '.tiff'),
    *('.jp2', '.j2k', '.jpx', '.ppm', '.pgm', '.pbm', '.pnm', '.tga', '.sgi', '.pcx', '.dds'),
)
_PERCENTILES = (0.1, 99.9)  # ours: a few dead or saturated pixels do not decide the contrast
_MOST_PIXELS_RANKED = 1 << 16

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
_END_MARKERS = {_JPEG: b'\xff\xd9', _PNG: b'IEND\xaeB`\x82'}
# What coded data do not hold: 0xff is followed by zero there, by a restart marker, or by another as filling.
_JPEG_MARKER = re.compile(rb'\xff([^\x00\xd0-\xd7\xff])')


def decode_image(data: bytes) -> np.ndarray:
    """Decode an image file to three channels of 8 bits.

    OpenCV decodes, and Pillow what OpenCV cannot (GIF, AVIF, TIFF of 32 bits, ...). Orientation tags are obeyed. Grey
    is repeated, CMYK and palettes are converted, alpha is dropped, of several frames the first is taken. Samples of
    more than 8 bits are stretched linearly, from the image's own 0.1 to its 99.9 percentile: cameras and scanners
    often fill 10 or 12 of 16 bits, which a division by 256 would leave almost black.

    Args:
        data (bytes): The file.

    Returns:
        np.ndarray: uint8 of shape ``(H, W, 3)``, BGR.

    Raises:
        OSError: If neither can decode it, or a JPEG or PNG is cut off, of which decoders fill the rest with grey.
    """
    if is_cut_off(data):
        raise OSError('cut off')
    decoders = [_decode_with_opencv, _decode_with_pillow]
    if _is_webp_with_exif(data):  # of WebP, OpenCV 4.10 does not see the orientation tag
        decoders.reverse()
    try:
        image = decoders[0](data)
    except OSError:
        image = decoders[1](data)
    return image if image.dtype == np.uint8 else to_8_bits(image)


def _is_webp_with_exif(data: bytes) -> bool:
    return data[:4] == b'RIFF' and data[8:16] == b'WEBPVP8X' and len(data) > 20 and bool(data[20] & 0x08)


def _decode_with_opencv(data: bytes) -> np.ndarray:
    try:
        # ANYDEPTH keeps 16 and 32 bits and decodes 8 bits as ever.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    if image is None:
        raise OSError('OpenCV does not decode it')
    return image


def _decode_with_pillow(data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith(('I', 'F')):  # more than 8 bits, which convert() would clip to 255
                return np.repeat(np.asarray(image)[..., None], 3, axis=2)
            return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them stumble over
        raise OSError(str(error) or type(error).__name__) from error


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Samples of more than 8 bits, stretched as :func:`decode_image` does; uint8 of the same shape."""
    image = image.astype(np.float32)
    stride = max(1, round((image.shape[0] * image.shape[1] / _MOST_PIXELS_RANKED) ** 0.5))
    ranked = image[::stride, ::stride]
    ranked = ranked[np.isfinite(ranked)]
    if not ranked.size:
        return np.zeros(image.shape, np.uint8)
    low, high = np.percentile(ranked, _PERCENTILES)
    if low == high:  # a few bright points on a background of one value
        low, high = ranked.min(), ranked.max()
    scaled = (np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) * (255 / max(high - low, 1e-12))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG ends before its end marker; what follows that, such as a phone's video, does not matter.

    Source: the syntax of ITU-T T.81, Annex B, and of the PNG specification, section 5.
    """
    if data.startswith(_JPEG):
        return _jpeg_is_cut_off(data)
    if data.startswith(_PNG):
        return _png_is_cut_off(data)
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
        if marker[1] not in b'\x01\xd8':  # the others without a length
            place += int.from_bytes(data[place : place + 2], 'big')
    return True


def _png_is_cut_off(data: bytes) -> bool:
    place = len(_PNG)
    while place + 12 <= len(data):  # of each chunk length and name, 4 bytes each, content, and checksum of 4 bytes
        if data[place + 4 : place + 12] == _END_MARKERS[_PNG]:
            return False
        place += 12 + int.from_bytes(data[place : place + 4], 'big')
    return True
