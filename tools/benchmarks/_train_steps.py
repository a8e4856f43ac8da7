"""What train_step.py times: whole steps of our methods and mmpretrain's, and the parts of a dense loss."""

import argparse
import math
from typing import Callable, Dict, List, Tuple
from unittest import mock

import mmengine.dist.dist as mmengine_dist
import torch
import torch.distributed as dist
from _report import Spread, Stopwatch, progress, time_interleaved
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from mmdclpp.core import Draws, NegativeSampler, dense_loss, match_positions
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import MODELS
from mmdclpp.utils.measure import peak_memory
from mmdclpp.utils.paths import config_path

CONFIGS = {
    'simclr': {'vit-s16': 'simclr/vit-s16_gap_coco.py', 'r50': 'simclr/r50_coco.py'},
    'densecl': {'vit-s16': 'densecl/vit-s16_gap_backbone_coco.py', 'r50': 'densecl/r50_coco.py'},
    'densecl_pp': {'vit-s16': 'densecl_pp/vit-s16_coco.py', 'r50': 'densecl_pp/r50_coco.py'},
    'densecl_pp_star': {'vit-s16': 'densecl_pp/vit-s16_star_coco.py', 'r50': 'densecl_pp/r50_star_coco.py'},
}
STRIDES = {'vit-s16': 16, 'r50': 32}  # pixels a position
PUBLISHED_DENSECL = 'densecl/r50_queue_coco.py'
REFERENCES = ('encoder', 'simclr')
SHORT_CALLS = 4  # in every round, of what takes far less than a step and so is more easily disturbed


def prepare(args: argparse.Namespace) -> None:
    """Set up the process: quiet, with the other processes simulated."""
    MMLogger.get_instance('train_step', log_level='ERROR')  # building an optimizer logs every parameter
    torch.backends.cudnn.benchmark = True  # as the configs have it
    if args.world_size > 1:
        dist.init_process_group('fake', store=FakeStore(), rank=0, world_size=args.world_size)
        # mmengine takes every group but NCCL's for one of CPUs, and would copy what mmpretrain gathers to and fro.
        mmengine_dist.get_comm_device = lambda group=None: torch.device(args.device)


def measure(arch: str, args: argparse.Namespace) -> dict:
    """Measure all methods with one backbone.

    Args:
        arch (str): The backbone, a key of each method's configs.
        args (argparse.Namespace): The flags of the tool.

    Returns:
        dict: ``positions``; ``steps`` by method, ``losses`` by method and part, ``projector``: times in milliseconds,
        also relative to the steps of ``REFERENCES``; and ``negatives``, the samplers by method.
    """
    torch.manual_seed(0)
    views = [torch.randn(args.images, 3, args.size, args.size, device=args.device) for _ in range(2)]
    steps = {method: Step(method, arch, args, views) for method in args.methods}
    cases: Dict[str, Callable[[], None]] = dict(steps)
    losses: Dict[str, DenseLoss] = {}
    for method, step in steps.items():
        if not hasattr(step.model, 'dense_head') or step.model.loss_lambda == 0:
            continue
        if not losses:  # the methods' features and projectors are alike
            with torch.no_grad(), step.autocast():
                features = step.model.neck(extract_features(step.model.backbone, torch.cat(views)))
            cases['projector'] = DenseProjector(step, features.positions)
        losses[method] = DenseLoss(step, features.dense_projections, features.positions)
        cases.update({f'{method} loss': losses[method], f'{method} parts': losses[method].apart})
    calls = {name: SHORT_CALLS for name in cases if name not in steps}
    times = time_interleaved(cases, args.iters, args.warmup, args.device, f'{arch}: time', calls)

    def summary(milliseconds: List[float]) -> dict:
        spread = Spread.of(milliseconds)
        ratios = {f'to_{name}': spread.median / Spread.of(times[name]).median for name in REFERENCES if name in times}
        return {**spread._asdict(), **ratios}

    result = dict(positions=num_positions(arch, args.size), steps={}, losses={}, negatives={})
    for method, step in progress(steps.items(), f'{arch}: memory'):
        kept = step.kept_bytes()
        memory = dict(kept_bytes=kept, peak_bytes=kept + peak_memory(step, args.device))
        result['steps'][method] = {**summary(times[method]), **memory}
    for method, loss in losses.items():
        parts = {part: summary(milliseconds[args.warmup * SHORT_CALLS :]) for part, milliseconds in loss.parts.items()}
        result['losses'][method] = {**parts, 'total': summary(times[f'{method} loss'])}
        result['negatives'][method] = [repr(sampler) for sampler in loss.head.negatives]
    if losses:
        result['projector'] = summary(times['projector'])
    return result


def num_positions(arch: str, size: int) -> int:
    """Positions of a view, ``K``."""
    return math.ceil(size / STRIDES[arch]) ** 2


class Step:
    """One training step: forward, backward, update.

    Args:
        method (str): Its name.
        arch (str): The backbone.
        args (argparse.Namespace): The flags of the tool.
        views (List[Tensor]): The two views of the images, each of shape ``(B, 3, size, size)``.
    """

    def __init__(self, method: str, arch: str, args: argparse.Namespace, views: List[Tensor]) -> None:
        model, optim_wrapper = _configs(method, arch, args.size)
        # One process has no others to synchronise batch norm with.
        self.model = revert_sync_batchnorm(MODELS.build(model)).to(args.device)
        self.model.train()
        self.optimizer = build_optim_wrapper(self.model, optim_wrapper)
        self.method, self.args, self.views = method, args, views

    def __call__(self) -> None:
        with self.autocast():
            if self.method == 'encoder':
                loss = self.model(torch.cat(self.views))[-1].float().sum()
            else:
                loss, _ = self.model.parse_losses(self.model.loss(self.views, None))
        self.optimizer.update_params(loss)

    def autocast(self) -> torch.autocast:
        """Mixed precision if the flags ask for it."""
        return torch.autocast(self.args.device, torch.bfloat16, enabled=self.args.dtype == 'bfloat16')

    def kept_bytes(self) -> int:
        """What stays between steps: weights, buffers and the optimizer's state."""
        states = [value for state in self.optimizer.optimizer.state.values() for value in state.values()]
        tensors = [*self.model.parameters(), *self.model.buffers(), *filter(torch.is_tensor, states)]
        return sum(tensor.nbytes for tensor in tensors)


def _configs(method: str, arch: str, size: int) -> Tuple[dict, dict]:
    """A method's model and its optimizer, as the project's configs have them.

    mmpretrain's models get the backbone, and SimCLR the projector, that ours have.
    """
    cfg = Config.fromfile(config_path(CONFIGS.get(method, CONFIGS['simclr'])[arch]))
    # What a step costs does not depend on the learning rate, and a tiny one keeps the features as they are.
    cfg.optim_wrapper.optimizer.lr = 1e-8
    model = cfg.model
    if arch == 'vit-s16':
        model.backbone.img_size = size
    if method == 'encoder':
        return model.backbone, cfg.optim_wrapper
    if method.endswith('-mmpretrain'):
        model = _simclr_of_mmpretrain(model) if method == 'simclr-mmpretrain' else _densecl_of_mmpretrain(model)
        if arch == 'vit-s16':
            model['backbone']['out_type'] = 'featmap'
    if method == 'densecl_pp_star':
        cross_view = model.dense_head.negatives[1]
        # Two thirds of the positions, where there are too few for the poster's 64.
        cross_view.num_negatives = min(64, num_positions(arch, size) * 2 // 3)
    return model, cfg.optim_wrapper


def _simclr_of_mmpretrain(ours: dict) -> dict:
    projector = ours.neck.global_projector
    return dict(
        type='mmpretrain.SimCLR',
        backbone=ours.backbone,
        neck=dict(
            type='NonLinearNeck',
            in_channels=ours.neck.in_channels,
            hid_channels=projector.hidden_channels,
            out_channels=projector.out_channels,
            num_layers=projector.num_layers,
            with_last_bn=False,
            with_last_bias=True,
        ),
        head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=ours.head.temperature),
    )


def _densecl_of_mmpretrain(ours: dict) -> dict:
    model = Config.fromfile(config_path(PUBLISHED_DENSECL)).model
    model.backbone = ours.backbone
    model.neck.in_channels = ours.neck.in_channels
    return model


class DenseProjector:
    """Forward and backward of the dense projector alone.

    Args:
        step (Step): A method's with a dense projector.
        positions (Tensor): Features of the backbone, shape ``(2·B, K, C)``.
    """

    def __init__(self, step: Step, positions: Tensor) -> None:
        self.step = step
        self.positions = positions.detach().requires_grad_()

    def __call__(self) -> None:
        projector = self.step.model.neck.dense_projector
        with self.step.autocast():
            projections = projector(self.positions)
        projections.backward(torch.ones_like(projections))
        projector.zero_grad()
        self.positions.grad = None


class DenseLoss:
    """Forward and backward of a method's dense loss alone.

    Args:
        step (Step): Of the method.
        projections (Tensor): Shape ``(2·B, K, D)``.
        positions (Tensor): Features of the backbone, shape ``(2·B, K, C)``.

    Attributes:
        parts (Dict[str, List[float]]): Milliseconds of each part in each call of :meth:`apart`. Scoring is all of
            choosing negatives but the drawing: what is gathered from other processes too.
    """

    def __init__(self, step: Step, projections: Tensor, positions: Tensor) -> None:
        self.step, self.head = step, step.model.dense_head
        self.projections = projections.detach().requires_grad_()
        self.pair_features = (positions if self.head.pair_feature == 'backbone' else projections).detach()
        self.iteration = 0
        self.parts: Dict[str, List[float]] = {'matching': [], 'drawing': [], 'scoring': [], 'loss': []}

    def __call__(self) -> None:
        self._run(self.head.negatives, Draws(0, self.iteration))

    def apart(self) -> None:
        """The same with a note of what each part takes, between which a GPU is waited for."""
        stopwatch = Stopwatch(self.step.args.device)
        draws = _TimedDraws(0, self.iteration)
        draws.stopwatch = stopwatch
        negatives = [_TimedSampler(sampler, stopwatch) for sampler in self.head.negatives]
        matching = stopwatch.time('matching')(match_positions)
        with stopwatch.time('all'), mock.patch('mmdclpp.core.losses.match_positions', matching):
            self._run(negatives, draws)
        spent = {'drawing': 0.0, **stopwatch.elapsed}
        self.parts['matching'].append(spent['matching'])
        self.parts['drawing'].append(spent['drawing'])
        self.parts['scoring'].append(spent['sampling'] - spent['drawing'])
        self.parts['loss'].append(spent['all'] - spent['sampling'] - spent['matching'])

    def _run(self, negatives: List[NegativeSampler], draws: Draws) -> None:
        with self.step.autocast():
            result = dense_loss(self.projections, self.pair_features, negatives, self.head.temperature, draws)
        result.loss.backward()
        self.projections.grad = None
        self.iteration += 1


class _TimedDraws(Draws):
    """Draws that note their time on their attribute ``stopwatch``."""

    def positions(self, *args, **kwargs) -> Tensor:
        with self.stopwatch.time('drawing'):
            return super().positions(*args, **kwargs)

    def subsets(self, *args, **kwargs) -> Tensor:
        with self.stopwatch.time('drawing'):
            return super().subsets(*args, **kwargs)


class _TimedSampler(NegativeSampler):
    """A sampler that notes its time, drawing included."""

    def __init__(self, sampler: NegativeSampler, stopwatch: Stopwatch) -> None:
        self.sampler, self.stopwatch = sampler, stopwatch

    def __call__(self, views, stream):
        with self.stopwatch.time('sampling'):
            return self.sampler(views, stream)
