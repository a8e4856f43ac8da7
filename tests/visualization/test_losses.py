import json
import math
from pathlib import Path

import pytest
from mmengine.visualization import LocalVisBackend

from mmdclpp.errors import UserError
from mmdclpp.visualization import loss_curve, read_scalars


def line(step: int, parts: tuple = ('global', 'dense'), **more) -> dict:
    scalars = {'lr': 0.1, 'loss': 4.0, 'iter': step, 'step': step, **more}
    for part in parts:
        scalars |= {
            f'{part}_nce': 4.0 / step,
            f'{part}_chance': math.log(63),
            f'{part}_pos_sim': 0.8,
            f'{part}_neg_sim': 0.1,
        }
    return scalars


def write(path: Path, *lines: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(scalars) + '\n' for scalars in lines))
    return path


def test_what_mmengine_writes_is_read_back_without_the_lines_of_validation(tmp_path):
    backend = LocalVisBackend(save_dir=str(tmp_path))
    backend.add_scalars({'loss': 3.0, 'global_nce': 2.0}, step=10)
    backend.add_scalars({'multi-label/mAP': 40.0}, step=1)
    backend.add_scalars({'loss': 2.0, 'global_nce': 1.0}, step=20)
    assert read_scalars(tmp_path / 'scalars.json') == [
        {'loss': 3.0, 'global_nce': 2.0, 'step': 10},
        {'loss': 2.0, 'global_nce': 1.0, 'step': 20},
    ]


def test_a_resumed_run_counts_from_where_it_was_resumed(tmp_path):
    write(tmp_path / '20260101_000000/vis_data/scalars.json', *(line(step, loss=1.0) for step in (10, 20, 30, 40)))
    write(tmp_path / '20260102_000000/vis_data/scalars.json', *(line(step, loss=2.0) for step in (30,)))
    write(tmp_path / '20260103_000000/vis_data/scalars.json')
    assert [(record['step'], record['loss']) for record in read_scalars(tmp_path)] == [(10, 1), (20, 1), (30, 2)]


def test_a_last_line_that_was_cut_off_is_skipped(tmp_path):
    path = write(tmp_path / 'log.json', line(1), line(2))
    path.write_text(path.read_text()[:-20])
    assert [record['step'] for record in read_scalars(path)] == [1]


@pytest.mark.parametrize(
    'parts, aspect',
    [(('global', 'dense'), 5 / 8.4), (('global',), 5 / 4.2), ((), 3 / 5)],
    ids=['both', 'SimCLR', 'other'],
)
def test_a_picture_has_a_column_for_each_part_that_was_logged(tmp_path, read_picture, parts, aspect):
    log = write(tmp_path / 'log.json', *(line(step, parts) for step in range(1, 9)))
    pixels = read_picture(loss_curve(str(log), str(tmp_path / 'loss.png')))
    assert pixels.shape[0] / pixels.shape[1] == pytest.approx(aspect, rel=0.08)


def test_runs_with_different_parts_and_lengths_overlay(tmp_path, read_picture):
    logs = {
        'DenseCL++': write(tmp_path / 'a.json', *(line(step) for step in range(1, 9))),
        'SimCLR': write(tmp_path / 'b.json', *(line(step, ('global',)) for step in range(1, 5))),
        'one line, a value not finite': write(tmp_path / 'c.json', line(3, ('dense',), dense_neg_sim=math.nan)),
        'another method': write(tmp_path / 'd.json', line(3, ())),
    }
    read_picture(loss_curve(logs, tmp_path / 'loss.png'))


@pytest.mark.parametrize(
    'text, message',
    [
        (None, r'log\.json cannot be read \(No such file'),
        ('', r'log\.json holds no training scalars'),
        ('{"mAP": 40.0, "step": 1}\n', r'log\.json holds no training scalars'),
        ('{"loss": 1.0, "step": 1}\nepoch 2\n', r'log\.json, line 2, is not JSON'),
        (b'\xff\xfe\x00', r'log\.json cannot be read \(not text\)'),
    ],
    ids=['missing', 'empty', 'validation only', 'not JSON', 'binary'],
)
def test_a_log_that_cannot_be_drawn_is_explained(tmp_path, text, message):
    log = tmp_path / 'log.json'
    if text is not None:
        log.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        loss_curve(log, tmp_path / 'loss.png')
    assert not (tmp_path / 'loss.png').exists()


def test_no_run_at_all_is_explained(tmp_path):
    with pytest.raises(UserError, match='names no run'):
        loss_curve({}, tmp_path / 'loss.png')
    with pytest.raises(UserError, match='holds no training scalars'):
        loss_curve(tmp_path, tmp_path / 'loss.png')
