"""Run a study: what is not done yet, then its report."""

import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmengine.registry import DefaultScope
from rich.console import Console

from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.evaluation.suite import plan_suite
from mmdclpp.apis.sources.model_source import config_hash
from mmdclpp.apis.studies.budgets import BUDGETS, Budget
from mmdclpp.apis.studies.definitions import STUDIES, Setting, Study
from mmdclpp.apis.studies.local import LocalExecutor, terminable
from mmdclpp.apis.studies.outcome import Outcome
from mmdclpp.apis.studies.recipe import config_text, moved, shortened
from mmdclpp.apis.studies.report import print_study, write_study_report
from mmdclpp.apis.studies.run import Run, Step, read_json
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS
from mmdclpp.utils.paths import config_path, tool_path
from mmdclpp.utils.progress import clock

# The parts of a config that a trained model depends on; not what is logged.
_TRAINED_BY = ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg', 'param_scheduler')


@terminable()
def study(
    name: str,
    budget: str = 'tiny',
    data_root: Union[str, Path] = 'data',
    work_dir: Union[str, Path, None] = None,
    seeds: Optional[int] = None,
    epochs: Optional[int] = None,
    gpus: Optional[int] = None,
    jobs: Optional[int] = None,
    slurm: Optional[Mapping[str, Any]] = None,
    amp: bool = False,
    segmentation: bool = True,
    dry_run: bool = False,
    report_only: bool = False,
) -> List[Outcome]:
    """Train and evaluate all settings of a study, and report.

    What is done is not done again, for whichever study it was; what was killed goes on; what failed is tried again.
    Writes to ``work_dir``: ``runs/<setting>/seed<n>`` of each training, and ``<study>/report.md`` and ``report.html``.

    Args:
        name (str): ``'methods'``, ``'lambda'``, ``'negatives'``, ``'cross-view'`` or ``'reconstruction'``.
        budget (str): ``'tiny'`` (built-in data, minutes), ``'small'`` (some thousand photographs) or ``'paper'`` (COCO
            on 8 GPUs). Defaults to 'tiny'.
        data_root (str or Path): Folder of the data sets. Defaults to 'data'.
        work_dir (str or Path, optional): Defaults to None, ``work_dirs/studies/<budget>``.
        seeds (int, optional): Trainings of each setting. Defaults to None, the study's.
        epochs (int, optional): Length of each training, the schedule in proportion. Defaults to None, the budget's.
        gpus (int, optional): GPUs of a run, or processes without GPUs; the global batch stays. Defaults to None, the
            budget's.
        jobs (int, optional): Runs at a time. Defaults to None: as many as have GPUs; without any, one a core.
        slurm (Mapping, optional): Options of ``SlurmExecutor`` (``mmdclpp/apis/studies/slurm.py``): run there. Defaults
            to None, here.
        amp (bool): Whether to train in mixed precision. Defaults to False.
        segmentation (bool): Whether a study of segmentation measures it, besides classification. Defaults to True.
        dry_run (bool): Whether to print commands and cost only. Defaults to False.
        report_only (bool): Whether to report on what is there, and run nothing. Defaults to False.

    Returns:
        List[Outcome]: Of every setting and seed.

    Raises:
        UserError: If an argument or the data cannot be used.
    """
    plan, size = _choose(name, STUDIES, 'study'), _choose(budget, BUDGETS, 'budget')
    plan = plan._replace(segmentation=plan.segmentation and segmentation)
    seeds = plan.seeds if seeds is None else seeds
    gpus = size.gpus if gpus is None else gpus
    for key, value in dict(seeds=seeds, epochs=epochs, gpus=gpus, jobs=jobs).items():
        if value is not None and value < 1:
            raise UserError(f'{key}={value}: give 1 or more')
    data_root, work_dir = Path(data_root), Path(work_dir or f'work_dirs/studies/{budget}')
    console = Console(soft_wrap=True)

    planned = _plan_runs(plan, size, data_root, work_dir, seeds, epochs, gpus, amp)
    runs = list({run.folder: run for _, _, run in planned}.values())
    left = [run for run in runs if run.status != 'done']
    console.print(_told(plan, size, runs, left, work_dir, epochs), highlight=False)
    if dry_run:
        for run in left:
            console.print(f'\n# {run.name}', markup=False, highlight=False)
            for step in run.undone():
                console.print(str(step), markup=False, highlight=False)
        return []
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'work_dir: {work_dir} cannot be made ({error.strerror}): choose another place') from error
    if left and not report_only:
        _check_data(plan, size, data_root)
        if slurm is None:
            executor = LocalExecutor(gpus, jobs)
        else:
            from mmdclpp.apis.studies.slurm import SlurmExecutor  # needs a package of its own

            executor = SlurmExecutor(gpus, jobs, work_dir / 'slurm', **slurm)
        executor(left, _Progress(left, executor.jobs, console))

    outcomes = [_outcome(setting, seed, run) for setting, seed, run in planned]
    files = write_study_report(plan, size, outcomes, work_dir / name, command=_command())
    print_study(plan, size, outcomes, console)
    for file in files:
        if file.name.startswith('report'):
            console.print(f'written: {file}', highlight=False)
    for outcome in outcomes:
        if outcome.status == 'failed':
            text = f'failed: {outcome.setting.name}, seed {outcome.seed}: {outcome.error}'
            console.print(text, style='red', markup=False, highlight=False)
    return outcomes


def _command() -> str:
    """The call of the tool that makes these results; '' if another program called :func:`study`."""
    if Path(sys.argv[0]).name != 'study.py':
        return ''
    return shlex.join(['python', *(argument for argument in sys.argv if argument != '--report-only')])


def _choose(name: str, known: Mapping[str, Any], kind: str) -> Any:
    if name not in known:
        raise UserError(f'{kind} {name!r} is unknown: use one of {", ".join(known)}')
    return known[name]


def _plan_runs(
    plan: Study,
    budget: Budget,
    data_root: Path,
    work_dir: Path,
    seeds: int,
    epochs: Optional[int],
    gpus: int,
    amp: bool,
) -> List[Tuple[Setting, int, Run]]:
    """The runs of a study, all of one seed before the next: a study that is cut off has whole seeds."""
    base = shipped_config(budget.config)
    epochs = epochs or budget.max_epochs
    epochs = None if epochs == base.train_cfg.max_epochs else epochs  # the same training, by whichever way
    options: Dict[str, Any] = shortened(base, epochs) if epochs else {}
    if budget.num_images:
        options['train_dataloader'] = dict(dataset=dict(indices=budget.num_images))
    max_epochs = epochs or base.train_cfg.max_epochs
    # Not in the hash, since the result does not depend on it: how the global batch is spread.
    batch = base.train_dataloader.batch_size * budget.gpus
    if batch % gpus:
        raise UserError(f'gpus={gpus} cannot share the global batch of {batch}: choose a divisor of it')
    identity = [{key: base[key] for key in _TRAINED_BY}, options, str(data_root.resolve()), *(['amp'] if amp else [])]
    loader = dict(options.get('train_dataloader', {}))
    if gpus != budget.gpus:
        loader['batch_size'] = batch // gpus
    if str(data_root) != 'data':
        dataset = moved(base.train_dataloader.dataset.to_dict(), str(data_root))
        loader['dataset'] = dict(_delete_=True, **dataset, **loader.get('dataset', {}))
    options = {**options, **(dict(train_dataloader=loader) if loader else {})}
    options['default_hooks'] = dict(checkpoint=dict(max_keep_ckpts=2))

    planned = []
    for seed in range(seeds):
        for setting in plan.settings(budget):
            recipe = setting.recipe
            folder = work_dir / 'runs' / f'{recipe.slug}-{config_hash([identity, recipe.slug])[:8]}' / f'seed{seed}'
            # Relative, since reports show it; from the folder, as mmengine reads it.
            text = config_text(recipe, os.path.relpath(config_path(budget.config), folder), options)
            steps = _steps(plan, budget, folder, data_root, seed, max_epochs, gpus, amp)
            planned.append((setting, seed, Run(f'{setting.name}, seed {seed}', folder, text, steps)))
    return planned


def _steps(
    plan: Study, budget: Budget, folder: Path, data_root: Path, seed: int, max_epochs: int, gpus: int, amp: bool
) -> Tuple[Step, ...]:
    def command(tool: str, first: str, *arguments: object) -> Tuple[str, ...]:
        if gpus > 1:
            start = ('env', f'PYTHON={sys.executable}', 'bash', tool_path(f'dist_{tool}.sh'), first, gpus)
        else:
            start = (sys.executable, tool_path(f'{tool}.py'), first)
        return tuple(map(str, (*start, *arguments)))

    trained = ('--work-dir', folder / 'pretrain', '--seed', seed, '--resume', *(['--amp'] if amp else []))
    checkpoint = str(folder / 'pretrain' / f'epoch_{max_epochs}.pth')
    quick = ('--suite', budget.suite, '--data-root', data_root, '--num-workers', budget.num_workers, '--work-dir')
    steps = [
        Step('pretrain', command('train', str(folder / 'config.py'), *trained)),
        Step(
            'evaluation',
            command('evaluate', checkpoint, *quick, folder / 'evaluation', '--tasks', *budget.classification),
        ),
    ]
    if plan.segmentation:
        arguments = (*quick, folder / 'segmentation', '--tasks', *budget.segmentation, *budget.segmentation_options)
        steps.append(Step('segmentation', command('evaluate', checkpoint, *arguments)))
    if plan.diagnosed:
        arguments = ('--images', data_root / budget.images, '--out', folder / 'similarities.json')
        tool = (sys.executable, str(tool_path('diagnose.py')), checkpoint)
        steps.append(Step('similarities', (*tool, *map(str, arguments))))
    return tuple(steps)


def _check_data(plan: Study, budget: Budget, data_root: Path) -> None:
    """Raise a UserError now rather than hours later, if what is to be trained or evaluated on is not there."""
    if budget.built_in:
        generate_scenes(data_root / 'scenes')
    elif missing := [name for name in budget.reduced_sets if not (data_root / name).is_dir()]:
        raise UserError(
            f'data_root: budget {budget.name} needs {", ".join(missing)} below {data_root}: docs/data.md tells what '
            'these reduced sets are'
        )
    evaluations = plan_suite(
        budget.suite, [*budget.classification, *(budget.segmentation if plan.segmentation else [])], data_root
    )
    if budget.reduced_sets:
        for evaluation, data in evaluations.evaluations:
            if data.full:
                raise UserError(
                    f'data_root: {evaluation.task} of budget {budget.name} is on a reduced set, and {data_root} has '
                    f'{data.name} too, which would be taken: give a folder with {", ".join(budget.reduced_sets)} alone'
                )
    dataset = shipped_config(budget.config).train_dataloader.dataset.to_dict()
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        DATASETS.build(moved(dataset, str(data_root)))


def _told(
    plan: Study, budget: Budget, runs: Sequence[Run], left: Sequence[Run], work_dir: Path, epochs: Optional[int]
) -> str:
    """What is to do, and what that costs as far as it is known."""
    text = f'{plan.title}: {len(runs)} runs, {len(runs) - len(left)} of them done, in {work_dir}'
    if not left:
        return text
    measured = [_seconds(run) for run in runs if run.status == 'done']
    if measured:
        each, source = sum(measured) / len(measured), 'the mean of those done'
    elif budget.seconds:
        usual = budget.max_epochs or shipped_config(budget.config).train_cfg.max_epochs
        each, source = budget.seconds * (epochs or usual) / usual, 'measured once, on one CPU core'
    else:
        return f'{text}. Each: {budget.trained_on}; its time has not been measured'
    return f'{text}. {len(left)} × {clock(each)} ({source}): {clock(len(left) * each)}, divided by the runs at a time'


def _seconds(run: Run) -> float:
    return sum(note['seconds'] for note in run.notes().values())


class _Progress:
    """Print a line for each run that ends, with the time left."""

    def __init__(self, runs: Sequence[Run], jobs: int, console: Console) -> None:
        self.total, self.jobs, self.console = len(runs), min(jobs, len(runs)), console
        self.start, self.ended = time.monotonic(), 0

    def __call__(self, run: Run) -> None:
        self.ended += 1
        gone = time.monotonic() - self.start
        # The others that run now are half done, on average.
        left = gone / (self.ended + (self.jobs - 1) / 2) * (self.total - self.ended)
        count = f'[{self.ended}/{self.total}]'
        times = f'{clock(_seconds(run))} in all; {clock(gone)} gone, some {clock(left)} left'
        self.console.print(f'{count} {run.name}: {run.error or run.status} ({times})', markup=False, highlight=False)


def _outcome(setting: Setting, seed: int, run: Run) -> Outcome:
    notes = run.notes()
    model: Dict[str, Any] = {}
    for step in ('evaluation', 'segmentation'):
        results = read_json(run.folder / step / 'results.json') if step in notes else None
        if results is not None:
            entry = results['models'][0]
            model = {**entry, 'evaluations': {**model.get('evaluations', {}), **entry['evaluations']}}
    return Outcome(
        setting=setting,
        seed=seed,
        status=run.status,
        folder=str(run.folder),
        evaluations=model.pop('evaluations', {}),
        model=model,
        similarities=read_json(run.folder / 'similarities.json') if 'similarities' in notes else None,
        commit=notes.get('pretrain', {}).get('commit', ''),
        seconds=_seconds(run),
        error=run.error,
        config=run.config,
    )
