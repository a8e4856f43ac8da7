"""Configs that are changed at random: a runner is built of them, or one line says what is wrong."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdclpp.apis._cli import user_message
from mmdclpp.apis._runner import build_runner, load_config, require_keys, set_dataloaders, set_work_dir
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.utils.paths import config_path

from ..fuzzing import BUDGETS, mutated, places

# Values that cost nothing to build with: a million layers would not be wrong, but long.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-3, -1, 0, 1, 2, 7, 0.5, -0.5, float('nan'), float('inf'), 1e-30]),
    st.sampled_from(['', 'a', 'ResNet', 'mmseg.FCNHead', 'BN', 'os.getcwd', '0.5']),
    st.sampled_from([[], [1, 2], {}, {'type': 'ResNet'}, {'type': 'NoSuchPart'}, {'a': 1}, [{}], [None]]),
)
# What says where files go and how processes are started is not the structure of an experiment.
KEPT = ('work_dir', 'launcher', 'experiment_name', 'custom_imports', 'data_root')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    generate_scenes(root, 4, 2, workers=1)
    cfg = Config.fromfile(config_path('densecl_pp/vit-demo_scenes.py'), format_python_code=False).to_dict()
    cfg.update(work_dir=str(root / 'run'), log_level='ERROR')
    cfg['train_dataloader'].update(num_workers=0, batch_size=2)
    cfg['train_dataloader']['dataset']['data_root'] = str(root / 'images' / 'train')
    arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)
    cfg['model']['backbone'].update(arch=arch)
    cfg['model']['neck'].update(in_channels=16)
    return cfg


def build(cfg, options=None):
    """All that ``apis.train`` does before it trains, with nothing that depends on its flags."""
    cfg = load_config(cfg, options)
    require_keys(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'trained')
    set_work_dir(cfg, None)
    set_dataloaders(cfg)
    runner = build_runner(cfg)
    assert len(runner.train_loop.dataloader) >= 0
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    return runner


def line_of(cfg, options=None):
    """What a tool would print; None if all can be built."""
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        try:
            build(cfg, options)
        except Exception as error:
            line = user_message(error)
            if line is None:
                raise
            assert '\n' not in line
            return line
    return None


def test_as_it_is_it_can_be_built(config):
    assert line_of(Config(copy.deepcopy(config), format_python_code=False)) is None


@pytest.mark.parametrize('budget', BUDGETS)
def test_a_config_of_another_structure(config, budget):
    @settings(budget, max_examples=budget.max_examples // 10)
    @given(st.data())
    def check(data):
        changed = mutated(data.draw, config, VALUES, KEPT)
        line_of(Config(changed, format_python_code=False))

    check()


@pytest.mark.parametrize('budget', BUDGETS)
def test_options_of_a_config(config, budget):
    keys = ['.'.join(map(str, place)) for place in places(config) if not {*place} & {*KEPT}]

    @settings(budget, max_examples=budget.max_examples // 10)
    @given(st.dictionaries(st.sampled_from(keys), VALUES, min_size=1, max_size=2))
    def check(options):
        line_of(Config(copy.deepcopy(config), format_python_code=False), options)

    check()
