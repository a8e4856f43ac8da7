"""The transforms of a data set, also of one that is joined of several."""

from typing import Iterator, List, Tuple

from mmcv.transforms import BaseTransform
from torch.utils.data import Dataset


def pipelines(dataset: Dataset, first: int = 0) -> Iterator[Tuple[List[BaseTransform], int]]:
    """The pipeline of a data set, or those of the parts of mmengine's ``ConcatDataset``.

    Args:
        dataset (Dataset): What a data loader has.
        first (int): Samples that come before the data set's. Defaults to 0.

    Yields:
        Tuple[List[BaseTransform], int]: The transforms, and how many samples come before the first that they are of.
    """
    pipeline = getattr(dataset, 'pipeline', None)
    if pipeline is not None:
        yield list(getattr(pipeline, 'transforms', ())), first
    for part in getattr(dataset, 'datasets', ()):
        yield from pipelines(part, first)
        first += len(part)
