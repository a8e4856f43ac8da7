"""Images without labels, packed into one file."""

from typing import List

from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS

from .packed_file import PackedFile
from .unlabelled_images import UnlabelledImages


@DATASETS.register_module()
class PackedImages(UnlabelledImages):
    """The images of a file that ``tools/dataset_converters/pack_images.py`` has written, in the order packed.

    For file systems on which many small files are slow. A sample has ``img_path``, the path relative to the folder that
    was packed, and ``img_bytes``, the file's bytes, which :class:`LoadImage` decodes. Every process opens the file by
    itself, when it first reads an image.

    Args:
        ann_file (str): The packed file; relative to ``data_root``.
        data_root (str): Folder of ``ann_file``. Defaults to ''.
        kwargs: Further arguments of :class:`UnlabelledImages`, such as ``exclude``, ``skip_broken`` and ``pipeline``.
            Paths in ``exclude_file`` are those that were packed; ``data_prefix`` has no meaning here.

    Raises:
        UserError: If the file is missing, cut off, damaged or not a packed data set, lmdb is not installed
            (``pip install "mmdclpp[packed]"``), or a ``data_prefix`` is given.
    """

    def __init__(self, ann_file: str, data_root: str = '', **kwargs):
        prefix = kwargs.pop('data_prefix', '')
        if any(prefix.values() if isinstance(prefix, dict) else [prefix]):
            raise UserError(f"data_prefix={prefix!r}: packed images lie in no folder: set data_prefix=''")
        super().__init__(data_root=data_root, ann_file=ann_file, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the file's list.

        Returns:
            List[dict]: An image each: ``img_path``, and ``packed_index``, its place in the file.
        """
        paths = PackedFile(self.ann_file).manifest().paths
        kept = set(self._kept(paths))
        self._packed = PackedFile(self.ann_file)
        return [dict(img_path=path, packed_index=index) for index, path in enumerate(paths) if path in kept]

    def get_data_info(self, idx: int) -> dict:
        """What the pipeline starts with: ``img_path``, ``img_bytes`` and ``sample_idx``, the index."""
        info = super().get_data_info(idx)
        info['img_bytes'] = self._packed.read(info.pop('packed_index'))
        return info

    def relative_path(self, path: str) -> str:
        """The path itself, which is relative already."""
        return path
