"""From the bytes of an image file to pixels as pretraining takes them."""

import io

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
    try:
        # ANYDEPTH keeps 16 and 32 bits and decodes 8 bits as ever.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    if image is None:
        image = _decode_with_pillow(data)
    return image if image.dtype == np.uint8 else _to_8_bits(image)


def _decode_with_pillow(data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith(('I', 'F')):  # more than 8 bits, which convert() would clip to 255
                return np.repeat(np.asarray(image)[..., None], 3, axis=2)
            return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them stumble over
        raise OSError(str(error) or type(error).__name__) from error


def _to_8_bits(image: np.ndarray) -> np.ndarray:
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
    """Whether a JPEG or PNG lacks its end marker; within JPEG's coded data (after its last start of scan) the
    marker cannot occur by chance."""
    if data.startswith(b'\xff\xd8'):
        return data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda')
    if data.startswith(b'\x89PNG'):
        return b'IEND' not in data[-64:]
    return not data
