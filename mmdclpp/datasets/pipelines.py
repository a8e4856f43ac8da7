"""The transforms of a data set, also of one that is joined of several or wrapped."""

from typing import Iterator, List, Optional, Tuple

from mmcv.transforms import BaseTransform
from torch.utils.data import Dataset


def pipelines(dataset: Dataset, first: Optional[int] = 0) -> Iterator[Tuple[List[BaseTransform], Optional[int]]]:
    """The pipeline of a data set, or those of the parts of mmengine's ``ConcatDataset``, or of what is in a wrapper.

    Args:
        dataset (Dataset): What a data loader has.
        first (int, optional): Samples that come before the data set's. Defaults to 0.

    Yields:
        Tuple[List[BaseTransform], Optional[int]]: The transforms, and how many samples come before the first that they
        are of; None within a wrapper, such as ``RepeatDataset``, which numbers samples otherwise.
    """
    pipeline = getattr(dataset, 'pipeline', None)
    if pipeline is not None:
        yield list(getattr(pipeline, 'transforms', ())), first
    for part in getattr(dataset, 'datasets', ()):
        yield from pipelines(part, first)
        first = None if first is None else first + len(part)
    wrapped = getattr(dataset, 'dataset', None)
    if wrapped is not None:
        yield from pipelines(wrapped, None)
