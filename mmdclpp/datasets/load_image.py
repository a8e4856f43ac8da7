"""Load an image, or name the file that cannot be loaded."""

from typing import Optional

import cv2
import mmcv
from mmcv.transforms import BaseTransform
from mmengine import fileio

from mmdclpp.errors import UserError
from mmdclpp.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read and decode ``results['img_path']``.

    Like mmcv's ``LoadImageFromFile``, but a missing, broken or truncated file gives one line that names it, where
    decoders otherwise fail obscurely or, for truncated JPEGs, fill the rest with grey.

    Adds ``img``, uint8 of shape ``(H, W, 3)`` (BGR), ``img_shape`` and ``ori_shape``, both ``(H, W)``.

    Args:
        color_type (str): How to decode, a flag of :func:`mmcv.imfrombytes`. Defaults to ``'color'``.
        imdecode_backend (str): What decodes, a backend of :func:`mmcv.imfrombytes`. Defaults to ``'cv2'``.
        backend_args (dict, optional): Arguments of mmengine's file backend. Defaults to None, which chooses by path.

    Raises:
        UserError: If the file is missing, unreadable or cut off.
    """

    def __init__(self, color_type: str = 'color', imdecode_backend: str = 'cv2', backend_args: Optional[dict] = None):
        self.color_type = color_type
        self.imdecode_backend = imdecode_backend
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the image of a sample."""
        path = results['img_path']
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except OSError as error:
            raise UserError(
                f'cannot read image {path} ({error.strerror or error}): restore the file, or check '
                'data_root and data_prefix'
            ) from None
        try:
            image = (
                None if _is_cut_off(data) else mmcv.imfrombytes(data, self.color_type, backend=self.imdecode_backend)
            )
        except (OSError, cv2.error):
            image = None
        if image is None:
            raise UserError(
                f'cannot decode image {path} (broken or cut off, {len(data)} bytes): restore the file or '
                'take it out of the data set'
            )
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(color_type={self.color_type!r}, '
            f'imdecode_backend={self.imdecode_backend!r}, backend_args={self.backend_args})'
        )


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end marker; within JPEG's coded data (after its last start of scan) the
    marker cannot occur by chance."""
    if data.startswith(b'\xff\xd8'):
        return data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda')
    if data.startswith(b'\x89PNG'):
        return b'IEND' not in data[-64:]
    return not data
