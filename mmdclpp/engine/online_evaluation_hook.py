"""Evaluate a backbone while it is being pretrained, without any effect on its training."""

import time
from abc import ABC, abstractmethod
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdclpp.engine.run_state import resumed_at
from mmdclpp.engine.unwrapped import evaluated
from mmdclpp.errors import UserError
from mmdclpp.evaluation.features import iterate_features
from mmdclpp.models.backbones.features import BackboneFeatures
from mmdclpp.registry import DATASETS
from mmdclpp.utils.random_states import random_states_kept


class Labelled(NamedTuple):
    """Examples with their labels, on the CPU.

    Attributes:
        features (Tensor): Float32, shape ``(N, C)``.
        labels (Tensor): Shape ``(N, ...)``.
    """

    features: Tensor
    labels: Tensor


class OnlineEvaluationHook(Hook, ABC):
    """Fit something to the features of labelled images, measure it on others, and log the figures.

    This happens after every ``interval`` epochs and after the last, when the checkpoint is written. The features are
    the current backbone's (with an ``EMAHook`` the averaged one's, which the checkpoint holds), in eval mode, detached,
    of images that the model's own data preprocessor normalised.
    Training goes on as if nothing had been: no gradient, batch statistic, mode or random state changes.

    All visualisation backends get the figures as ``{prefix}/...``, at the iteration as step, and with them what they
    cost: ``{name}_seconds``, and ``{name}_cost_percent``, the share that all evaluations of this hook had so far in the
    wall-clock time since training (or its resumption) began.

    Processes share the extraction; the first alone fits and logs, for which the others wait in their next step.

    The data sets are built, and an image of each evaluated, before training begins: mistakes in the config show
    then. An image that cannot be read later ends the training, with its checkpoint written.

    Args:
        train (dict): Config of the labelled data set to learn from. Its pipeline gives one image a sample, all of one
            size, and should not augment.
        val (dict): Config of the held-out data set, with the same classes.
        interval (int): Epochs from one evaluation to the next. Defaults to 1.
        at_start (bool): Whether to evaluate before the first epoch too. Defaults to False.
        max_images (int, optional): Use so many images of each data set at most, drawn once, the same in every run.
            None uses all. Defaults to 1000.
        batch_size (int): Images a step of each process. Defaults to 64.
        num_workers (int): Processes that load images, for each process. Defaults to 2.
        prefix (str): What the names of the figures begin with; another one keeps a second hook of the same class
            apart. Defaults to 'online'.

    Raises:
        UserError: If a number is below 1; before training, if a data set is empty or does not fit, or the model has
            no backbone.
    """

    priority = 'LOWEST'  # after the checkpoint
    name: str
    """What the evaluation is called in the log."""

    def __init__(
        self,
        train: dict,
        val: dict,
        interval: int = 1,
        at_start: bool = False,
        max_images: Optional[int] = 1000,
        batch_size: int = 64,
        num_workers: int = 2,
        prefix: str = 'online',
    ) -> None:
        for key, value in dict(interval=interval, max_images=max_images, batch_size=batch_size).items():
            if not (isinstance(value, int) and value >= 1) and (key, value) != ('max_images', None):
                raise UserError(f'{type(self).__name__}: {key}={value!r} must be a whole number of 1 or more')
        self.configs = dict(train=train, val=val)
        self.interval = interval
        self.at_start = at_start
        self.max_images = max_images
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.prefix = prefix

    @abstractmethod
    def describe(self, model: nn.Module, features: BackboneFeatures, samples: Sequence[BaseDataElement]) -> Labelled:
        """The examples in a batch of images, on whatever device.

        Args:
            model (nn.Module): The model in training.
            features (BackboneFeatures): Of the images.
            samples (Sequence[BaseDataElement]): Their annotations.

        Raises:
            UserError: If the annotations are not of the kind that is needed.
        """

    @abstractmethod
    def measure(self, train: Labelled, val: Labelled, device: torch.device) -> Dict[str, float]:
        """Fit to ``train``, and measure on ``val``.

        Args:
            train (Labelled): What to learn from.
            val (Labelled): What to predict.
            device (torch.device): Where to compute.

        Returns:
            Dict[str, float]: Figures by name, in percent.
        """

    def before_train(self, runner: Runner) -> None:
        """Build the data sets and try an image of each, then maybe evaluate."""
        self._start, self._spent = time.monotonic(), 0.0
        with random_states_kept():
            self.datasets = {split: self._build(split) for split in self.configs}
            train, val = (tuple(dataset.metainfo.get('classes') or ()) for dataset in self.datasets.values())
            if train != val:
                raise UserError(
                    f'{type(self).__name__}: train and val differ in their classes ({len(train)} and {len(val)}): use '
                    'two splits of one data set'
                )
            for dataset in self.datasets.values():
                self._extract(_with_backbone(runner), dataset, [0], num_workers=0)
        if self.at_start and runner.iter == 0:
            self._evaluate(runner, 'before training')
        if resumed_at(runner) == 0 and self._is_due(runner.epoch, runner.max_epochs):
            self._evaluate(runner, f'after epoch {runner.epoch}')  # it may have been cut off, after the checkpoint

    def after_train_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Evaluate, if it is time."""
        if self._is_due(runner.epoch + 1, runner.max_epochs):
            self._evaluate(runner, f'after epoch {runner.epoch + 1}')

    def _is_due(self, epochs: int, of: int) -> bool:
        return epochs % self.interval == 0 or epochs == of

    def _build(self, split: str) -> BaseDataset:
        try:
            dataset = DATASETS.build(self.configs[split])
        except TypeError as error:
            raise UserError(f'{type(self).__name__}: {split}: {error}: correct the keys of this data set') from error
        if not len(dataset):
            raise UserError(f'{type(self).__name__}: {split} has no image: check its files and their folder')
        return dataset

    def _evaluate(self, runner: Runner, when: str) -> None:
        begin, model = time.monotonic(), _with_backbone(runner)
        with random_states_kept():
            train, val = (self._share(model, dataset) for dataset in self.datasets.values())
            if not is_main_process():
                return
            figures = self.measure(train, val, next(model.backbone.parameters()).device)
        now = time.monotonic()
        self._spent += now - begin
        cost = 100 * self._spent / (now - self._start)
        scalars = {**figures, f'{self.name}_seconds': now - begin, f'{self.name}_cost_percent': cost}
        runner.visualizer.add_scalars(
            {f'{self.prefix}/{key}': value for key, value in scalars.items()},
            step=runner.iter,
            file_path=f'{runner.timestamp}.json',  # the file in which mmengine's LoggerHook writes too
        )
        told = ', '.join(f'{key.replace("_", " ")} {value:.2f} %' for key, value in figures.items())
        runner.logger.info(
            f'{self.prefix} evaluation {when}: {told} ({now - begin:.1f} s; {cost:.1f} % of the time so far)'
        )

    def _share(self, model: nn.Module, dataset: BaseDataset) -> Labelled:
        """The examples of a data set, in the order of its images, extracted by all processes."""
        indices = range(len(dataset))
        if self.max_images is not None and self.max_images < len(dataset):
            # From a generator of its own: the images are the same at every evaluation.
            indices = sorted(np.random.default_rng(0).choice(len(dataset), self.max_images, replace=False).tolist())
        rank, world_size = get_dist_info()
        start, stop = (len(indices) * number // world_size for number in (rank, rank + 1))
        mine = self._extract(model, dataset, indices[start:stop], self.num_workers)
        return Labelled(*map(torch.cat, zip(*(part for parts in all_gather_object(mine) for part in parts))))

    def _extract(
        self, model: nn.Module, dataset: BaseDataset, indices: Sequence[int], num_workers: int
    ) -> List[Labelled]:
        """The examples in some images, batch by batch, on the CPU."""
        batches = iterate_features(
            model.backbone, model.data_preprocessor, dataset, indices, self.batch_size, num_workers
        )
        parts = (self.describe(model, features, samples) for features, samples in batches)
        # Contiguous, since a class token as a view would keep all tokens in memory.
        return [Labelled(part.features.float().cpu().contiguous(), part.labels.cpu()) for part in parts]


def _with_backbone(runner: Runner) -> nn.Module:
    model = evaluated(runner)
    if not hasattr(model, 'backbone'):
        raise UserError(f'online evaluation needs a model with a backbone, which {type(model).__name__} does not have')
    return model
