"""From a config and a user's wishes to a runner."""

import pytest
import torch
from mmengine.config import Config

from mmdclpp.apis import _runner
from mmdclpp.apis._runner import build_runner, load_config, require_keys, set_dataloaders, set_work_dir
from mmdclpp.errors import UserError


@pytest.fixture
def cpu(monkeypatch):
    """A machine without an accelerator."""
    monkeypatch.setattr(_runner, 'get_device', lambda: 'cpu')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'does not exist: check the path'),
        ("_base_ = 'gone.py'", 'gone.py'),
        ('model = dict(', "SyntaxError: '(' was never closed (<unknown>, line 1)"),
        ('model = dict(width=wide)', "NameError: name 'wide' is not defined"),
        ("custom_imports = dict(imports=['no_such_module'])", 'no_such_module'),
    ],
)
def test_a_config_that_cannot_be_read_is_named_with_the_reason(tmp_path, text, message):
    path = tmp_path / 'faulty.py'
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as error:
        load_config(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert '\n' not in str(error.value)


def test_options_override_a_copy_of_the_config():
    cfg = Config(dict(train_cfg=dict(max_epochs=3), custom_hooks=[dict(type='A', n=1)]))
    changed = load_config(cfg, {'train_cfg.max_epochs': 5, 'custom_hooks.0.n': 2, 'load_from': 'a.pth'})
    assert (changed.train_cfg.max_epochs, changed.custom_hooks[0].n, changed.load_from) == (5, 2, 'a.pth')
    assert (cfg.train_cfg.max_epochs, cfg.custom_hooks[0].n, cfg.get('load_from')) == (3, 1, None)


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        (
            'optim_wraper.optimizer.lr',
            "nothing reads the key 'optim_wraper.optimizer.lr', did you mean 'optim_wrapper'?",
        ),
        ('zzz', "nothing reads the key 'zzz': correct it"),
        ('train_cfg.max_epochs.at', 'train_cfg.max_epochs.at=1 does not fit'),
        ('custom_hooks.7.n', 'custom_hooks.7.n=1 does not fit'),
        ('custom_hooks.first.n', 'custom_hooks.first.n=1 does not fit'),
    ],
)
def test_an_option_that_cannot_take_effect_is_refused(key, message):
    cfg = Config(dict(train_cfg=dict(max_epochs=3), custom_hooks=[dict(type='A')], optim_wrapper=dict()))
    with pytest.raises(UserError, match='cfg_options') as error:
        load_config(cfg, {key: 1})
    assert message in str(error.value)


def test_a_config_without_a_needed_part_says_which():
    with pytest.raises(UserError, match='cannot be tested: add test_dataloader, test_cfg'):
        require_keys(Config(dict(model=dict(type='A'))), ['model', 'test_dataloader', 'test_cfg'], 'tested')


@pytest.mark.parametrize(
    ('argument', 'in_config', 'chosen'),
    [('a', 'b', 'a'), (None, 'b', 'b'), (None, None, 'work_dirs/{folder}/classifier')],
)
def test_the_work_dir_is_the_argument_then_the_configs_then_the_configs_name(
    classifier_config, argument, in_config, chosen
):
    cfg = Config.fromfile(classifier_config)
    cfg.work_dir = in_config
    set_work_dir(cfg, argument)
    assert cfg.work_dir == chosen.format(folder=classifier_config.parent.name)


def test_a_config_without_file_needs_a_work_dir():
    with pytest.raises(UserError, match='give work_dir'):
        set_work_dir(Config(), None)


@pytest.mark.parametrize('cuda', [False, True])
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('wanted', [False, True])
def test_memory_is_pinned_for_gpus_and_workers_persist_where_there_are_any(monkeypatch, cuda, workers, wanted):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    cfg = Config(dict(train_dataloader=dict(num_workers=workers), val_dataloader=None))
    set_dataloaders(cfg, pin_memory=wanted, persistent_workers=wanted)
    assert cfg.train_dataloader.pin_memory == (wanted and cuda)
    assert cfg.train_dataloader.persistent_workers == (wanted and workers > 0)
    assert cfg.val_dataloader is None


@pytest.mark.parametrize(
    ('scope', 'collate'),
    [('mmdclpp', {'type': 'default_collate'}), ('mmpretrain', {'type': 'default_collate'}), ('mmseg', None)],
)
def test_batches_are_collated_as_the_scope_expects(scope, collate):
    cfg = Config(dict(default_scope=scope, train_dataloader=dict()))
    set_dataloaders(cfg)
    assert cfg.train_dataloader.get('collate_fn') == collate


@pytest.mark.parametrize(
    ('changes', 'launcher', 'message'),
    [
        ({}, 'pytorch', 'use tools/dist_train.sh'),
        ({}, 'slurm', 'needs GPUs'),
        ({'optim_wrapper.type': 'AmpOptimWrapper'}, 'none', 'AmpOptimWrapper.*leave --amp out'),
        ({'runner_type': 'NoSuchRunner'}, 'none', "runner_type='NoSuchRunner'"),
    ],
)
def test_what_the_machine_or_the_launcher_rules_out_is_said(
    cpu, monkeypatch, classifier_config, changes, launcher, message
):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(UserError, match=message):
        build_runner(load_config(classifier_config, changes), launcher)
