"""Broken images during pretraining: each named once, counted in all processes, and too many of them end the run."""

import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample
from PIL import Image

from mmdclpp.apis import train
from mmdclpp.engine import BrokenImagesHook
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS, HOOKS

from . import online

NUMBERS = itertools.count()
REASONS = {
    '02.png': 'empty, 0 bytes',
    '03.png': 'cut off, 300 bytes',
    '23.png': 'no image that OpenCV or Pillow reads, 15 bytes',
}


@pytest.fixture
def folder(tmp_path):
    """Twenty-four images, three of them broken."""
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(24):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(folder / f'{index:02}.png')
    (folder / '02.png').write_bytes(b'')
    (folder / '03.png').write_bytes((folder / '03.png').read_bytes()[:300])
    (folder / '23.png').write_bytes(b'<!DOCTYPE html>')
    return folder


def pretrain(folder, hook, max_epochs=2, num_workers=0, custom_hooks=(), dataset=(), **options):
    """Epochs of four steps with six images each; the work dir is beside the images."""
    config = online.config('', list(custom_hooks), max_epochs=max_epochs)
    config['train_dataloader'].update(num_workers=num_workers)
    config['train_dataloader']['dataset'].update({'data_root': str(folder), 'skip_broken': True, **dict(dataset)})
    config['default_hooks'].update(broken_images=dict(type='BrokenImagesHook', **hook))
    config['experiment_name'] = f'broken_images_{next(NUMBERS)}'  # runs of one name and second share their logs
    return train(Config(config, format_python_code=False), work_dir=str(folder.parent / 'run'), **options)


def warnings(log_dir):
    """What was said of broken images, of two runs that began within a second by the second."""
    log = next(Path(log_dir).glob('*.log')).read_text().rpartition('resumed epoch')[2]
    return [line.partition('WARNING - ')[2] for line in log.splitlines() if 'roken image' in line and 'WARN' in line]


@pytest.mark.parametrize('num_workers', [0, 2])
def test_each_broken_file_is_named_once_with_its_reason_and_training_goes_on(folder, num_workers):
    runner = pretrain(folder, dict(max_share=0.2, interval=2), num_workers=num_workers)
    assert runner.iter == 8
    *named, last = warnings(runner.log_dir)
    assert sorted(line.partition(': ')[2] for line in named) == [
        f'{folder}/{name} ({reason}). Another image takes its place.' for name, reason in REASONS.items()
    ]
    assert [line.partition(':')[0] for line in named] == [f'Broken image {number}' for number in (1, 2, 3)]
    listed = folder.parent / 'run' / 'broken_images.txt'
    assert last.startswith(f'3 broken images, listed in {listed}')
    assert sorted(listed.read_text().splitlines()) == [f'{folder}/{name}\t{why}' for name, why in REASONS.items()]
    rest = DATASETS.build(dict(type='UnlabelledImages', data_root=str(folder), exclude_file=str(listed)))
    assert len(rest) == 21


def test_of_whole_images_nothing_is_said(folder):
    for name in REASONS:
        (folder / name).unlink()
    runner = pretrain(folder, dict(max_share=0, interval=1), max_epochs=1)
    assert warnings(runner.log_dir) == []
    assert not (folder.parent / 'run' / 'broken_images.txt').exists()


def test_too_many_end_the_run_when_the_data_set_is_read_and_not_before(folder):
    steps = []

    @HOOKS.register_module(force=True)
    class CountSteps(Hook):
        priority = 'HIGHEST'

        def after_train_iter(self, runner, *args, **kwargs):
            steps.append(runner.iter)

    with pytest.raises(UserError) as caught:
        pretrain(folder, dict(max_share=0.1, interval=1), custom_hooks=[dict(type='CountSteps')])
    assert steps == [0, 1, 2, 3]
    told = str(caught.value)
    assert told.startswith('3 of the 24 images read are broken (12.50%, more than 10.00%): ') and '\n' not in told
    assert all(f'{folder}/{name}' in told for name in REASONS) and f'{folder.parent}/run/broken_images.txt' in told
    assert 'restore them, or ' in told and 'raise default_hooks.broken_images.max_share' in told
    assert len((folder.parent / 'run' / 'broken_images.txt').read_text().splitlines()) == 3


@HOOKS.register_module(force=True)
class LoseImages(Hook):
    """A disk of which most is lost from the second epoch on."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            for index in range(4, 20):
                Path(runner.train_dataloader.dataset.data_root, f'{index:02}.png').write_bytes(bytes(9))


def test_the_last_checkpoint_remains_and_a_run_resumed_from_it_goes_on_with_what_was_found(folder):
    with pytest.raises(UserError, match='19 of the 24 images read are broken .*, ..., all listed in'):
        pretrain(folder, dict(max_share=0.2), max_epochs=3, custom_hooks=[dict(type='LoseImages')])
    checkpoints = sorted(path.name for path in (folder.parent / 'run').glob('*.pth'))
    assert checkpoints == ['epoch_1.pth']
    resumed = pretrain(folder, dict(max_share=1), resume=True)
    assert resumed.iter == 8
    *named, last = warnings(resumed.log_dir)
    assert len(named) == 16 and not any(name in line for name in REASONS for line in named)
    assert named[0].startswith('Broken image 4: ')
    assert last.startswith('19 broken images')
    assert len((folder.parent / 'run' / 'broken_images.txt').read_text().splitlines()) == 19


def restore(folder):
    for name in REASONS:
        Image.new('RGB', (20, 20)).save(folder / name)
    return {}


def leave_out(folder):
    return dict(exclude_file=str(folder.parent / 'run' / 'broken_images.txt'))


def take_others(folder):
    others = folder.parent / 'others'
    others.mkdir()
    for index in range(24):
        Image.new('RGB', (20, 20)).save(others / f'{index:02}.png')
    return dict(data_root=str(others))


@pytest.mark.parametrize('remedy', [restore, leave_out, take_others])
def test_a_resumed_run_is_judged_by_what_it_reads_and_keeps_the_list(folder, remedy):
    pretrain(folder, dict(max_share=1), max_epochs=1)
    listed = folder.parent / 'run' / 'broken_images.txt'
    before = listed.read_text()
    with pytest.raises(UserError, match='3 of the 24 images read are broken'):  # though all were named before
        pretrain(folder, dict(max_share=0), resume=True)
    resumed = pretrain(folder, dict(max_share=0), dataset=remedy(folder), resume=True)
    assert resumed.iter == 8 and warnings(resumed.log_dir) == []
    assert listed.read_text() == before and len(before.splitlines()) == 3


def test_a_run_resumed_in_another_work_dir_has_the_list_there(tmp_path):
    hook, runner = BrokenImagesHook(max_share=0, interval=1), stub_runner(tmp_path, range(4))
    runner.message_hub.runtime_info['broken_files'] = {'a.jpg': 'empty'}
    hook.before_train(runner)
    assert (tmp_path / 'broken_images.txt').read_text() == 'a.jpg\tempty\n'


def stub_runner(work_dir, dataset):
    told = []
    return SimpleNamespace(
        work_dir=work_dir,
        iter=0,
        told=told,
        logger=SimpleNamespace(warning=told.append),
        message_hub=SimpleNamespace(runtime_info={}, update_info=lambda *args: None),
        train_dataloader=SimpleNamespace(dataset=dataset),
    )


def read(hook, runner, images, broken):
    """A step with samples of so many images, in whose places ``broken`` had been."""
    samples = [DataSample() for _ in range(images - len(broken))]
    for sample, name in zip(samples, broken):
        sample.set_metainfo(dict(broken_images=[(name, 'empty')]))
    hook.after_train_iter(runner, 0, dict(inputs=None, data_samples=samples), None)


STREAM = iter(())


@pytest.mark.parametrize('dataset', [range(10**6), range(4000), STREAM], ids=['large', 'small', 'stream'])
@pytest.mark.parametrize(('broken', 'ends'), [(10, False), (11, True)])
def test_the_share_is_judged_from_a_thousand_images_on(dataset, broken, ends, tmp_path):
    hook, runner = BrokenImagesHook(interval=1), stub_runner(tmp_path, dataset)
    hook.before_train(runner)
    names = [f'{index}.jpg' for index in range(broken)]
    read(hook, runner, 100, names)
    read(hook, runner, 899, [])
    if ends:
        with pytest.raises(UserError, match='11 of the 1,000 images'):
            read(hook, runner, 1, [])
    else:
        read(hook, runner, 1, [])
        for _ in range(3):  # the same files in each epoch
            read(hook, runner, 1000, names)


def test_images_read_many_times_are_counted_once(tmp_path):
    hook, runner = BrokenImagesHook(interval=1), stub_runner(tmp_path, range(2000))
    hook.before_train(runner)
    for _ in range(10):
        read(hook, runner, 2000, [])
    with pytest.raises(UserError, match=r'21 of the 2,000 images read are broken \(1.05%'):
        read(hook, runner, 2000, [f'{index}.jpg' for index in range(21)])


def test_images_repeated_by_the_data_set_are_counted_once(folder):
    images = dict(type='mmdclpp.UnlabelledImages', data_root=str(folder), serialize_data=False)
    repeated = dict(type='RepeatDataset', times=10, dataset=images)
    both = DATASETS.build(dict(type='ConcatDataset', datasets=[repeated, dict(repeated, dataset=repeated)]))
    hook, runner = BrokenImagesHook(max_share=0.1, interval=1), stub_runner(folder.parent, both)
    hook.before_train(runner)
    with pytest.raises(UserError, match='5 of the 48 images read are broken'):
        read(hook, runner, 60, [f'{index}.jpg' for index in range(5)])


def test_of_data_never_read_to_the_end_the_share_is_judged_after_the_epoch(tmp_path):
    hook, runner = BrokenImagesHook(interval=1), stub_runner(tmp_path, range(71))
    hook.before_train(runner)
    read(hook, runner, 64, ['a.jpg'])  # the rest makes no batch
    with pytest.raises(UserError, match='1 of the 64 images read are broken'):
        hook.after_train_epoch(runner)


@pytest.mark.parametrize('data_batch', [None, dict(inputs=torch.zeros(2)), dict(data_samples=torch.zeros(2)), [1]])
def test_batches_of_another_form_tell_of_none(data_batch, tmp_path):
    hook, runner = BrokenImagesHook(max_share=0, interval=1), stub_runner(tmp_path, range(2))
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, data_batch, None)
    assert runner.told == []


def of_two(rank, folder):
    """Process ``rank`` of two, each of which reads half of 2000 images, and comes upon files of its own."""
    torch.set_num_threads(1)
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    dist.init_process_group('gloo', store=dist.FileStore(f'{folder}/store', 2), rank=rank, world_size=2)
    hook, runner = BrokenImagesHook(interval=1), stub_runner(f'{folder}/{rank}', range(2000))
    hook.before_train(runner)
    read(hook, runner, 500, ['both.jpg', f'{rank}.jpg'])
    error = ''
    try:
        read(hook, runner, 500, [f'more_{index}.jpg' for index in range(18)] if rank else [])
    except UserError as caught:
        error = str(caught).replace(f'{folder}/{rank}', 'run')
    Path(folder, f'{rank}.json').write_text(json.dumps([runner.told, error]))
    dist.destroy_process_group()


def test_all_processes_count_together_and_end_with_the_same_error(tmp_path):
    mp.start_processes(of_two, args=(str(tmp_path),), nprocs=2, start_method='fork')  # as a loader's workers
    (told, error), other = (json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2))
    assert other == [told, error]  # mmengine's logger is silent in all processes but the first
    assert error.startswith('21 of the 2,000 images read are broken (1.05%, more than 1.00%): both.jpg, 0.jpg, 1.jpg,')
    assert [line.split(' (')[0] for line in told[:4]] == [
        f'Broken image {number}: {name}.jpg' for number, name in enumerate(['both', '0', '1', 'more_0'], 1)
    ]
    assert len((tmp_path / '0' / 'broken_images.txt').read_text().splitlines()) == len(told) == 21
    assert not (tmp_path / '1').exists()


@pytest.mark.parametrize('argument', [dict(max_share=-0.1), dict(max_share=1.5), dict(interval=0)])
def test_a_number_out_of_range_is_refused_by_name(argument):
    ((key, value),) = argument.items()
    with pytest.raises(UserError, match=f'BrokenImagesHook: {key}={value} must'):
        BrokenImagesHook(**argument)
