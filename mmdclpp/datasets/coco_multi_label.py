"""Multi-label classification from COCO-style object annotations."""

from typing import List, Optional, Sequence, Union

import numpy as np
from mmengine.fileio import join_path
from mmpretrain.datasets import BaseDataset

from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS

from .coco_json import check_annotations, check_first_image, column, ids, load_coco

# What an annotation makes of its class in its image; the largest of an image's annotations counts.
_POLICIES = dict(negative=0, ignore=1, positive=2)
_SCORES = np.array([0, -1, 1], np.float32)


@DATASETS.register_module()
class CocoMultiLabel(BaseDataset):
    """Which classes an image shows, from any COCO-style JSON.

    The target of an image is ``gt_score``, float32 of shape ``(C, )``: 1 for a class with an ordinary annotation,
    0 for one without any, -1 for one that is to be left out of loss and metric. Crowd regions (``iscrowd: 1``) and
    ignored objects (``ignore: 1``, VOC's "difficult") decide only where the class has no ordinary annotation in the
    image: as set by ``crowd`` and ``ignore``. Each takes ``'positive'`` (the class is there), ``'negative'`` (as if
    they were not annotated) or ``'ignore'`` (-1, neither). An annotation that is both follows ``ignore``. An image
    without annotations is a valid sample, negative for every class.

    Args:
        ann_file (str): COCO-style JSON with ``images``, ``annotations`` and ``categories``; relative to ``data_root``.
        data_root (str): Root of ``ann_file`` and ``data_prefix``. Defaults to ''.
        data_prefix (str | dict): Folder of the images, or ``dict(img_path=folder)``. Defaults to ''.
        classes (str | Sequence[str], optional): Names of the classes to use, in their order, or a text file with one
            a line. Defaults to None, which means all categories of the file, by id.
        crowd (str): Policy for crowd regions. Defaults to ``'positive'``: a crowd of people shows people.
        ignore (str): Policy for ignored objects. Defaults to ``'ignore'``, the VOC protocol.
        kwargs: Further arguments of :class:`mmpretrain.datasets.BaseDataset`, such as ``pipeline`` and ``test_mode``.

    Raises:
        UserError: If a file is missing or malformed, a class or policy unknown, or an annotation points to an
            image or category that the file does not list.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: Union[str, dict] = '',
        classes: Union[str, Sequence[str], None] = None,
        crowd: str = 'positive',
        ignore: str = 'ignore',
        metainfo: Optional[dict] = None,
        **kwargs,
    ):
        for name, policy in (('crowd', crowd), ('ignore', ignore)):
            if policy not in _POLICIES:
                raise UserError(f'{name}={policy!r} is unknown: use one of {", ".join(map(repr, _POLICIES))}')
        self.crowd, self.ignore = _POLICIES[crowd], _POLICIES[ignore]
        super().__init__(
            ann_file, metainfo=metainfo, data_root=data_root, data_prefix=data_prefix, classes=classes, **kwargs
        )

    def load_data_list(self) -> List[dict]:
        """Read the annotation file.

        Returns:
            List[dict]: An image each, in the file's order: ``img_path``, ``img_id`` and ``gt_score``.
        """
        content = load_coco(self.ann_file, ('images', 'annotations', 'categories'))
        label_of = self._labels(content)
        check_annotations(self.ann_file, content)
        image_ids = ids(self.ann_file, content, 'images')
        names = column(self.ann_file, content, 'images', 'file_name')
        row_of = {image_id: row for row, image_id in enumerate(image_ids)}
        states = np.zeros((len(image_ids), len(self._metainfo['classes'])), np.int8)
        for annotation in content['annotations']:
            row, label = row_of[annotation['image_id']], label_of[annotation['category_id']]
            if label is not None:
                states[row, label] = max(states[row, label], self._state(annotation))
        paths = [join_path(self.img_prefix, name) for name in names]
        check_first_image(paths[0])
        return [
            dict(img_path=path, img_id=image_id, gt_score=score)
            for path, image_id, score in zip(paths, image_ids, _SCORES[states])
        ]

    def get_cat_ids(self, idx: int) -> List[int]:
        """Labels of the classes that image ``idx`` shows."""
        return np.flatnonzero(self.get_data_info(idx)['gt_score'] == 1).tolist()

    def _labels(self, content):
        """Map category ids to labels, those of unused categories to None; settle the names of the classes."""
        names = column(self.ann_file, content, 'categories', 'name')
        name_of = dict(sorted(zip(ids(self.ann_file, content, 'categories'), names)))
        classes = tuple(self._metainfo.setdefault('classes', tuple(name_of.values())))
        unknown = [name for name in classes if name not in names]
        if unknown:
            raise UserError(
                f'classes: {", ".join(map(repr, unknown))} not among the categories of {self.ann_file}: '
                f'use names such as {", ".join(map(repr, names[:5]))}'
            )
        label_of_name = {name: label for label, name in enumerate(classes)}
        return {category_id: label_of_name.get(name) for category_id, name in name_of.items()}

    def _state(self, annotation):
        if annotation.get('ignore'):
            return self.ignore
        return self.crowd if annotation.get('iscrowd') else _POLICIES['positive']
