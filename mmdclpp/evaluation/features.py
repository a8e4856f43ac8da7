"""Features of the images of a data set, from a frozen backbone."""

import math
from contextlib import closing
from itertools import islice
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dist import all_gather_object, all_reduce, broadcast_object_list, get_dist_info, is_main_process
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures, check_aggregate
from mmdclpp.utils.files import PathLike
from mmdclpp.utils.progress import ProgressBar

from .feature_batches import Batch, feature_batches
from .feature_cache import FeatureCache, Rows, describe_features, read_annotations, tensors_digest

SHARD_SIZE = 512  # images whose features are kept, or lost by an interruption, together


class ImageFeatures(NamedTuple):
    """The aggregates of ``N`` images, float32 on the CPU.

    Attributes:
        cls (Tensor, optional): The class tokens, shape ``(N, C)``. None for backbones without one.
        gap (Tensor): The means of the positions, shape ``(N, C)``.
    """

    cls: Optional[Tensor]
    gap: Tensor

    def aggregate(self, kind: str) -> Tensor:
        """One of the aggregates, ``'cls'`` or ``'gap'``, shape ``(N, C)``.

        Raises:
            UserError: If ``kind`` is unknown, or ``'cls'`` is asked of a backbone that has no class token.
        """
        check_aggregate(kind)
        if kind == 'cls' and self.cls is None:
            raise UserError("aggregate='cls' needs a class token, which this backbone does not give: use 'gap'")
        return getattr(self, kind)


def extract_image_features(
    backbone: nn.Module,
    data_preprocessor: nn.Module,
    dataset: Dataset,
    batch_size: int = 64,
    num_workers: int = 4,
    cache_dir: Optional[PathLike] = None,
    fingerprint: str = '',
    label: str = 'features',
) -> ImageFeatures:
    """Extract both aggregates of every image, in one pass.

    Processes share the work, in shards of ``SHARD_SIZE`` images, and all return the same. With ``cache_dir`` each
    shard is kept on disk as soon as it is done, and what is there is not extracted again, whatever the batch size and
    the number of processes.

    Args:
        backbone (nn.Module): One that :func:`~mmdclpp.models.backbones.features.extract_features` understands. Its
            train and eval modes are as before afterwards.
        data_preprocessor (nn.Module): From a batch of the data set to the backbone's input, on the same device, such
            as mmpretrain's ``ClsDataPreprocessor``.
        dataset (Dataset): Its pipeline gives ``inputs``, all of one shape, and does not augment.
        batch_size (int): Images a step of each process; a divisor of ``SHARD_SIZE`` leaves no smaller steps between.
            Defaults to 64.
        num_workers (int): Processes that load images, for each process; on a CPU threads. Defaults to 4.
        cache_dir (PathLike, optional): Where to keep features. Defaults to None, nowhere.
        fingerprint (str): With ``cache_dir``, what else the features depend on: the backbone's weights
            (:func:`weights_fingerprint`) and config, and the preprocessor. Defaults to ''.
        label (str): Text before the progress bar. Defaults to 'features'.

    Returns:
        ImageFeatures: A row an image, in the data set's order.

    Raises:
        UserError: If the data set is empty, an image cannot be read or has another shape, or features cannot be
            kept: no fingerprint, a folder that cannot be written, or what ``describe_features`` refuses.
    """
    number = len(dataset)
    if number == 0:
        raise UserError('dataset: there is no image to extract features of: check its ann_file and indices')
    if cache_dir is not None and not fingerprint:
        raise UserError('cache_dir needs a fingerprint, or backbones would be given the features of others: pass one')
    rank, world_size = get_dist_info()
    shards = [range(start, min(start + SHARD_SIZE, number)) for start in range(0, number, SHARD_SIZE)]
    cache, rows = None, {}
    if cache_dir is not None:
        cache, rows, shards = _look_up(cache_dir, dataset, fingerprint, shards)
    mine = shards[rank::world_size]
    batches = [shard[start : start + batch_size] for shard in mine for start in range(0, len(shard), batch_size)]
    extracted = feature_batches(backbone, data_preprocessor, dataset, batches, num_workers, with_samples=False)
    total = sum(map(len, mine))
    with closing(extracted), ProgressBar(label, total, visible=rank == 0 and total > 0) as bar:
        for shard in mine:
            rows[shard] = _aggregates(islice(extracted, math.ceil(len(shard) / batch_size)), bar)
            if cache is not None:
                cache.write(shard, rows[shard])
    return _share(rows, number)


def iterate_features(
    backbone: nn.Module,
    data_preprocessor: nn.Module,
    dataset: Dataset,
    indices: Sequence[int],
    batch_size: int = 64,
    num_workers: int = 4,
) -> Iterator[Tuple[BackboneFeatures, List[BaseDataElement]]]:
    """Go through some images of a data set, with the dense features and the annotations of each batch.

    The backbone is in eval mode until the end, and then as before. Features have no gradient.

    Args:
        backbone, data_preprocessor, dataset, batch_size, num_workers: See :func:`extract_image_features`.
        indices (Sequence[int]): The images, in the order in which they are wanted.

    Yields:
        Tuple[BackboneFeatures, List[BaseDataElement]]: The features, on the backbone's device, and the data samples.
    """
    batches = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    yield from feature_batches(backbone, data_preprocessor, dataset, batches, num_workers, with_samples=True)


def multi_label_targets(dataset: Dataset) -> Tensor:
    """``gt_score`` of every image, from the annotations alone: shape ``(N, C)``, float32, 1, 0, or -1 for ignored."""
    return torch.from_numpy(np.stack(read_annotations(dataset, 'gt_score')).astype(np.float32))


def weights_fingerprint(module: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of a module's state."""
    return tensors_digest(module.state_dict())


def _look_up(cache_dir, dataset, fingerprint, shards) -> Tuple[FeatureCache, Dict[range, Rows], List[range]]:
    """The cache; what it has of the shards, in the first process alone; and the shards that it does not have."""
    found, answer = {}, [None, None]
    if is_main_process():  # alone, so that all agree on what is there
        cache = FeatureCache(cache_dir, describe_features(dataset, fingerprint, SHARD_SIZE))
        cache.write_description()
        found = {shard: rows for shard in shards if (rows := cache.read(shard)) is not None}
        answer = [cache.description, [shard for shard in shards if shard not in found]]
    broadcast_object_list(answer)
    description, missing = answer
    return FeatureCache(cache_dir, description), found, missing


def _aggregates(batches: Iterable[Batch], bar: ProgressBar) -> Rows:
    """The aggregates of some batches, on the CPU."""
    parts = []
    for features, _ in batches:
        kinds = ('gap',) if features.cls is None else ('cls', 'gap')
        # Contiguous, since a class token as a view would keep all tokens in memory.
        parts.append({kind: features.aggregate(kind).float().contiguous() for kind in kinds})
        bar.update(bar.done + len(features.positions))
    # All at once, since the copy waits for the GPU.
    return {kind: torch.cat([part[kind] for part in parts]).cpu() for kind in kinds}


def _share(rows: Dict[range, Rows], number: int) -> ImageFeatures:
    """All rows in order, in every process, from what each has."""
    widths = {kind: values.shape[1] for kind, values in next(iter(rows.values()), {}).items()}
    widths = next(filter(None, all_gather_object(widths)))  # a process may have had nothing to do
    features = {}
    for kind, width in widths.items():
        features[kind] = torch.zeros(number, width)
        for shard, values in rows.items():
            features[kind][shard.start : shard.stop] = values[kind]
        all_reduce(features[kind])  # every row is zero in all processes but one
    return ImageFeatures(features.get('cls'), features['gap'])
