"""Evaluation of a checkpoint."""

import json
import pickle

import pytest
import torch
from mmengine.config import Config

from mmdclpp import apis
from mmdclpp.apis.testing import _set_visualization
from mmdclpp.errors import UserError


@pytest.fixture
def checkpoint(classifier_config, tmp_path):
    """A checkpoint of the model of ``classifier_config``, untrained."""
    from mmdclpp.registry import MODELS

    path = tmp_path / 'checkpoint.pth'
    torch.save({'state_dict': MODELS.build(Config.fromfile(classifier_config).model).state_dict()}, path)
    return path


def edit(path, change) -> None:
    content = torch.load(path)
    change(content['state_dict'])
    torch.save(content, path)


def test_metrics_and_predictions_are_returned_and_written(classifier_config, checkpoint, tmp_path):
    options = dict(work_dir=str(tmp_path / 'run'), cfg_options={'test_dataloader.batch_size': 8})
    wishes = dict(out=tmp_path / 'm.json', out_item='metrics', show_dir=tmp_path / 'drawn')
    metrics = apis.test(classifier_config, checkpoint, **wishes, **options)
    assert metrics == json.loads((tmp_path / 'm.json').read_text())
    assert len(list((tmp_path / 'drawn').glob('*.png'))) == 8

    apis.test(classifier_config, checkpoint, out=tmp_path / 'p.pkl', **options)
    predictions = pickle.loads((tmp_path / 'p.pkl').read_bytes())
    correct = [int(sample['pred_label'] == sample['gt_label']) for sample in predictions]
    assert metrics['accuracy/top1'] == pytest.approx(100 * sum(correct) / 8)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda state: state.pop('head.fc.bias'), 'checkpoint.pth lacks head.fc.bias: '),
        (lambda state: state.clear(), 'and [0-9]+ more: '),
        (lambda state: state.update({'head.fc.bias': torch.zeros(3)}), 'size mismatch for head.fc.bias'),
    ],
)
def test_a_checkpoint_that_leaves_a_parameter_random_is_refused(
    classifier_config, checkpoint, tmp_path, change, message
):
    edit(checkpoint, change)
    with pytest.raises(UserError, match=message):
        apis.test(classifier_config, checkpoint, work_dir=str(tmp_path / 'run'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'checkpoint': 'gone.pth'}, 'gone.pth does not exist'),
        ({'out': 'p.txt'}, 'p.txt: pred can be written to .pkl'),
        ({'out': 'p.json'}, 'p.json: pred can be written to .pkl'),
        ({'out_item': 'loss'}, "out_item='loss' is unknown"),
        ({'tta': True}, 'cannot be tested with augmentation: add tta_model, tta_pipeline'),
        ({'cfg_options': {'test_evaluator': None}}, 'cannot be tested: add test_evaluator'),
        ({'show_dir': 'drawn', 'cfg_options': {'default_hooks.visualization': None}}, 'default_hooks.visualization'),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(classifier_config, checkpoint, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        apis.test(classifier_config, **{'checkpoint': checkpoint, 'work_dir': str(tmp_path / 'run'), **options})


def test_mmseg_draws_below_the_folder_of_its_visualizer():
    cfg = Config(dict(default_hooks=dict(visualization=dict(type='SegVisualizationHook')), visualizer=dict(type='A')))
    _set_visualization(cfg, 'drawn', show=False, interval=3, wait_time=2.0)
    assert cfg.default_hooks.visualization.draw is True
    assert cfg.default_hooks.visualization.interval == 3
    assert cfg.visualizer.save_dir == 'drawn'
