"""The features of one batch after another, at the pace of the backbone."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Iterator, List, Optional, Sequence, Tuple

import cv2
import torch
from mmengine.dataset import default_collate
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures, extract_features

Batch = Tuple[BackboneFeatures, Optional[List[BaseDataElement]]]


def feature_batches(
    backbone: nn.Module,
    data_preprocessor: nn.Module,
    dataset: Dataset,
    batches: Sequence[Sequence[int]],
    num_workers: int,
    with_samples: bool,
) -> Iterator[Batch]:
    """Run a backbone over batches of a data set, in eval mode and without gradient.

    The backbone's modes are as before at the end, or when the generator is closed.

    Args:
        backbone (nn.Module): One that :func:`~mmdclpp.models.backbones.features.extract_features` understands.
        data_preprocessor (nn.Module): From a batch of the data set to the backbone's input, on the same device.
        dataset (Dataset): Its pipeline gives ``inputs``, all of one shape, and ``data_samples``.
        batches (Sequence[Sequence[int]]): The images of each batch.
        num_workers (int): Processes that load images, on a CPU threads between the batches; at most as many as there
            are cores. With 0 the main thread does.
        with_samples (bool): Whether the data samples are wanted. Sending them between processes costs time.

    Yields:
        Tuple[BackboneFeatures, list | None]: The features, on the backbone's device, and the data samples.

    Raises:
        UserError: If the images of a batch differ in shape.
    """
    device = next(backbone.parameters()).device
    on_cpu = device.type == 'cpu'
    num_workers = min(num_workers, len(os.sched_getaffinity(0)))
    # On a CPU the backbone takes all cores, and workers beside it would hold up all of its threads where they take the
    # core of one. So images are loaded in between, by as many threads: decoding and resizing release Python's lock.
    loader = DataLoader(
        _Items(dataset, with_samples, num_threads=num_workers if on_cpu else 0),
        batch_sampler=batches,
        num_workers=0 if on_cpu else min(num_workers, len(batches)),
        collate_fn=_collate,
        pin_memory=not on_cpu,
        worker_init_fn=_use_one_thread,
        generator=torch.Generator(),  # a loader draws a seed, which would change the course of a training around it
    )
    with eval_mode(backbone):
        for data in loader:
            inputs = data['inputs'].to(device, non_blocking=True)
            with torch.no_grad():  # not inference_mode, on whose tensors no probe could be trained
                data = data_preprocessor({**data, 'inputs': inputs})
                features = extract_features(backbone, data['inputs'])
            yield features, data['data_samples']


class _Items(Dataset):
    """Whole batches of a data set, loaded by this many threads, with their data samples or without."""

    def __init__(self, dataset: Dataset, with_samples: bool, num_threads: int) -> None:
        self.dataset, self.num_threads = dataset, num_threads
        self.keys = ('inputs', 'data_samples') if with_samples else ('inputs',)

    def __getitems__(self, indices: Sequence[int]) -> List[dict]:
        if self.num_threads == 0:
            return [self._load(index) for index in indices]
        with ThreadPoolExecutor(self.num_threads) as threads:
            return list(threads.map(self._load, indices))

    def _load(self, index: int) -> dict:
        item = self.dataset[index]
        return {key: item[key] for key in self.keys}


def _collate(items: List[dict]) -> dict:
    shapes = {tuple(item['inputs'].shape) for item in items}
    if len(shapes) > 1:
        raise UserError(
            f'pipeline: images of a batch differ in shape, {" and ".join(map(str, sorted(shapes)[:2]))}: '
            'add a Resize or a crop to one size'
        )
    return default_collate(items)


def _use_one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # torch sees to its own


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
