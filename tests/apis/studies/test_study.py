"""A study from the command to its report: what is run, what is not run again, and what is told."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from mmdclpp.apis.studies import study as module
from mmdclpp.apis.studies.run import Step
from mmdclpp.apis.studies.study import study
from mmdclpp.errors import UserError

# Stands for training and evaluation: it counts how often it ran, and leaves results as an evaluation does.
WORK = """
import json, pathlib, sys
folder, seed, broken = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with (folder / 'count').open('a') as file:
    file.write('x')
if broken and broken in str(folder):
    sys.exit('error: no memory left')
(folder / 'evaluation').mkdir(exist_ok=True)
model = dict(name='DenseCL++', arch='ViT', aggregate='gap', pair_feature=None, seed=seed, checkpoint='a.pth')
metrics = dict(mAP=40.0 + seed, OF1=30.0)
entry = dict(protocol='linear', data='scenes', seconds=1.0, settings={}, metrics=metrics)
results = dict(models=[dict(model, fingerprint='f', recipe='r', evaluations={'scenes-linear': entry})])
(folder / 'evaluation' / 'results.json').write_text(json.dumps(results))
"""


@pytest.fixture
def quick(monkeypatch):
    """Runs of one step that is done in no time; ``broken`` names one that fails."""
    broken = ['']

    def steps(plan, budget, folder, data_root, seed, *rest):
        arguments = (sys.executable, '-c', WORK, str(folder), str(seed), broken[0])
        return (Step('pretrain', (sys.executable, '-c', '')), Step('evaluation', arguments))

    monkeypatch.setattr(module, '_steps', steps)
    monkeypatch.setattr(module, '_check_data', lambda *_: None)
    return broken


def _counts(work_dir: Path):
    return {path.parent.parent.name: len(path.read_text()) for path in sorted(work_dir.glob('runs/*/*/count'))}


def test_a_study_runs_each_setting_once_and_reports(quick, tmp_path, capsys):
    outcomes = study('lambda', work_dir=tmp_path, seeds=1)
    assert [outcome.status for outcome in outcomes] == ['done'] * 10
    assert {outcome.value('scenes-linear', 'mAP') for outcome in outcomes} == {40.0}
    assert set(_counts(tmp_path).values()) == {1}
    assert '10 runs, 0 of them done' in (told := capsys.readouterr().out) and '[10/10]' in told
    assert (tmp_path / 'lambda' / 'report.md').is_file() and (tmp_path / 'lambda' / 'report.html').is_file()

    # Another study shares three of its settings with this one; only its others are run.
    study('methods', work_dir=tmp_path, seeds=1)
    assert '8 runs, 3 of them done' in capsys.readouterr().out
    assert set(_counts(tmp_path).values()) == {1} and len(_counts(tmp_path)) == 15

    assert study('lambda', work_dir=tmp_path, seeds=1) == outcomes
    assert set(_counts(tmp_path).values()) == {1}


def test_a_failed_run_is_named_with_its_log_and_tried_again_while_the_others_are_kept(quick, tmp_path, capsys):
    quick[0] = 'N12'
    outcomes = study('cross-view', work_dir=tmp_path, seeds=1, jobs=1)
    assert [outcome.status for outcome in outcomes] == ['done', 'done', 'failed', 'done']
    failed = next((tmp_path / 'runs').glob('*N12*/seed0'))
    told = capsys.readouterr().out
    assert f'error: no memory left (log: {failed / "evaluation.log"})' in told
    assert 'error: no memory left' in (tmp_path / 'cross-view' / 'report.md').read_text()

    quick[0] = ''
    assert [outcome.status for outcome in study('cross-view', work_dir=tmp_path, seeds=1)] == ['done'] * 4
    assert sorted(_counts(tmp_path).values()) == [1, 1, 1, 2]


@pytest.mark.parametrize('option', ['dry_run', 'report_only'])
def test_nothing_is_run_where_that_is_asked_for(quick, tmp_path, capsys, option):
    study('cross-view', work_dir=tmp_path, seeds=2, **{option: True})
    assert not _counts(tmp_path)
    told = capsys.readouterr().out
    assert '8 runs, 0 of them done' in told
    if option == 'dry_run':
        assert not list(tmp_path.iterdir())
        assert told.count(f'{sys.executable} -c') == 16
        assert '1:07 (measured once, on one CPU core): 8:56' in told
    else:
        assert 'unfinished' in (tmp_path / 'cross-view' / 'report.md').read_text()


def test_other_data_another_length_and_another_seed_are_other_runs_but_not_another_number_of_gpus(quick, tmp_path):
    def runs(**options):
        outcomes = study('cross-view', work_dir=tmp_path, report_only=True, **{'seeds': 1, **options})
        return [outcome.folder for outcome in outcomes]

    usual = runs()
    assert runs(gpus=4) == usual
    assert runs(data_root=Path('data').resolve()) == usual
    assert runs(seeds=2)[:4] == usual
    assert runs(epochs=2) == usual  # the budget's
    assert runs(budget='small', epochs=10) == runs(budget='small')  # the config's
    for other in (runs(epochs=5), runs(amp=True), runs(data_root=tmp_path), runs(seeds=2)[4:]):
        assert not set(other) & set(usual)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(name='colour'), "study 'colour' is unknown: use one of methods, lambda"),
        (dict(budget='huge'), "budget 'huge' is unknown: use one of tiny, small, paper"),
        (dict(seeds=0), 'seeds=0: give 1 or more'),
        (dict(epochs=-1), 'epochs=-1: give 1 or more'),
        (dict(gpus=5), 'gpus=5 cannot share the global batch of 32: choose a divisor of it'),
        (dict(budget='paper', data_root='nowhere'), 'no COCO 2017 below nowhere'),
        (dict(budget='small', data_root='nowhere'), 'budget small needs coco_mini, voc2007, voc_seg below nowhere'),
    ],
)
def test_what_cannot_be_studied_is_told_before_anything_runs(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message.replace('(', r'\(')):
        study(**{'name': 'methods', 'work_dir': tmp_path, **arguments})
    assert not list(tmp_path.iterdir())  # nothing was run


def test_the_commands_of_a_run_are_those_a_user_would_type(tmp_path, capsys):
    study('cross-view', work_dir=tmp_path, seeds=1, gpus=2, data_root=tmp_path / 'my data', dry_run=True)
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if '--' in line]
    train, evaluate, diagnose = commands[:3]
    folder = next(Path(part).parent for part in train if part.endswith('config.py'))
    assert train[:3] == ['env', f'PYTHON={sys.executable}', 'bash'] and Path(train[3]).name == 'dist_train.sh'
    assert train[4:] == [
        f'{folder}/config.py', '2', '--work-dir', f'{folder}/pretrain', '--seed', '0', '--resume'
    ]  # fmt: skip
    assert Path(evaluate[3]).name == 'dist_evaluate.sh' and evaluate[4:6] == [f'{folder}/pretrain/epoch_2.pth', '2']
    assert evaluate[-2:] == ['--tasks', 'scenes-linear'] and str(tmp_path / 'my data') in evaluate
    assert Path(diagnose[1]).name == 'diagnose.py' and diagnose[2] == f'{folder}/pretrain/epoch_2.pth'


def test_a_budget_of_reduced_sets_is_not_evaluated_on_the_published_ones(tmp_path):
    for folder in ('coco_mini/annotations', 'voc2007', 'voc_seg', 'coco/annotations', 'coco/train2017', 'coco/val2017'):
        (tmp_path / 'data' / folder).mkdir(parents=True)
    for split in ('train', 'val'):
        (tmp_path / 'data' / 'coco' / 'annotations' / f'instances_{split}2017.json').touch()
    budget = module.BUDGETS['small']._replace(classification=('coco-linear',), segmentation=())
    with pytest.raises(UserError, match='coco-linear of budget small is on a reduced set, and .* has COCO 2017 too'):
        module._check_data(module.STUDIES['lambda'], budget, tmp_path / 'data')


@pytest.mark.parametrize('place', ['file', 'file/below'])
def test_a_work_dir_that_cannot_be_made_is_told(tmp_path, place):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='work_dir: .* cannot be made'):
        study('methods', work_dir=tmp_path / place)


@pytest.mark.slow
def test_a_study_of_the_built_in_data_trains_evaluates_diagnoses_and_goes_on_after_a_kill(run, tmp_path):
    arguments = ('tools/study.py', 'cross-view', '--seeds', 1, '--epochs', 1, '--work-dir', tmp_path / 'work')
    arguments += ('--data-root', tmp_path / 'data')
    first = run(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    results = json.loads((tmp_path / 'work' / 'cross-view' / 'results.json').read_text())
    assert 'failed' not in json.dumps(results)
    again = run(*arguments)
    assert '4 runs, 4 of them done' in again.stdout
