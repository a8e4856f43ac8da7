"""From the outcomes of a study to files and to the terminal."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from rich.console import Console

from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis._tables import MISSING, Cell, Table, conventions, print_table
from mmdclpp.apis.studies.budgets import Budget
from mmdclpp.apis.studies.definitions import Study
from mmdclpp.apis.studies.document import Document, Listing, Picture, Section
from mmdclpp.apis.studies.measured import Measured
from mmdclpp.apis.studies.outcome import Outcome
from mmdclpp.apis.studies.page import html
from mmdclpp.apis.studies.pictures import study_pictures
from mmdclpp.apis.studies.tables import study_tables
from mmdclpp.utils.files import PathLike, write_whole
from mmdclpp.utils.hardware import device_name
from mmdclpp.utils.strict_json import strict_json

_NOTHING = 'No run has a result yet.'


def write_study_report(
    study: Study, budget: Budget, outcomes: Sequence[Outcome], folder: PathLike, command: str = ''
) -> List[Path]:
    """Write the report of a study, finished or not; each file is there whole or not at all.

    These are ``report.md`` with its pictures, ``report.html``, which holds its own, and ``results.json``.

    Args:
        study (Study): What was asked.
        budget (Budget): Its size.
        outcomes (Sequence[Outcome]): Of every setting and seed that was to be trained.
        folder (str or PathLike): Where to; made where missing.
        command (str): What was called. Defaults to '', not told.

    Returns:
        List[Path]: The files, in the order above.

    Raises:
        UserError: If a file cannot be written.
    """
    folder = Path(folder)
    measured = Measured.of(study, budget, outcomes)
    facts = _facts(measured, command)
    document = _document(measured, facts)
    pictures = {part.name: part.draw(out_png=folder / f'{part.name}.png') for part in document.parts(Picture)}
    return [
        write_whole(folder / 'report.md', document.markdown()),
        *pictures.values(),
        write_whole(folder / 'report.html', html(document, pictures)),
        write_whole(folder / 'results.json', strict_json(_results(measured, facts)) + '\n'),
    ]


def print_study(study: Study, budget: Budget, outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the tables of a study, each as several where it is wider than the console.

    Args:
        study (Study): What was asked.
        budget (Budget): Its size.
        outcomes (Sequence[Outcome]): Of every setting and seed that was to be trained.
        console (Console): Where to.
    """
    measured = Measured.of(study, budget, outcomes)
    if not measured.keys:
        console.print(_NOTHING)
        return
    for table in study_tables(measured):
        print_table(table, console)
    console.print(_conventions(measured), style='dim', markup=False, highlight=False)


def _document(measured: Measured, facts: Dict[str, str]) -> Document:
    sections = [Section('What was run', [facts])]
    if measured.keys:
        tables, pictures = study_tables(measured), study_pictures(measured)
        sections += [Section('Results', [_conventions(measured), *tables]), Section('Pictures', pictures)]
    else:
        sections += [Section('Results', [_NOTHING])]
    if any(outcome.status != 'done' for outcome in measured.outcomes):
        sections.append(Section('Runs that are not done', [_undone(measured)]))
    configs = [
        Listing(row.setting.name, [outcome.folder for outcome in row.outcomes], row.outcomes[0].config)
        for row in measured.rows
        if row.outcomes
    ]
    if configs:
        sections.append(Section('Configs', configs))
    return Document(f'{measured.study.title}: budget {measured.budget.name}', measured.study.question, sections)


def _facts(measured: Measured, command: str) -> Dict[str, str]:
    runs = list({outcome.folder: outcome for outcome in measured.outcomes}.values())  # settings may share one
    status = Counter(outcome.status for outcome in runs)
    commits = dict.fromkeys(outcome.commit for outcome in runs if outcome.commit)
    seeds = sorted({outcome.seed for outcome in runs})
    facts = {
        'Trained': measured.budget.trained_on,
        'Epochs': str(_epochs(measured)),
        'Settings': str(len(measured.rows)),
        'Seeds': f'{len(seeds)} ({", ".join(map(str, seeds))})' if seeds else MISSING,
        'Runs': ', '.join(f'{status[name]} {name}' for name in ('done', 'failed', 'unfinished') if status[name]) or '0',
        'Computed in': _duration(sum(outcome.seconds for outcome in runs)) + ', summed over the runs',
        'Commit': ', '.join(commits) or MISSING,
        'Hardware': f'{device_name()}, PyTorch {torch.__version__} (where this report was written)',
    }
    return {**facts, **({'Command': command} if command else {})}


def _epochs(measured: Measured) -> int:
    """As the runs' configs say, where they differ from the one that they inherit from."""
    for outcome in measured.outcomes:
        said = re.search(r'\bmax_epochs\W+(\d+)', outcome.config)
        if said:
            return int(said[1])
    return measured.budget.max_epochs or shipped_config(measured.budget.config).train_cfg.max_epochs


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f'{minutes // 60} h {minutes % 60} min' if minutes >= 60 else f'{seconds / 60:.1f} min'


def _conventions(measured: Measured) -> str:
    archs = {outcome.model['arch'] for outcome in measured.outcomes if 'arch' in outcome.model}
    return conventions({measured.planned}, archs)


def _undone(measured: Measured) -> Table:
    rows = [
        [Cell(text) for text in (run.setting.name, str(run.seed), run.status, run.folder, run.error or MISSING)]
        for run in measured.outcomes
        if run.status != 'done'
    ]
    columns = ['Setting', 'Seed', 'Status', 'Folder', 'What it said last']
    note = 'A run is tried again, from where it stopped, when the study is started again.'
    return Table('Failed and unfinished', columns, rows, num_labels=len(columns), below=note)


def _results(measured: Measured, facts: Dict[str, str]) -> Dict[str, Any]:
    settings = [
        {
            'name': row.setting.name,
            'factors': row.setting.factors,
            'runs': [
                {
                    'seed': outcome.seed,
                    'status': outcome.status,
                    'commit': outcome.commit,
                    'seconds': outcome.seconds,
                    'folder': outcome.folder,
                    'error': outcome.error,
                    'metrics': {key: found['metrics'] for key, found in outcome.evaluations.items()},
                    'similarities': _without_densities(outcome.similarities),
                }
                for outcome in row.outcomes
            ],
        }
        for row in measured.rows
    ]
    return {
        'study': measured.study.name,
        'budget': measured.budget.name,
        'headline': measured.budget.headline,
        'facts': facts,
        'settings': settings,
    }


def _without_densities(similarities: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    """The figures alone; histograms are long, and stand in the run's folder."""
    return similarities and {
        key: _without_densities(value) if isinstance(value, Mapping) else value
        for key, value in similarities.items()
        if key != 'densities'
    }
