import io
import json
import math
import os

import pytest
from PIL import Image
from rich.console import Console

from mmdclpp.apis.evaluation.report import print_report, write_report

NAN = math.nan


def run(metrics: dict, **more) -> dict:
    """One evaluation of a checkpoint."""
    return {'protocol': 'linear', 'data': 'mini', 'seconds': 1.5, 'metrics': metrics, 'settings': {'size': 64}, **more}


def model(name: str, seed=0, aggregate='gap', pair_feature='backbone', arch='ViT', **evaluations) -> dict:
    """A checkpoint; ``coco_linear=...`` stands for the evaluation ``coco-linear``."""
    return {
        'name': name,
        'arch': arch,
        'aggregate': aggregate,
        'pair_feature': pair_feature,
        'seed': seed,
        'checkpoint': f'{name}-{seed}.pth',
        'fingerprint': f'{name}-{seed}-{arch}-{aggregate}',
        'evaluations': {key.replace('_', '-').replace('-at-', '@'): found for key, found in evaluations.items()},
    }


def results(*models: dict) -> dict:
    return {'version': 1, 'models': list(models)}


def mAP(value: float) -> dict:
    return {'coco_linear': run({'mAP': value})}


def tables(path, title: str) -> list:
    """The rows of the table below a heading, as lists of cells."""
    section = path.read_text().split(f'# {title}\n', 1)[1].split('\n#', 1)[0]
    rows = [[cell.strip() for cell in line.split(' | ')] for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip('| ') for cell in row] for row in rows if row[0] != '| ---']


SMALL = results(
    model(
        'SimCLR',
        pair_feature=None,
        coco_linear=run({'mAP': 30.0, 'OF1': 20.0}, settings={'size': 64, 'learning_rate': 0.1}),
        voc_seg=run({'mIoU': 10.0}),
    ),
    model(
        'SimCLR',
        seed=1,
        pair_feature=None,
        coco_linear=run({'mAP': 32.0, 'OF1': 21.0}, settings={'size': 64, 'learning_rate': 0.3}),
        voc_seg=run({'mIoU': NAN}),
    ),
    model('DenseCL++*', coco_linear=run({'mAP': 35.0, 'OF1': NAN}), coco_knn=run({'mAP': 9.96}, data='other | mini')),
    model('DenseCL++*', seed=1, coco_linear=run({'mAP': 36.0, 'OF1': None})),
)

# The sample deviation of two values is their difference over the root of two: of 2, 1.4, and of 1, 0.7.
EXPECTED = r"""# Evaluation

In percent. Mean ± sample standard deviation (n - 1) over n = 2 seeds. Bold: the best mean, as rounded. —: not measured. Backbone: ViT.

## Multi-label classification

| Method | Agg. | Pair feature | COCO mAP | COCO OF1 | COCO k-NN mAP |
| --- | --- | --- | --: | --: | --: |
| SimCLR | GAP | — | 31.0 ± 1.4 | 20.5 ± 0.7 | — |
| DenseCL++\* | GAP | backbone | **35.5 ± 0.7** | — | 10.0 (n = 1) |

OF1: overall F1, from the decisions on all images and classes together, where a class is predicted from a score of 0.5 on. The poster does not say which F1 it reports; the others are among the figures of each evaluation.

## Semantic segmentation

| Method | Pair feature | VOC mIoU |
| --- | --- | --: |
| SimCLR | — | 10.0 (n = 1) |
| DenseCL++\* | backbone | — |

![comparison](comparison.png)

## All figures

### COCO, linear probe

protocol: linear · data: mini · size: 64

| Figure | SimCLR | DenseCL++\* |
| --- | --: | --: |
| mAP | 31.0 ± 1.4 | **35.5 ± 0.7** |
| OF1 | 20.5 ± 0.7 | — |
| learning_rate | 0.1 / 0.3 | — / — |

### COCO, k-NN

protocol: linear · data: other \| mini · size: 64

| Figure | DenseCL++\* |
| --- | --: |
| mAP | 10.0 (n = 1) |

### VOC, segmentation

protocol: linear · data: mini · size: 64

| Figure | SimCLR |
| --- | --: |
| mIoU | 10.0 (n = 1) |

## Checkpoints

| Method | Seed | Checkpoint | Fingerprint | Evaluated in \[s\] |
| --- | --- | --- | --- | --: |
| SimCLR | 0 | SimCLR-0.pth | SimCLR-0-ViT | 3 |
| SimCLR | 1 | SimCLR-1.pth | SimCLR-1-ViT | 3 |
| DenseCL++\* | 0 | DenseCL++\*-0.pth | DenseCL++\*-0 | 3 |
| DenseCL++\* | 1 | DenseCL++\*-1.pth | DenseCL++\*-1 | 2 |
"""  # noqa: E501


def test_seeds_become_mean_and_deviation_in_the_posters_tables(tmp_path):
    files = write_report(SMALL, tmp_path / 'new' / 'folder')
    assert [file.name for file in files] == ['results.json', 'results.md', 'comparison.png']
    assert sorted(file.name for file in files) == sorted(file.name for file in files[0].parent.iterdir())
    assert files[1].read_text() == EXPECTED


def test_json_holds_all_results_with_null_for_what_is_not_finite(tmp_path):
    infinite = model('SimCLR', coco_linear=run({'mAP': math.inf, 'OF1': 3}, sweep=[{'mAP': 1.0}, {'mAP': NAN}]))
    infinite['evaluations']['coco-linear'].pop('sweep')  # drawn elsewhere
    text = write_report(results(*SMALL['models'], infinite), tmp_path)[0].read_text()
    read = json.loads(text, parse_constant=pytest.fail)
    expected = json.loads(
        json.dumps(results(*SMALL['models'], infinite)).replace('NaN', 'null').replace('Infinity', 'null')
    )
    assert read == expected
    assert read['models'][1]['evaluations']['voc-seg']['metrics']['mIoU'] is None
    assert (tmp_path / 'results.md').read_text() == write_report(read, tmp_path / 'again')[1].read_text()


@pytest.mark.parametrize(
    'values, bold',
    [
        ([30.0, 40.0, 40.04], ['40.0', '40.0']),
        ([30.0, NAN, 20.0], ['30.0']),
        ([30.0, 30.0, 30.0], []),
        ([30.0, NAN, None], []),
    ],
)
def test_of_several_values_the_best_are_bold_and_ties_are_all_bold_or_none(tmp_path, values, bold):
    write_report(results(*(model(f'method {index}', **mAP(value)) for index, value in enumerate(values))), tmp_path)
    cells = [row[3] for row in tables(tmp_path / 'results.md', 'Multi-label classification')[1:]]
    assert [cell.strip('*') for cell in cells if cell.startswith('**')] == bold


def test_the_best_is_the_best_mean_whatever_single_seeds_reach(tmp_path):
    lucky = [model('lucky', seed, **mAP(value)) for seed, value in enumerate([10.0, 50.0])]
    write_report(results(*lucky, model('steady', **mAP(31.0))), tmp_path)
    assert tables(tmp_path / 'results.md', 'Multi-label classification') == [
        ['Method', 'Agg.', 'Pair feature', 'n', 'COCO mAP'],
        ['lucky', 'GAP', 'backbone', '2', '30.0 ± 28.3'],
        ['steady', 'GAP', 'backbone', '1', '**31.0**'],
    ]
    assert 'over n seeds.' in (tmp_path / 'results.md').read_text()


def test_equal_names_are_told_apart_by_what_differs(tmp_path):
    write_report(
        results(
            model('DenseCL', arch='ViT-S/16', **mAP(1.0)),
            model('DenseCL', arch='ResNet-50', **mAP(2.0)),
            model('DenseCL', arch='ViT-S/16', aggregate='cls', pair_feature=None, **mAP(3.0)),
            model('SimCLR', arch='ViT-S/16', **mAP(4.0)),
        ),
        tmp_path,
    )
    assert [row[:4] for row in tables(tmp_path / 'results.md', 'Multi-label classification')[1:]] == [
        ['DenseCL', 'ViT-S/16', 'GAP', 'backbone'],
        ['DenseCL', 'ResNet-50', 'GAP', 'backbone'],
        ['DenseCL', 'ViT-S/16', 'CLS', '—'],
        ['SimCLR', 'ViT-S/16', 'GAP', 'backbone'],
    ]
    assert tables(tmp_path / 'results.md', 'COCO, linear probe')[0][1:] == [
        'DenseCL (ViT-S/16, GAP, backbone)',
        'DenseCL (ResNet-50, GAP, backbone)',
        'DenseCL (ViT-S/16, CLS)',
        'SimCLR',
    ]


@pytest.mark.parametrize('same', ['seed', 'fingerprint'])
def test_two_checkpoints_of_one_run_are_no_seeds_of_one_method(tmp_path, same):
    early, late = model('SimCLR', seed=0, **mAP(30.0)), model('SimCLR', seed=1, **mAP(32.0))
    late[same] = early[same]
    write_report(results(early, late), tmp_path)
    assert tables(tmp_path / 'results.md', 'Multi-label classification')[1:] == [
        ['SimCLR (SimCLR-0.pth)', 'GAP', 'backbone', '30.0'],
        ['SimCLR (SimCLR-1.pth)', 'GAP', 'backbone', '**32.0**'],
    ]


def test_checkpoints_of_unknown_seed_count_as_seeds(tmp_path):
    models = [dict(model('SimCLR', seed, **mAP(30.0 + seed)), seed=None) for seed in (0, 1)]
    write_report(results(*models), tmp_path)
    assert tables(tmp_path / 'results.md', 'Multi-label classification')[1][-1] == '30.5 ± 0.7'


def test_protocols_have_columns_of_their_own_in_the_posters_order(tmp_path):
    each = {'mAP': 1.0, 'mIoU': 2.0}
    keys = (
        'coco_seg_at_fcn voc_seg other_linear coco_knn coco_linear_at_augmented voc_linear coco_linear voc_box'.split()
    )
    write_report(results(model('SimCLR', **{key: run(each) for key in keys})), tmp_path)
    classified = tables(tmp_path / 'results.md', 'Multi-label classification')[0][3:]
    assert classified == ['COCO mAP', 'COCO mAP (augmented)', 'VOC mAP', 'COCO k-NN mAP', 'other mAP']
    assert tables(tmp_path / 'results.md', 'Semantic segmentation')[0][2:] == ['VOC mIoU', 'COCO mIoU (fcn)']
    assert tables(tmp_path / 'results.md', 'VOC, box')[1:] == [
        ['mAP', '1.0'],
        ['mIoU', '2.0'],
    ]


def test_the_posters_numbers_stand_beside_those_of_the_same_method_and_aggregate(tmp_path):
    entries = results(
        model('SimCLR', aggregate='cls', pair_feature=None, **mAP(50.0)),
        model('DenseCL++', voc_seg=run({'mIoU': 60.0}), **mAP(51.0)),
        model('DenseCL++', aggregate='cls', **mAP(52.0)),
    )
    write_report(entries, tmp_path, poster=True)
    rows = tables(tmp_path / 'results.md', 'Multi-label classification')
    assert [row[-2:] for row in rows] == [
        ['Poster: COCO mAP', 'Poster: COCO F1'],
        ['59.6', '37.8'],
        ['63.4', '39.0'],
        ['—', '—'],
    ]
    rows = tables(tmp_path / 'results.md', 'Semantic segmentation')
    assert [row[-2:] for row in rows] == [['VOC mIoU', 'Poster: VOC mIoU'], ['—', '—'], ['60.0', '70.0'], ['—', '—']]
    write_report(entries, tmp_path)
    assert 'Poster:' not in (tmp_path / 'results.md').read_text()


def test_classes_and_sweeps_get_tables_and_pictures(tmp_path):
    def linear(cat: float, dog: float) -> dict:
        classes = [{'class': 'cat', 'AP': cat, 'positives': 7}, {'class': 'dog', 'AP': dog, 'positives': 0}]
        sweep = [{'learning_rate': rate, 'weight_decay': 0.0, 'mAP': 50.0 * rate} for rate in (0.1, 1.0)]
        return run({'mAP': cat}, per_class=classes, sweep=sweep)

    segmented = run({'mIoU': 2.0}, per_class=[{'class': 'cat', 'IoU': 2.0, 'Acc': 3.0}])
    models = [
        model('SimCLR', coco_linear=linear(10.0, NAN)),
        model('SimCLR', seed=1, coco_linear=linear(20.0, NAN), voc_seg_at_fcn=segmented),
        model('DenseCL', coco_linear=linear(16.0, 1.0)),
    ]
    files = write_report(results(*models), tmp_path)
    pictures = ['comparison.png', 'classes_coco-linear.png', 'sweep_coco-linear.png', 'classes_voc-seg_fcn.png']
    assert [file.name for file in files] == ['results.json', 'results.md', 'results_per_class.md', *pictures]
    for picture in pictures:
        Image.open(tmp_path / picture).verify()
        assert f']({picture})' in (tmp_path / 'results.md').read_text()
    per_class = tmp_path / 'results_per_class.md'
    assert tables(per_class, 'COCO, linear probe: AP') == [
        ['Class', 'Positives', 'SimCLR', 'DenseCL'],
        ['cat', '7', '15.0 ± 7.1', '**16.0**'],
        ['dog', '0', '—', '1.0'],
    ]
    assert tables(per_class, r'VOC, segmentation (fcn): IoU') == [['Class', 'SimCLR'], ['cat', '2.0 (n = 1)']]
    assert tables(per_class, r'VOC, segmentation (fcn): Acc') == [['Class', 'SimCLR'], ['cat', '3.0 (n = 1)']]


def test_twelve_models_with_long_names_and_one_without_evaluations_are_reported(tmp_path):
    models = [model(f'{"long " * 30}{index}', **mAP(30.0)) for index in range(11)]
    files = write_report(results(*models, model('unfinished')), tmp_path)
    assert len(tables(files[1], 'Multi-label classification')) == 13
    assert tables(files[1], 'Multi-label classification')[-1][-1] == '—'


def test_nothing_measured_gives_the_checkpoints_alone(tmp_path):
    files = write_report(results(model('SimCLR')), tmp_path)
    assert [file.name for file in files] == ['results.json', 'results.md']
    assert '## Checkpoints' in files[1].read_text() and 'classification' not in files[1].read_text()


def test_an_interrupted_report_leaves_the_earlier_files_whole(tmp_path, monkeypatch):
    before = {file: file.read_bytes() for file in write_report(SMALL, tmp_path)}

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_report(results(model('another', **mAP(1.0))), tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_terminal_shows_whole_numbers_however_narrow_it_is():
    wide, narrow = (Console(width=width, record=True, file=io.StringIO()) for width in (200, 60))
    for console in (wide, narrow):
        print_report(SMALL, console)
    wide, narrow = wide.export_text(), narrow.export_text()
    for text in (wide, narrow):
        assert all(word in text for word in ('31.0 ± 1.4', '20.5 ± 0.7', '10.0 (n = 1)', 'COCO k-NN mAP', 'DenseCL++*'))
    # Two tables in all; where it is narrow, the labels stand beside every part.
    assert wide.count('Pair feature') == 2 < narrow.count('Pair feature')
    assert max(map(len, narrow.splitlines())) <= 60
