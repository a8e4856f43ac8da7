"""What is drawn for a sample depends on seed, epoch and index alone; as long as nobody tells them, on the worker."""

import copy
import itertools
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import sampler as mmengine_sampler
from mmengine.runner import Runner, loops
from PIL import Image

from mmdclpp.datasets.transforms import load_views
from mmdclpp.registry import DATASETS

pytestmark = pytest.mark.filterwarnings('ignore:This DataLoader will create')

NUMBER = 5  # images of each data set
VIEW = [
    dict(type='RandomResizedCropWithBox', scale=8),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    # Draws from Python's random states, where the others draw from NumPy's.
    dict(type='RandomGrayscale', prob=0.5, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
]
META = ('img_path', 'view_boxes', 'view_flips', 'view_photometric')
BATCHED, MMPRETRAIN = load_views.BACKENDS
backends = pytest.mark.parametrize('backend', load_views.BACKENDS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    noise = np.random.default_rng(0)
    for index in range(NUMBER):
        Image.fromarray(noise.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(folder / f'{index}.png')
    return str(folder)


def images(folder, backend=BATCHED):
    pipeline = [
        dict(type='LoadViews', transforms=[VIEW], backend=backend),
        dict(type='PackInputs', meta_keys=META),
    ]
    # Serialising takes longer than all the rest.
    return dict(type='UnlabelledImages', data_root=folder, pipeline=pipeline, serialize_data=False)


def joined(*datasets):
    return dict(type='ConcatDataset', datasets=list(datasets))


def loader(dataset, seed=1, num_workers=0, persistent=False, sampler='EpochSampler', **options):
    """As the runner builds it."""
    return Runner.build_dataloader(
        dict(
            dataset=dataset,
            batch_size=2,
            num_workers=num_workers,
            persistent_workers=persistent,
            sampler=dict(type=sampler, shuffle=True),
            collate_fn=dict(type='default_collate'),
            **options,
        ),
        seed=seed,
    )


def drawn(sample) -> tuple:
    """What was drawn for a sample, and its pixels."""
    told = sample['data_samples']
    rows = told.get('view_photometric', np.zeros(0))
    pixels = [view.numpy().tobytes() for view in sample['inputs']]
    return repr(told.view_boxes), repr(told.view_flips), rows.tobytes(), *pixels


def epoch_of(loader, epoch):
    """Each sample of an epoch by its index, as the sampler gives them."""
    loader.sampler.set_epoch(epoch)
    indices = mmengine_sampler.DefaultSampler.__iter__(loader.sampler)  # which tells nobody the epoch
    return {
        next(indices): drawn(dict(inputs=views, data_samples=told))
        for batch in loader
        for *views, told in zip(*batch['inputs'], batch['data_samples'], strict=True)
    }


@backends
@pytest.mark.parametrize(('num_workers', 'persistent'), [(1, False), (3, False), (3, True)])
def test_samples_are_the_same_whatever_the_number_of_workers(folder, backend, num_workers, persistent):
    dataset = joined(images(folder, backend), images(folder, backend))
    alone, working = loader(dataset), loader(dataset, num_workers=num_workers, persistent=persistent)
    for epoch in (0, 1):
        samples = epoch_of(working, epoch)
        assert len(samples) == 2 * NUMBER
        assert samples == epoch_of(alone, epoch)


@backends
def test_every_seed_epoch_and_sample_has_draws_of_its_own(folder, backend):
    # The same images stand in both data sets, at the same places.
    dataset = joined(images(folder, backend), images(folder, backend))
    boxes = [
        sample[0]
        for seed in (1, 2)
        for samples in (loader(dataset, seed),)
        for epoch in (0, 1)
        for sample in epoch_of(samples, epoch).values()
    ]
    assert len(boxes) == len(set(boxes)) == 2 * 2 * 2 * NUMBER


def test_a_sample_does_not_depend_on_those_before_it(folder):
    samples = loader(images(folder))
    epoch = epoch_of(samples, 3)
    for index in reversed(range(NUMBER)):
        assert drawn(samples.dataset[index]) == epoch[index]


@pytest.mark.parametrize('parts', [1, 2, 3])
def test_the_samples_before_a_data_set_count_also_in_nested_ones(folder, parts):
    nested = joined(joined(*[images(folder)] * parts), images(folder))
    flat = joined(*[images(folder)] * (parts + 1))
    assert epoch_of(loader(nested), 2) == epoch_of(loader(flat), 2)


@backends
def test_several_processes_draw_as_one_does(folder, backend, monkeypatch):
    dataset = joined(images(folder, backend), images(folder, backend))
    alone = epoch_of(loader(dataset), 4)
    together = {}
    for rank in range(3):
        monkeypatch.setattr(mmengine_sampler, 'get_dist_info', lambda rank=rank: (rank, 3))
        part = epoch_of(loader(dataset), 4)
        assert len(part) == 4  # of 10, rounded up
        together |= part
    assert together == alone


@pytest.mark.parametrize('num_workers', [0, 2])
def test_a_resumed_run_goes_on_with_the_draws_of_one_without_a_break(folder, num_workers):
    options = dict(dataset=images(folder), num_workers=num_workers, persistent=num_workers > 0)
    whole = loader(**options)
    *_, third = [epoch_of(whole, epoch) for epoch in range(3)]
    assert epoch_of(loader(**options), 2) == third


def test_a_run_by_iterations_has_the_draws_of_a_run_by_epochs(folder, monkeypatch):
    monkeypatch.setattr(loops.time, 'sleep', lambda _: None)  # mmengine waits between epochs
    iterations = loops._InfiniteDataloaderIterator(loader(images(folder), num_workers=1, persistent=True))
    batches = [next(iterations) for _ in range(6)]  # three an epoch
    boxes = [repr(told.view_boxes) for batch in batches for told in batch['data_samples']]
    by_epochs = loader(images(folder))
    assert boxes == [sample[0] for epoch in (0, 1) for sample in epoch_of(by_epochs, epoch).values()]


@pytest.mark.parametrize('num_workers', [0, 1])
def test_a_copied_data_set_is_told_as_the_first_was(folder, num_workers):
    first = loader(images(folder))
    expected = epoch_of(first, 1)
    copied = loader(copy.deepcopy(first.dataset), num_workers=num_workers, persistent=num_workers > 0)
    other_epoch = epoch_of(copied, 0)
    assert epoch_of(copied, 1) == expected != other_epoch
    assert drawn(first.dataset[0]) == expected[0]  # and the first one is not told what the copy is


@pytest.mark.slow  # a spawned worker imports everything anew
@backends
def test_spawned_workers_are_told_too(folder, backend):
    dataset = joined(images(folder, backend), images(folder, backend))
    spawned = loader(dataset, num_workers=1, persistent=True, multiprocessing_context='spawn')
    for epoch in (0, 1):
        assert epoch_of(spawned, epoch) == epoch_of(loader(dataset), epoch)


def random_states():
    return random.getstate(), repr(np.random.get_state(legacy=False)), torch.get_rng_state().numpy().tobytes()


@backends
def test_draws_leave_the_random_states_of_the_process_alone(folder, backend):
    samples = loader(images(folder, backend))
    epoch_of(samples, 0)
    before = random_states()
    for index in range(NUMBER):
        samples.dataset[index]
    assert random_states() == before


@backends
@pytest.mark.parametrize('num_workers', [0, 2])
def test_without_it_draws_come_from_the_states_that_mmengine_seeds(folder, backend, num_workers):
    def two_epochs():
        np.random.seed(5)
        random.seed(5)
        options = dict(num_workers=num_workers, persistent=num_workers > 0, sampler='DefaultSampler')
        samples = loader(images(folder, backend), **options)
        return [epoch_of(samples, epoch) for epoch in (0, 1)]

    first, second = two_epochs()
    assert not set(first.values()) & set(second.values())
    assert [first, second] == two_epochs()


@backends
def test_a_wrapper_that_repeats_samples_gives_each_repetition_draws_of_its_own(folder, backend):
    repeated = loader(dict(type='RepeatDataset', dataset=images(folder, backend), times=3))
    boxes = [sample[0] for sample in epoch_of(repeated, 0).values()]
    assert len(set(boxes)) == 3 * NUMBER


def test_a_sample_without_an_index_is_not_given_that_of_another(folder):
    dataset = DATASETS.build(images(folder))
    transform = loader(dataset).dataset.pipeline.transforms[0]
    transform.sample_seeds.tell(1, 0, 0)
    path = dataset.get_data_info(0)['img_path']
    boxes = [repr(transform(dict(img_path=path))['view_boxes']) for _ in range(4)]
    assert len(set(boxes)) == 4


@pytest.mark.parametrize('shuffle', [False, True])
def test_the_order_is_that_of_mmengines_sampler(folder, shuffle):
    dataset = DATASETS.build(images(folder))
    kinds = [
        mmengine_sampler.DATA_SAMPLERS.build(dict(type=kind, dataset=dataset, shuffle=shuffle, seed=3))
        for kind in ('mmdclpp.EpochSampler', 'DefaultSampler')
    ]
    for kind, epoch in itertools.product(kinds, (0, 7)):
        kind.set_epoch(epoch)
        assert len(kind) == NUMBER
    assert list(kinds[0]) == list(kinds[1])
