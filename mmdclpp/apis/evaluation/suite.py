"""Run a suite of evaluations on models, each evaluation once."""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from mmengine.dist import barrier, is_main_process
from mmengine.registry import DefaultScope
from rich.console import Console
from torch import nn

from mmdclpp.apis._runner import start_processes
from mmdclpp.apis._stages import Stages
from mmdclpp.apis.evaluation.by_runner import (
    fcn_segmentation,
    linear_segmentation,
    linear_with_augmentation,
    upernet_segmentation,
)
from mmdclpp.apis.evaluation.data import BUILT_IN, DataSource, find_data, missing_data
from mmdclpp.apis.evaluation.job import Job, NotApplicable, Options
from mmdclpp.apis.evaluation.on_features import knn_on_features, linear_on_features
from mmdclpp.apis.evaluation.report import print_report, write_report
from mmdclpp.apis.sources.model_source import ModelSource, config_hash, write_backbone
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import patch_size
from mmdclpp.utils.files import write_whole

VERSION = 2  # of what an evaluation computes: raised when results of before are no longer comparable


class Evaluation(NamedTuple):
    """One line of a suite.

    Attributes:
        key (str): Its name in ``results.json`` and on the disk.
        task (str): What the user calls it.
        data (str): The data it needs, a key of :mod:`mmdclpp.apis.evaluation.data`.
        run (Callable): The evaluation; the first line of its docstring is its protocol in words.
        by_runner (bool): Whether configs, and so ``cfg_options``, are a part of it.
    """

    key: str
    task: str
    data: str
    run: Callable[[Job], Dict[str, Any]]
    by_runner: bool = True

    @property
    def protocol(self) -> str:
        return self.run.__doc__.splitlines()[0].rstrip('.')


_QUICK = (
    Evaluation('coco-linear', 'coco-linear', 'coco', linear_on_features, by_runner=False),
    Evaluation('voc-linear', 'voc-linear', 'voc', linear_on_features, by_runner=False),
    Evaluation('coco-knn', 'knn', 'coco', knn_on_features, by_runner=False),
    Evaluation('voc-knn', 'knn', 'voc', knn_on_features, by_runner=False),
    Evaluation('voc-seg', 'voc-seg', 'voc-masks', linear_segmentation),
    Evaluation('coco-seg', 'coco-seg', 'coco-masks', linear_segmentation),
    Evaluation('scenes-linear', 'scenes-linear', 'scenes', linear_on_features, by_runner=False),
    Evaluation('scenes-seg', 'scenes-seg', 'scenes-masks', linear_segmentation),
)
_PAPER = (
    Evaluation('coco-linear@augmented', 'coco-linear', 'coco', linear_with_augmentation),
    Evaluation('voc-seg@fcn', 'voc-seg', 'voc-aug-masks', fcn_segmentation),
    Evaluation('coco-seg@fcn', 'coco-seg', 'coco-masks', fcn_segmentation),
)
_MORE = (
    Evaluation('voc-linear@augmented', 'voc-linear', 'voc', linear_with_augmentation),
    Evaluation('voc-seg@upernet', 'voc-seg', 'voc-aug-masks', upernet_segmentation),
    Evaluation('coco-seg@upernet', 'coco-seg', 'coco-masks', upernet_segmentation),
    Evaluation('coco-stuff-seg@fcn', 'coco-seg', 'coco-stuff-masks', fcn_segmentation),
)
SUITES = {'quick': _QUICK, 'paper': _PAPER, 'all': _QUICK + _PAPER + _MORE}
TASKS = tuple(dict.fromkeys(evaluation.task for evaluation in SUITES['all']))


def evaluate(
    models: Sequence[str] = (),
    suite: str = 'quick',
    tasks: Optional[Sequence[str]] = None,
    data_root: Union[str, Path] = 'data',
    work_dir: Union[str, Path] = 'work_dirs/evaluate',
    backbone: Optional[str] = None,
    config: Optional[str] = None,
    names: Optional[Sequence[str]] = None,
    aggregate: Optional[str] = None,
    image_size: Optional[int] = None,
    segmentation_size: Optional[int] = None,
    batch_size: int = 64,
    num_workers: int = 4,
    seed: int = 0,
    rerun: bool = False,
    cfg_options: Optional[Dict[str, Any]] = None,
    launcher: str = 'none',
) -> Dict[str, Any]:
    """Evaluate pretrained backbones, one evaluation after another.

    What has been evaluated already, by the same protocol on the same data, is not done again; what was interrupted
    goes on where it stopped. Writes ``results.json``, ``results.md`` and pictures to ``work_dir``.

    Args:
        models (Sequence[str]): Checkpoints, or ``'random'`` or ``'random:SEED'`` for random weights in the
            architecture of the first checkpoint. Defaults to (), the published weights of ``backbone``.
        suite (str): ``'quick'`` (features extracted once, linear and k-NN; linear segmentation), ``'paper'`` (the
            poster's comparison: 90 epochs with augmentation, fine-tuned FCN) or ``'all'``. Defaults to 'quick'.
        tasks (Sequence[str], optional): Which of ``coco-linear voc-linear knn voc-seg coco-seg scenes-linear
            scenes-seg``. Defaults to None, all of the suite whose data are there; the built-in scenes only where there
            is nothing else.
        data_root (str or Path): The folder with the data sets, see docs/data.md. Defaults to 'data'.
        work_dir (str or Path): Where results go. Defaults to 'work_dirs/evaluate'.
        backbone (str, optional): ``'timm:NAME'`` or ``'mmpretrain:NAME'``: the architecture of ``models``. Defaults
            to None, which reads it from each checkpoint's own config.
        config (str, optional): Config file with the architecture, for checkpoints without one. Defaults to None.
        names (Sequence[str], optional): Names for the tables, one a model. Models of one name are seeds of one
            method. Defaults to None, the method that the config describes.
        aggregate (str, optional): ``'cls'`` or ``'gap'``. Defaults to None, as pretrained.
        image_size (int, optional): Side of the images for classification, in px. Defaults to None, as pretrained.
        segmentation_size (int, optional): Side of the crops for segmentation, in px. Defaults to None: twice the
            image size for linear segmentation, 512 for fine-tuning.
        batch_size (int): Images a batch and process in feature extraction. Defaults to 64.
        num_workers (int): Data workers a process. Defaults to 4.
        seed (int): Seed of the classifiers and heads. Defaults to 0.
        rerun (bool): Whether to do again what is done. Defaults to False.
        cfg_options (dict, optional): New values by dotted key, for the configs of evaluations that a runner does.
            Defaults to None.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``. Defaults to 'none'.

    Returns:
        Dict[str, Any]: The content of ``results.json``.

    Raises:
        UserError: If an argument, a checkpoint or the data cannot be used.
    """
    data_root, work_dir = Path(data_root), Path(work_dir)
    for name, size in (('image_size', image_size), ('segmentation_size', segmentation_size)):
        if size is not None and size < 1:
            raise UserError(f'{name}={size} is no size in px: give a positive number')
    if batch_size < 1 or num_workers < 0:
        raise UserError(f'batch_size={batch_size}, num_workers={num_workers}: give at least 1, and at least 0')
    plan = plan_suite(suite, tasks, data_root)
    sources = read_sources(models, backbone, config, names, aggregate)
    start_processes(launcher)
    options = Options(
        data_root=data_root,
        cache_dir=work_dir / 'features',
        image_size=image_size,
        segmentation_size=segmentation_size,
        batch_size=batch_size,
        num_workers=num_workers,
        seed=seed,
        launcher=launcher,
        cfg_options=cfg_options or {},
    )
    console = Console(quiet=not is_main_process())
    for skipped in plan.missing:
        console.print(f'left out: {skipped}', soft_wrap=True)
    stages = Stages(console, total=len(sources) * len(plan.evaluations))
    if len(sources) > 1:  # a checkpoint that does not fit is to end this now, not hours later
        for source in sources:
            _build(source, options)
    identities = {data: data.identity() for _, data in plan.evaluations}
    entries = []
    for source in sources:
        module = _build(source, options)
        entry = _entry(source, source.fingerprint(module), named=names is not None)
        folder = work_dir / f'{_slug(source.name)}-{entry["fingerprint"][:8]}'
        weights = folder / 'backbone.pth'
        if is_main_process() and not weights.is_file():
            write_backbone(module, weights)
        barrier()
        for evaluation, data in plan.evaluations:
            job = Job(
                source.without_weights(), module, entry['fingerprint'], weights, data, identities[data], folder, options
            )
            try:
                entry['evaluations'][evaluation.key] = _run_once(evaluation, job, stages, rerun)
            except NotApplicable as reason:
                console.print(f'left out: {evaluation.key} of {source.name}: {reason}', soft_wrap=True)
        entries.append(entry)
    results = dict(version=VERSION, models=entries)
    if is_main_process():
        # The poster's numbers stand beside what is measured as it was: its backbone, its data, its protocols.
        poster = suite == 'paper' and all(source.arch == 'ViT-S/16' for source in sources)
        poster = poster and {data.name for _, data in plan.evaluations} <= {'COCO 2017', 'VOC2012Aug', 'COCO objects'}
        poster = poster and not (cfg_options or image_size or segmentation_size)
        files = write_report(results, work_dir, poster)
        print_report(results, console, poster)
        for file in files:
            console.print(f'written: {file}', soft_wrap=True)
    return results


class _Plan(NamedTuple):
    evaluations: List[Tuple[Evaluation, DataSource]]
    missing: List[str]


def plan_suite(suite: str, tasks: Optional[Sequence[str]], data_root: Path) -> _Plan:
    """The evaluations of a suite whose data are there; a UserError if those of a task that was asked for are not."""
    if suite not in SUITES:
        raise UserError(f'suite={suite!r} is unknown: use one of {", ".join(SUITES)}')
    offered = list(dict.fromkeys(evaluation.task for evaluation in SUITES[suite]))
    for task in tasks or ():
        if task not in offered:
            raise UserError(f'tasks: {task!r} is none of suite {suite}: use {", ".join(offered)}, or another suite')
    found, missing = [], {}
    for evaluation in SUITES[suite]:
        if tasks and evaluation.task not in tasks:
            continue
        data = find_data(evaluation.data, data_root)
        if data is None and (tasks or evaluation.data not in BUILT_IN):
            missing.setdefault(evaluation.data, f'{evaluation.key}: {missing_data(evaluation.data, data_root)}')
        elif data is not None:
            found.append((evaluation, data))
    if not tasks:
        found = [pair for pair in found if pair[0].data not in BUILT_IN] or found
    for task in tasks or ():
        if not any(evaluation.task == task for evaluation, _ in found):
            kind = next(evaluation.data for evaluation in SUITES[suite] if evaluation.task == task)
            raise UserError(f'data_root, tasks {task}: {missing_data(kind, data_root)}')
    if not found:
        raise UserError(f'data_root: {next(iter(missing.values()))}')
    return _Plan(found, list(missing.values()))


def _build(source: ModelSource, options: Options) -> nn.Module:
    """The backbone of a model, if its patches fit the sizes that the user chose."""
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        module = source.build()
    patch = patch_size(module)
    for name in ('image_size', 'segmentation_size'):
        size = getattr(options, name)
        if size is not None and size % patch:
            raise UserError(
                f'{name}={size} is no multiple of the {patch} px of a patch of {source.arch}: use '
                f'{size - size % patch or patch} or {size - size % patch + patch}'
            )
    return module


def _entry(source: ModelSource, fingerprint: str, named: bool) -> Dict[str, Any]:
    return dict(
        name=source.name,
        arch=source.arch,
        aggregate=source.aggregate,
        pair_feature=source.pair_feature,
        seed=source.seed,
        recipe='named' if named else source.recipe,  # who names models says what are seeds of one
        checkpoint=source.checkpoint,
        fingerprint=fingerprint,
        evaluations={},
    )


def _run_once(evaluation: Evaluation, job: Job, stages: Stages, rerun: bool) -> Dict[str, Any]:
    """The result of an evaluation: from the disk if it is there."""
    signature = _signature(evaluation, job)
    # With the signature in its name, a folder never holds the half of one setting and the half of another.
    job = dataclasses.replace(job, folder=job.folder / f'{evaluation.key}-{signature[:8]}')
    done = job.folder / 'result.json'
    title = f'{job.source.name}: {evaluation.key} on {job.data.name}'
    if done.is_file() and not rerun:
        stages.begin(f'{title}: done before')
        return json.loads(done.read_text())
    stages.begin(f'{title}: {evaluation.protocol}')
    if rerun:
        if is_main_process():
            shutil.rmtree(job.folder, ignore_errors=True)  # or training would go on from its last checkpoint
        barrier()
    start = time.monotonic()
    # The scope of the runner of the evaluation before is still the default.
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        result = evaluation.run(job)
    result = dict(
        protocol=evaluation.protocol, data=job.data.name, seconds=round(time.monotonic() - start, 1), **result
    )
    if is_main_process():
        write_whole(done, json.dumps(result, indent=2))
    barrier()
    return result


def _signature(evaluation: Evaluation, job: Job) -> str:
    """A hash of all that an evaluation's result depends on."""
    parts = [
        VERSION,
        evaluation.key,
        job.fingerprint,
        job.source.aggregate,
        job.image_size,
        job.options.segmentation_size,
        job.options.seed,
        job.options.cfg_options if evaluation.by_runner else {},
        job.identity,
    ]
    return config_hash(parts)


def _slug(name: str) -> str:
    """A name as a folder's name."""
    return ''.join(character if character.isalnum() or character in '+*-._' else '_' for character in name)
