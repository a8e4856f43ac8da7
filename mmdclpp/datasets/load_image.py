"""Read and decode image files, or name the one that cannot be."""

from typing import Optional

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio

from mmdclpp.errors import UserError
from mmdclpp.registry import TRANSFORMS
from mmdclpp.utils.files import printable

from .decode_image import decode_image, is_cut_off


class BrokenImageError(UserError):
    """An image file that is missing, unreadable, no image, or cut off.

    Args:
        message (str): The line for the user. It is the only argument that has to be given: torch makes the error anew
            from it when it brings it from a loader's worker.
        path (str): The file. Defaults to ''.
        reason (str): What is wrong with it, in a few words. Defaults to ''.
    """

    def __init__(self, message: str, path: str = '', reason: str = ''):
        super().__init__(message)
        self.path = path
        self.reason = reason

    @classmethod
    def unreadable(cls, path: str, error: OSError) -> 'BrokenImageError':
        """The error of a file that could not be read."""
        reason = error.strerror or str(error)
        remedy = 'restore the file, or check data_root and data_prefix'
        return cls(f'cannot read image {printable(path)} ({reason}): {remedy}', path, reason)

    @classmethod
    def undecodable(cls, path: str, data: bytes, error: Exception) -> 'BrokenImageError':
        """The error of a file whose bytes ``data`` could not be decoded."""
        reason = f'{error}, {len(data)} bytes'
        remedy = 'restore the file or take it out of the data set'
        return cls(f'cannot decode image {printable(path)} ({reason}): {remedy}', path, reason)


def read_image_file(results: dict, backend_args: Optional[dict] = None) -> bytes:
    """The image file of a sample.

    Args:
        results (dict): The sample: ``img_path``, and where the data set has read the file already, ``img_bytes``.
        backend_args (dict, optional): Arguments of mmengine's file backend. Defaults to None, which chooses by path.

    Raises:
        BrokenImageError: If the file is missing or unreadable.
    """
    if 'img_bytes' in results:
        return results['img_bytes']
    try:
        return fileio.get(results['img_path'], backend_args=backend_args)
    except OSError as error:
        raise BrokenImageError.unreadable(results['img_path'], error) from None


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Decode ``results['img_bytes']``, or, where there is none, the file ``results['img_path']``.

    Like mmcv's ``LoadImageFromFile``, but a missing, broken or truncated file gives one line that names it, where
    decoders otherwise fail obscurely or, for truncated JPEGs, fill the rest with grey. With the default arguments,
    Pillow reads what OpenCV cannot (GIF, AVIF, TIFF of 32 bits), and samples of more than 8 bits are stretched from the
    image's own 0.1 to its 99.9 percentile.

    Adds ``img``, uint8 of shape ``(H, W, 3)`` (BGR), ``img_shape`` and ``ori_shape``, both ``(H, W)``.

    Args:
        color_type (str): How to decode, a flag of :func:`mmcv.imfrombytes`. Defaults to ``'color'``.
        imdecode_backend (str): What decodes, a backend of :func:`mmcv.imfrombytes`. Defaults to ``'cv2'``.
        backend_args (dict, optional): Arguments of mmengine's file backend. Defaults to None, which chooses by path.

    Raises:
        BrokenImageError: If the file is missing, unreadable or cut off.
    """

    def __init__(self, color_type: str = 'color', imdecode_backend: str = 'cv2', backend_args: Optional[dict] = None):
        self.color_type = color_type
        self.imdecode_backend = imdecode_backend
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the image of a sample."""
        data = read_image_file(results, self.backend_args)
        try:
            image = self._decode(data)
        except (OSError, cv2.error) as error:
            raise BrokenImageError.undecodable(results['img_path'], data, error) from None
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results

    def _decode(self, data: bytes) -> np.ndarray:
        if (self.color_type, self.imdecode_backend) == ('color', 'cv2'):
            return decode_image(data)
        if is_cut_off(data):
            raise OSError('cut off')
        image = mmcv.imfrombytes(data, self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise OSError('broken')
        return image

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(color_type={self.color_type!r}, '
            f'imdecode_backend={self.imdecode_backend!r}, backend_args={self.backend_args})'
        )
