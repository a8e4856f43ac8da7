"""Images without labels, for pretraining."""

import os
from typing import Any, List, Sequence, Union

from mmengine.fileio import join_path
from mmengine.structures import BaseDataElement
from mmpretrain.datasets import BaseDataset

from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS
from mmdclpp.utils.files import printable

from .coco_json import check_first_image, column, load_coco
from .decode_image import IMAGE_EXTENSIONS
from .exclude_file import excluded_paths
from .load_image import BrokenImageError
from .walk_files import walk_files

MOST_IN_A_ROW = 100  # ours: so many broken files one after the other are no accident


@DATASETS.register_module()
class UnlabelledImages(BaseDataset):
    """All images of a folder, or those of a list.

    Join several with mmengine's ``ConcatDataset``.

    Args:
        data_root (str): Root of ``ann_file`` and ``data_prefix``. Defaults to ''.
        ann_file (str): COCO-style JSON (its ``images``) or a text file with one path a line, relative to
            ``data_prefix``. Defaults to '': every image file below ``data_prefix``, sorted by path.
        data_prefix (str | dict): Folder of the images, or ``dict(img_path=folder)``. Defaults to ''.
        exclude (Sequence[str]): Names, without folder and extension, of images to leave out: those on which the
            pretrained model is to be evaluated. Defaults to ().
        exclude_file (str | Sequence[str], optional): Text file, or several, of images to leave out, one path a line,
            relative to ``data_prefix`` as :meth:`relative_path` gives it, or as the ``img_path`` of a sample has it, or
            one of them as a JSON string; what follows a tab is a remark. Defaults to None.
        skip_broken (bool): Whether, in training, the next image takes the place of one that is missing, unreadable, no
            image, or cut off, where otherwise it ends the run. The sample's data sample then has ``broken_images``,
            path and reason of each that failed, which :class:`~mmdclpp.engine.BrokenImagesHook` counts and logs.
            Defaults to False.
        kwargs: Further arguments of :class:`mmpretrain.datasets.BaseDataset`, such as ``pipeline``.

    Raises:
        UserError: If the folder or file is missing or malformed, there is no image, or none of an excluded name.
    """

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        data_prefix: Union[str, dict] = '',
        exclude: Sequence[str] = (),
        exclude_file: Union[str, Sequence[str], None] = None,
        skip_broken: bool = False,
        **kwargs,
    ):
        self.exclude = frozenset(exclude)
        self.exclude_files = [exclude_file] if isinstance(exclude_file, str) else list(exclude_file or ())
        self.skip_broken = skip_broken
        super().__init__(ann_file, data_root=os.path.expanduser(data_root), data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Find the images.

        Returns:
            List[dict]: An image each: ``img_path``.
        """
        if self.ann_file:
            paths = [join_path(self.img_prefix, name) for name in self._listed()]
            check_first_image(paths[0])
        else:
            paths = self._found()
        return [dict(img_path=path) for path in self._kept(paths)]

    def get_cat_ids(self, idx: int) -> List[int]:
        """Always empty: nothing is known of the images."""
        return []

    def prepare_data(self, idx: int) -> Any:
        """The sample of an image after the pipeline.

        Args:
            idx (int): Index of the image.

        Raises:
            BrokenImageError: If the image is broken, unless ``skip_broken``.
            UserError: If with ``skip_broken`` 100 images in a row are broken, or all.
        """
        if self.test_mode or not self.skip_broken:  # figures of a test are those of its images, and of no others
            return super().prepare_data(idx)
        asked = idx % len(self)
        broken = []
        for offset in range(min(MOST_IN_A_ROW, len(self))):
            info = self.get_data_info((asked + offset) % len(self))
            # Draws that are seeded by the index are those of the place: the image that steps in also has its own turn
            # in the epoch, and is to be seen there in other views.
            info['sample_idx'] = asked
            try:
                sample = self.pipeline(info)
            except BrokenImageError as error:
                broken.append((error.path, error.reason))
                continue
            return _with_broken_images(sample, broken) if broken else sample
        path, reason = broken[0]
        raise UserError(
            f'{len(broken)} images in a row are broken or cannot be read, the first {printable(path)} ({reason}): '
            'check that the disk or file system is there, and data_root and data_prefix'
        )

    def _kept(self, paths):
        names = [os.path.splitext(os.path.basename(path))[0] for path in paths]
        # A name that matches nothing is a mistake that would let an evaluation image slip into pretraining.
        unknown = sorted(self.exclude.difference(names))
        if unknown:
            raise UserError(
                f'exclude: no image of {self.ann_file or self.img_prefix} is named {unknown[0]!r}: correct the name '
                '(without folder and extension) or take it out'
            )
        kept = [path for path, name in zip(paths, names) if name not in self.exclude]
        left_out = set().union(*(excluded_paths(_lines(file, 'exclude_file')) for file in self.exclude_files))
        return [path for path in kept if left_out.isdisjoint((path, self.relative_path(path)))]

    def relative_path(self, path: str) -> str:
        """The path of an image relative to ``data_prefix``; as it is, if it lies elsewhere."""
        return path.removeprefix(os.path.join(self.img_prefix, ''))

    def _listed(self):
        if self.ann_file.endswith('.json'):
            return column(self.ann_file, load_coco(self.ann_file, ('images',)), 'images', 'file_name')
        names = [line.strip() for line in _lines(self.ann_file, 'ann_file') if line.strip()]
        if not names:
            raise UserError(f'{self.ann_file} lists no image: write one path a line')
        return names

    def _found(self):
        if not os.path.isdir(self.img_prefix):
            raise UserError(
                f'data_root: the image folder {self.img_prefix!r} does not exist: check data_root and data_prefix'
            )
        # Data sets are often put together from links to folders elsewhere.
        paths = sorted(path for path in walk_files(self.img_prefix) if path.lower().endswith(IMAGE_EXTENSIONS))
        if not paths:
            raise UserError(
                f'no image ({" ".join(IMAGE_EXTENSIONS)}) below {self.img_prefix}: check the folder given by --data, '
                'or by data_root and data_prefix'
            )
        return paths


def _with_broken_images(sample, broken):
    data_samples = sample.get('data_samples') if isinstance(sample, dict) else None
    if isinstance(data_samples, BaseDataElement):  # pipelines of other kinds have no place for it
        data_samples.set_metainfo(dict(broken_images=broken))
    return sample


def _lines(file, argument):
    if not os.path.isfile(file):
        raise UserError(f'{argument}: {file} does not exist: check data_root and {argument}')
    # Paths are bytes to the system: those that are no UTF-8 come and go as os.listdir gives them.
    with open(file, encoding='utf-8-sig', errors='surrogateescape') as lines:
        return lines.read().split('\n')
