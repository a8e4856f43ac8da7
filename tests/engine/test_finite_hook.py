"""Losses and gradients that are not finite: the update is left out as if its batch had not been, or the run ends."""

import itertools
import json
import math
import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import Dataset

from mmdclpp.apis import train
from mmdclpp.apis._runner import build_runner
from mmdclpp.engine import FiniteHook
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS, HOOKS, MODELS

NUMBERS = itertools.count()
NAN, INF = math.nan, math.inf
UPDATES = 8
VALUES = dict(type='value', clip_value=0.01)


@DATASETS.register_module(force=True)
class Points(Dataset):
    """Sixteen points with names."""

    metainfo = {}

    def __len__(self):
        return 16

    def __getitem__(self, index):
        point = torch.randn(3, generator=torch.Generator().manual_seed(index))
        return dict(inputs=point, data_samples=DataSample(metainfo=dict(img_path=f'{index}.jpg')))


class _FlawedGradient(torch.autograd.Function):
    """The identity, whose gradient is not finite."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * NAN


@MODELS.register_module(force=True)
class Flawed(BaseModel):
    """Two parts of a loss, batch norm, a queue; what is planned for iterations, by number, goes wrong in them."""

    def __init__(self, flaws, rank=None):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 1)
        self.register_buffer('queue', torch.zeros(4, 3))
        self.flaws, self.rank, self.iteration = flaws, rank, 0

    def forward(self, inputs, data_samples=None, mode='loss'):
        self.iteration += 1
        flaw = self.flaws.get(self.iteration, '') if self.rank in (None, _rank()) else ''
        inputs = torch.stack(inputs) if isinstance(inputs, list) else inputs
        features = self.body(inputs * (NAN if flaw == 'features' else 1))
        self.queue.copy_(torch.cat([self.queue, features.detach()])[-4:])
        scores = self.head(self.norm(features))
        if flaw == 'gradient':
            scores = _FlawedGradient.apply(scores)
        # What has no gradient leaves no trace in the weights' gradients by itself.
        extra = torch.tensor({'loss': NAN, 'infinite loss': INF}.get(flaw, 1.0))
        return dict(loss_fit=(scores - 1).square().mean(), loss_extra=extra, figure=extra)


@HOOKS.register_module(force=True)
class Record(Hook):
    """What training is made of, after each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        runner.states = [self.state(runner)]

    def after_train_iter(self, runner, *args, **kwargs):
        runner.states.append(self.state(runner))

    def state(self, runner):
        model = runner.model.module if hasattr(runner.model, 'module') else runner.model
        optimizer = runner.optim_wrapper.optimizer.state_dict()['state']
        averages = [hook.ema_model for hook in runner.hooks if hasattr(hook, 'ema_model')]
        moments = {f'{index}.{name}': value for index, state in optimizer.items() for name, value in state.items()}
        averaged = {f'ema.{name}': value for average in averages for name, value in average.state_dict().items()}
        return {
            name: torch.as_tensor(value).clone()
            for name, value in {**model.state_dict(), **moments, **averaged}.items()
        }


def _rank():
    return dist.get_rank() if dist.is_initialized() else 0


def config(flaws, rank=None, accumulate=1, fused=False, clip=None, **hook):
    optimizer = dict(type='AdamW', lr=1e-2, weight_decay=0.1, fused=fused)
    return dict(
        default_scope='mmdclpp',
        model=dict(type='Flawed', flaws=flaws, rank=rank),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='Points'),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=accumulate),
        optim_wrapper=dict(optimizer=optimizer, accumulative_counts=accumulate, clip_grad=clip),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1), finite=dict(type='FiniteHook', **hook)),
        custom_hooks=[dict(type='Record')],
        randomness=dict(seed=0),
        experiment_name=f'finite_{next(NUMBERS)}',
    )


@pytest.fixture
def start(tmp_path):
    def start(flaws=(), ema=False, resume=False, changes=(), **options):
        content = config(dict(flaws), **options)
        return train(
            Config({**content, **dict(changes)}, format_python_code=False), str(tmp_path), ema=ema, resume=resume
        )

    return start


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def log(runner):
    return next(Path(runner.log_dir).glob('*.log')).read_text()


def dumps(folder):
    return {path.name: json.loads(path.read_text()) for path in sorted(Path(folder, 'non_finite').glob('*'))}


@pytest.mark.parametrize('clip', [None, dict(max_norm=0.1), VALUES], ids=str)
@pytest.mark.parametrize(('fused', 'accumulate'), [(False, 1), (True, 1), (False, 2)])
def test_a_run_without_flaws_is_bit_for_bit_that_of_mmengine(start, tmp_path, fused, accumulate, clip):
    options = dict(fused=fused, accumulate=accumulate, clip=clip)
    watched = start(**options)
    plain = start(**options, changes={'default_hooks': dict(logger=dict(type='LoggerHook', interval=1))})
    assert all(map(same, watched.states, plain.states)) and len(watched.states) == 1 + UPDATES * accumulate
    assert not (tmp_path / 'non_finite').exists() and 'left out' not in log(watched)
    if clip == dict(max_norm=0.1):
        mine, others = (run.message_hub.get_scalar('train/grad_norm').data[0] for run in (watched, plain))
        assert (mine == others).all()


FLAWS = {
    'loss': 'loss_extra is nan',
    'infinite loss': 'loss_extra is inf',
    'features': 'loss_fit is nan',
    'gradient': 'the gradient is not finite in 6 of 6 parameters (body.weight, body.bias, norm.weight, ...), though',
}


@pytest.mark.parametrize(
    'options',
    [{}, dict(fused=True), dict(clip=dict(max_norm=0.1)), dict(clip=VALUES), dict(fused=True, clip=VALUES)],
    ids=str,
)
@pytest.mark.parametrize('flaw', FLAWS)
def test_an_update_that_is_not_finite_leaves_everything_as_it_was_and_training_goes_on(start, flaw, options):
    runner = start({1: flaw, 4: flaw}, **options)
    states = runner.states
    for iteration in range(1, UPDATES + 1):
        model = {name for name in states[0] if name[0].isalpha()}
        before, after = ({name: state[name] for name in model} for state in states[iteration - 1 : iteration + 1])
        assert same(before, after) == (iteration in (1, 4))
    assert same(states[3], states[4])
    assert all(value.isfinite().all() for value in states[-1].values())
    steps = [value for name, value in states[-1].items() if name.endswith('.step')]
    assert steps and all(step == UPDATES - 2 for step in steps)
    warned = [line for line in log(runner).splitlines() if 'is left out' in line]
    assert len(warned) == 2 and f'iteration 4: {FLAWS[flaw]}' in warned[1] and '2 of the last 4' in warned[1]
    assert runner.message_hub.get_scalar('train/skipped_updates').current() == 2


def test_the_file_names_images_parts_of_the_loss_and_parameters(start, tmp_path):
    start({3: 'loss', 6: 'gradient'})
    told = dumps(tmp_path)
    assert list(told) == ['iter_3_rank0.json', 'iter_6_rank0.json']
    loss, gradient = told.values()
    ((batch,), (other,)) = loss.pop('batches'), gradient.pop('batches')
    assert batch['images'] == ['4.jpg', '5.jpg'] and other['images'] == ['10.jpg', '11.jpg']
    assert batch['outputs']['loss'] == batch['outputs']['loss_extra'] == batch['outputs']['figure'] == 'nan'
    assert 0 < batch['outputs']['loss_fit'] < 10 and 0 < other['outputs']['loss'] < 10
    assert loss['gradient_norm'] == 'nan' and loss['learning_rate'] == 0.01 and loss['loss_scale'] is None
    assert (loss['iteration'], loss['epoch'], loss['rank'], loss['skips'], gradient['skips']) == (3, 1, 0, 1, 2)
    names = ['body.weight', 'body.bias', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias']
    assert gradient['non_finite_gradients'] == dict(count=6, of=6, names=names)


def test_one_bad_batch_of_several_that_make_an_update_leaves_all_of_it_out(start, tmp_path):
    runner = start({4: 'features'}, accumulate=3)  # of updates 1-3, 4-6, 7-9, ...
    states = runner.states
    assert same(states[3], states[6]) and not same(states[6], states[9])
    (told,) = dumps(tmp_path).values()
    assert [batch['iteration'] for batch in told['batches']] == [4, 5, 6]
    assert told['batches'][0]['images'] == ['6.jpg', '7.jpg']
    assert [batch['outputs']['loss'] == 'nan' for batch in told['batches']] == [True, False, False]


def test_averaged_weights_take_in_nothing_of_it(start):
    runner = start({2: 'features', 5: 'gradient'}, ema=0.1)
    averages = [
        {name: value for name, value in state.items() if name.startswith('ema.module')} for state in runner.states
    ]
    assert len(averages[-1]) == 10
    assert all(value.isfinite().all() for state in averages for value in state.values())
    weights, before, after = runner.states[4]['body.weight'], *(averages[i]['ema.module.body.weight'] for i in (4, 5))
    low, high = torch.minimum(weights, before), torch.maximum(weights, before)
    assert ((low <= after) & (after <= high)).all()  # a step towards the weights as they were


def test_too_many_end_the_run_untouched_and_it_resumes(start, tmp_path):
    flaws = dict.fromkeys((9, 10, 12), 'features')
    changes = dict(train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2))
    with pytest.raises(UserError) as caught:
        start(flaws, max_skips=2, changes=changes)
    told = str(caught.value)
    assert told.startswith('iteration 12: loss_fit is nan; of the last 12 updates 3 were not finite, and ')
    assert 'max_skips=2' in told and f'{tmp_path}/non_finite/iter_12_rank*.json' in told and '--resume' in told
    assert '\n' not in told and len(dumps(tmp_path)) == 3
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    resumed = start(resume=True, changes=changes)
    assert resumed.iter == 16 and all(value.isfinite().all() for value in resumed.states[-1].values())


def test_the_first_ends_the_run_where_none_is_allowed(start):
    with pytest.raises(UserError, match='iteration 3: loss_extra is inf; of the last 3 updates 1 '):
        start({3: 'infinite loss'}, max_skips=0)


def test_those_long_ago_do_not_count(start, monkeypatch):
    monkeypatch.setattr('mmdclpp.engine.finite_hook.MAX_FILES', 3)
    runner = start(dict.fromkeys((1, 2, 5, 6), 'loss'), max_skips=2, window=4)
    assert runner.iter == UPDATES
    assert len(dumps(runner.work_dir)) == 3, 'files are bounded'
    with pytest.raises(UserError, match='iteration 4: .* of the last 4 updates 3 were'):
        start(dict.fromkeys((1, 2, 4), 'loss'), max_skips=2, window=4)


@HOOKS.register_module(force=True)
class Poison(Hook):
    """Something that destroys a weight, or the schedule."""

    def __init__(self, what):
        self.what = what

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 2 and self.what == 'weight':
            runner.model.head.weight.data.fill_(INF)
        if runner.iter == 2 and self.what == 'rate':
            runner.optim_wrapper.param_groups[0]['lr'] = NAN


@pytest.mark.parametrize(
    ('what', 'message'),
    [
        ('weight', r'iteration 4: .* since weights themselves are not finite \(head.weight\).*earlier checkpoint'),
        ('rate', 'iteration 4: the learning rate is nan: correct param_scheduler'),
    ],
)
def test_what_no_other_batch_can_mend_ends_the_run_at_once(start, what, message):
    with pytest.raises(UserError, match=message):
        start(changes=dict(custom_hooks=[dict(type='Poison', what=what)]))


@pytest.fixture
def amp(start, monkeypatch):
    """Training with a loss scale, which mmengine allows on GPUs alone, on the CPU: bfloat16 in place of float16."""
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, device='cpu'))
    monkeypatch.setattr('mmdclpp.apis.training.check_amp', lambda cfg: None)
    monkeypatch.setattr('mmdclpp.apis._runner.check_amp', lambda cfg: None)

    def amp(flaws=(), loss_scale='dynamic', fused=False, clip=None, **options):
        optimizer = dict(type='AdamW', lr=1e-2, fused=fused)
        wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=loss_scale, optimizer=optimizer)
        return start(flaws, changes=dict(optim_wrapper=dict(wrapper, clip_grad=clip)), **options)

    return amp


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('clip', [None, dict(max_norm=0.1)], ids=str)
def test_a_loss_scale_that_is_searched_for_is_nothing_to_tell(amp, tmp_path, fused, clip):
    runner = amp({1: 'gradient', 2: 'gradient'}, fused=fused, clip=clip, max_skips=0)
    assert runner.optim_wrapper.loss_scaler.get_scale() == 2**14
    weights = [state['body.weight'] for state in runner.states]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[2], weights[3])
    assert 'left out' not in log(runner) and not (tmp_path / 'non_finite').exists()


def test_a_loss_that_is_not_finite_is_told_at_any_scale(amp, tmp_path):
    runner = amp({2: 'loss'})
    assert 'iteration 2: loss_extra is nan' in log(runner)
    (told,) = dumps(tmp_path).values()
    assert told['loss_scale'] == 2**15
    assert same(*({k: v for k, v in state.items() if k[0].isalpha()} for state in runner.states[1:3]))


@pytest.mark.parametrize('loss_scale', [dict(enabled=False), 512.0], ids=['none, as for bf16', 'a fixed one'])
@pytest.mark.parametrize('fused', [False, True])
def test_without_a_search_every_gradient_that_is_not_finite_is_told(amp, loss_scale, fused):
    runner = amp({3: 'gradient'}, loss_scale=loss_scale, fused=fused)
    assert 'iteration 3: the gradient is not finite' in log(runner)
    assert same(runner.states[2], runner.states[3]) and not same(runner.states[3], runner.states[4])


def test_a_loss_scale_that_collapses_is_reported_once(amp):
    runner = amp(dict.fromkeys(range(1, 6), 'gradient'), loss_scale=dict(init_scale=8.0))  # 4, 2, 1, 1/2, 1/4
    warned = [line for line in log(runner).splitlines() if 'the loss scale has fallen' in line]
    assert len(warned) == 1 and 'iteration 4: the loss scale has fallen to 0.5' in warned[0] and 'bf16' in warned[0]
    assert log(runner).count('is left out') == 2


def test_a_loss_scale_that_has_collapsed_ends_the_run_if_it_goes_on(amp):
    with pytest.raises(UserError, match='iteration 7: the gradient is not finite .* of the last 7 updates 4 were'):
        amp(dict.fromkeys(range(1, 9), 'gradient'), loss_scale=dict(init_scale=8.0), max_skips=3)


def of_two(rank, folder, accumulate, flaw, max_skips):
    """Process ``rank`` of two; the second one alone has the flaw."""
    torch.set_num_threads(1)
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    dist.init_process_group('gloo', store=dist.FileStore(f'{folder}/store', 2), rank=rank, world_size=2)
    content = config({2: flaw}, rank=1, accumulate=accumulate, max_skips=max_skips)
    error, states = '', []
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        # DDP buckets, and no_sync while gradients accumulate.
        runner = build_runner(Config({**content, 'work_dir': folder}, format_python_code=False), 'pytorch')
        try:
            runner.train()
        except UserError as caught:
            error = str(caught)
        states = runner.states
    torch.save((error, states), f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.mark.parametrize('max_skips', [0, 1])
@pytest.mark.parametrize('accumulate', [1, 2])
@pytest.mark.parametrize('flaw', ['loss', 'gradient'])
def test_processes_decide_alike_where_one_alone_has_it(tmp_path, flaw, accumulate, max_skips):
    mp.start_processes(of_two, args=(str(tmp_path), accumulate, flaw, max_skips), nprocs=2, start_method='fork')
    (error, states), (other_error, other) = (torch.load(tmp_path / f'{rank}.pt') for rank in range(2))
    weights = [name for name, _ in Flawed({}).named_parameters()]
    assert len(states) == len(other) == (1 + 4 * accumulate if max_skips else 2)
    for mine, others in zip(states, other):
        assert all(torch.equal(mine[name], others[name]) for name in weights)
    assert error == other_error
    cause = 'loss_extra is nan in process 1' if flaw == 'loss' else 'the gradient is not finite'
    if max_skips == 0:
        assert f'iteration 2: {cause}' in error
    else:
        assert error == '' and same(states[0 if accumulate == 2 else 1], states[2])
    images = {name: told['batches'][-1]['images'] for name, told in dumps(tmp_path).items()}
    assert images == {'iter_2_rank0.json': ['4.jpg', '6.jpg'], 'iter_2_rank1.json': ['5.jpg', '7.jpg']}


def test_an_optimizer_wrapper_that_is_not_ours_is_told_and_left_alone(start):
    class Other:
        pass

    told = []
    hook = FiniteHook()
    runner = type('Runner', (), {'optim_wrapper': Other(), 'logger': type('', (), {'warning': told.append})})()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    hook.after_train_iter(runner, 0, None, dict(loss=torch.tensor(NAN)))
    assert len(told) == 1 and 'Other is no optimizer wrapper of mmdclpp' in told[0]


@pytest.mark.parametrize('argument', [dict(max_skips=-1), dict(window=0)])
def test_a_number_out_of_range_is_refused_by_name(argument):
    ((key, value),) = argument.items()
    with pytest.raises(UserError, match=f'FiniteHook: {key}={value} must'):
        FiniteHook(**argument)
