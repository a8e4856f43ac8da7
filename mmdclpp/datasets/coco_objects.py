"""COCO's objects as classes of semantic segmentation."""

from mmengine.registry import DefaultScope

from mmdclpp.registry import DATASETS

from .preparation.object_masks import colour_map

NUM_THINGS = 80


@DATASETS.register_module(name='CocoObjectsDataset')
def coco_objects_dataset(**kwargs):
    """COCO's 80 classes of things and the background, on mmseg's runner.

    In a mask, 0 is background, 1 ... 80 are COCO's categories by ascending id, and 255 is ignored (crowd regions):
    what ``tools/dataset_converters`` draw.

    A function, since mmseg is imported only when one is built. To be named with ``_scope_='mmdclpp'``; the
    transforms are looked up in mmseg's scope.

    Args:
        kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`, such as ``data_root``, ``data_prefix`` and
            ``pipeline``.

    Returns:
        mmseg.datasets.BaseSegDataset: The data set.
    """
    from mmseg.datasets import BaseSegDataset, COCOStuffDataset

    metainfo = dict(
        # COCO-Stuff's classes begin with the things. Its colours would not do: some things share one.
        classes=('background', *COCOStuffDataset.METAINFO['classes'][:NUM_THINGS]),
        palette=colour_map()[: 1 + NUM_THINGS].tolist(),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        return BaseSegDataset(metainfo=metainfo, **kwargs)
