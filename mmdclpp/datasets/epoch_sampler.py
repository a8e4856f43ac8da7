"""A sampler that tells the transforms which epoch it is."""

from collections import Counter
from itertools import islice
from typing import Iterator, List, Tuple

from mmengine.dataset import DefaultSampler
from torch.utils.data import Dataset

from mmdclpp.registry import DATA_SAMPLERS

from .pipelines import pipelines
from .sample_seeds import SampleSeeds


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """``DefaultSampler`` with the same arguments and order, which makes the draws for a sample reproducible.

    At the start of an epoch it tells seed and epoch to the transforms that have ``sample_seeds``, such as
    :class:`~mmdclpp.datasets.LoadViews`. What they draw for a sample is then decided by seed, epoch and index, whatever
    the number of workers and processes. Transforms within wrappers other than ``ConcatDataset``, which may give a
    sample several times an epoch, are told nothing, and draw from the worker's random state as mmengine's do.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._skipped = 0
        for seeds, _ in _sample_seeds(self.dataset):
            seeds.share()

    def __iter__(self) -> Iterator[int]:
        """Tell the epoch, then give this process's indices."""
        # A data loader asks for them when its workers are through with the epoch before.
        for seeds, first in _sample_seeds(self.dataset):
            seeds.tell(self.seed, self.epoch, first)
        skipped, self._skipped = self._skipped, 0
        return islice(super().__iter__(), skipped, None)

    def skip(self, num_samples: int) -> None:
        """Let the next iteration, and that alone, begin after so many of this process's samples."""
        self._skipped = num_samples


def _sample_seeds(dataset: Dataset) -> List[Tuple[SampleSeeds, int]]:
    """Those of a data set's transforms, and how many samples come before the data set's own."""
    found = [
        (transform.sample_seeds, first)
        for pipeline, first in pipelines(dataset)
        for transform in pipeline
        if first is not None and isinstance(getattr(transform, 'sample_seeds', None), SampleSeeds)
    ]
    times = Counter(id(seeds) for seeds, _ in found)  # a data set that is joined with itself has several places
    return [(seeds, first) for seeds, first in found if times[id(seeds)] == 1]
