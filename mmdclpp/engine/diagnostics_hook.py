"""Figures of the features that a pretraining step computed, and warnings when they tell that nothing is learned."""

import math
from collections import Counter
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdclpp.engine.unwrapped import unwrapped
from mmdclpp.errors import UserError
from mmdclpp.evaluation.diagnostics import dense_figures, global_figures
from mmdclpp.evaluation.geometric_matches import ViewGeometry
from mmdclpp.models.backbones.features import BackboneFeatures
from mmdclpp.models.necks.densecl_plusplus_neck import DenseCLPlusPlusNeck, Projections
from mmdclpp.registry import HOOKS

# The cost of an effective rank grows with the cube of the smaller of rows and channels.
RANK_ROWS = 512


class _Features(NamedTuple):
    """Of some images in two views, first views then second views, without gradient."""

    dense: Optional[Tensor]
    aggregate: Optional[Tensor]


@HOOKS.register_module()
class DiagnosticsHook(Hook):
    """Log figures of what a training step computes anyway, and warn in plain words when they are bad.

    Every ``interval`` iterations, backbone features and projections of some images of the batch are taken from the
    neck while the model computes its loss. All visualisation backends get their figures as
    ``diagnostics/backbone/...`` and ``diagnostics/projection/...`` (docs/diagnostics.md tells what they mean); with
    crop geometry in the data samples the shares of geometrically correct matches are among them. Training goes on as
    without the hook, bit for bit. Of several processes the first alone looks, at its own part of the batch.

    Of a model without a DenseCLPlusPlusNeck there is nothing to take: that is told once, and training goes on.

    It warns once of each of these, when ``patience`` figures in succession tell of it after the warm-up:

    - features have collapsed: all are nearly the same, or differ along hardly more than one direction
    - the global or the dense loss is still what features give that tell nothing apart, or worse

    Args:
        interval (int): Iterations from one measurement to the next; 0 switches the hook off. Defaults to 50.
        num_images (int): Images of the batch that are looked at. Defaults to 32.
        warmup (int): No warning before this iteration, nor in the first tenth of the run, whichever is shorter.
            Defaults to 500.
        patience (int): Measurements in succession that must agree. Defaults to 3.
        min_std (float): Collapse is a standard deviation below this share of ``1 / √C``. Defaults to 0.1.
        min_rank (float): Collapse is an effective rank below this. Defaults to 1.5.
        max_inter (float): Collapse is a mean similarity between images above this. Defaults to 0.98.
        chance_tolerance (float): At chance is a loss above ``1 - chance_tolerance`` of its chance level. Defaults to
            0.01.

    Raises:
        UserError: If a number is out of range.
    """

    def __init__(
        self,
        interval: int = 50,
        num_images: int = 32,
        warmup: int = 500,
        patience: int = 3,
        min_std: float = 0.1,
        min_rank: float = 1.5,
        max_inter: float = 0.98,
        chance_tolerance: float = 0.01,
    ) -> None:
        least = dict(interval=0, num_images=2, warmup=0, patience=1)
        for key, value in dict(interval=interval, num_images=num_images, warmup=warmup, patience=patience).items():
            if not (isinstance(value, int) and value >= least[key]):
                raise UserError(f'DiagnosticsHook: {key}={value!r} must be a whole number of {least[key]} or more')
        self.interval = interval
        self.num_images = num_images
        self.warmup = warmup
        self.patience = patience
        self.min_std = min_std
        self.min_rank = min_rank
        self.max_inter = max_inter
        self.chance_tolerance = chance_tolerance
        self._captured: Optional[Tuple[Dict[str, _Features], Tuple[int, int]]] = None
        self._streaks: Counter = Counter()

    def before_train(self, runner: Runner) -> None:
        """Stay off if there is nothing to look at: a diagnosis never ends a run."""
        if self.interval and not isinstance(getattr(unwrapped(runner), 'neck', None), DenseCLPlusPlusNeck):
            self.interval = 0
            runner.logger.warning(
                f'no diagnostics in this run: {type(unwrapped(runner)).__name__} has no DenseCLPlusPlusNeck to take '
                'features from. Set default_hooks.diagnostics.interval=0 to be told no more'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Listen to the neck for this iteration, if it is time."""
        self._captured = self._handle = None
        if self.interval and (runner.iter + 1) % self.interval == 0 and is_main_process():
            self._handle = unwrapped(runner).neck.register_forward_hook(self._capture)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """Compute and log the figures, and warn."""
        if self._handle is None:
            return
        self._handle.remove()
        if self._captured is None:  # a single image, or a step that did without the neck
            return
        features, grid = self._captured
        self._captured = None
        geometry = self._geometry(data_batch)
        figures = {name: _figures(part, grid, geometry) for name, part in features.items()}
        runner.visualizer.add_scalars(
            {
                f'diagnostics/{name}/{key}': value
                for name, part in figures.items()
                for key, value in part.items()
                if math.isfinite(value)
            },
            step=runner.iter + 1,
            file_path=f'{runner.timestamp}.json',  # the file in which mmengine's LoggerHook writes too
        )
        if runner.iter >= min(self.warmup, runner.max_iters // 10):
            self._warn(runner, dict([*self._collapses(figures), *self._at_chance(outputs or {})]))

    def _capture(self, neck: DenseCLPlusPlusNeck, inputs: Tuple[BackboneFeatures], output: Projections) -> None:
        (features,) = inputs
        positions = output.positions
        if len(positions) < 4:  # a single image, which can be compared with no other
            return
        grid = (neck.num_grid, neck.num_grid) if neck.num_grid else features.grid
        # Where no global loss has asked for the class token there may be none.
        aggregate = features.aggregate('gap' if features.cls is None else neck.aggregate)
        self._captured = (
            {
                'backbone': _Features(*map(self._some, (positions, aggregate))),
                'projection': _Features(*map(self._some, (output.dense_projections, output.global_projections))),
            },
            grid,
        )

    def _some(self, views: Optional[Tensor]) -> Optional[Tensor]:
        """Both views of the first images, copied, so that nothing else is kept in memory."""
        if views is None:
            return None
        return torch.cat([view[: self.num_images] for view in views.detach().chunk(2)])

    def _geometry(self, data_batch: Optional[dict]) -> Optional[ViewGeometry]:
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        return ViewGeometry.of(samples and samples[: self.num_images])

    def _collapses(self, figures: Dict[str, Dict[str, float]]) -> Iterator[Tuple[str, str]]:
        """What tells of collapse, each with its words."""
        check = (
            'check that the loss has negatives, that its temperature and the learning rate are not too high, and that '
            'the two views are not of different images'
        )
        for name, part in figures.items():
            for kind in ('dense', 'global'):
                std, rank = part.get(f'{kind}_std', 1), part.get(f'{kind}_rank', self.min_rank)
                inter = part.get('inter', 0) if kind == 'dense' else 0
                what = f'{kind} features of the {name}'
                if std < self.min_std or inter > self.max_inter:
                    similar = f', similarity between images {inter:.2f} (1 is the same)' if kind == 'dense' else ''
                    yield (
                        f'{what} complete',
                        f'the {what} have collapsed: all are nearly the same, whatever the image shows (standard '
                        f'deviation {100 * std:.1f} % of that of evenly spread ones{similar}): {check}',
                    )
                elif rank < self.min_rank:
                    yield (
                        f'{what} dimensional',
                        f'the {what} have collapsed to hardly more than one direction (effective rank {rank:.2f}): '
                        f'{check}',
                    )

    def _at_chance(self, outputs: dict) -> Iterator[Tuple[str, str]]:
        for kind in ('global', 'dense'):
            if f'{kind}_nce' in outputs and f'{kind}_chance' in outputs:
                value, chance = float(outputs[f'{kind}_nce']), float(outputs[f'{kind}_chance'])
                if value > (1 - self.chance_tolerance) * chance:
                    yield (
                        f'{kind} chance',
                        f'the {kind} loss is {value:.3f}, no better than chance ({chance:.3f}), the loss of features '
                        'that tell nothing apart: check the learning rate (too low to learn, or so high that training '
                        'diverged), that no part is frozen, and that both views still show what they have in common',
                    )

    def _warn(self, runner: Runner, found: Dict[str, str]) -> None:
        """Warn of what has now been found ``patience`` times in succession."""
        told = {cause: count for cause, count in self._streaks.items() if cause in found or count >= self.patience}
        self._streaks = Counter(told)
        for cause, words in found.items():
            self._streaks[cause] += 1
            if self._streaks[cause] == self.patience:
                runner.logger.warning(f'iteration {runner.iter + 1}: {words}.')


def _figures(features: _Features, grid: Tuple[int, int], geometry: Optional[ViewGeometry]) -> Dict[str, float]:
    figures = {}
    if features.dense is not None:
        figures.update(dense_figures(features.dense, grid, geometry, RANK_ROWS))
    if features.aggregate is not None:
        figures.update(global_figures(features.aggregate))
    return figures
