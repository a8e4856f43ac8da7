"""The sweep is decided by a held-out part of the training images alone, and the runner's probe agrees with the fit."""

import re
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from mmdclpp.apis import train as train_by_runner
from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.errors import UserError
from mmdclpp.evaluation import extract_image_features, linear_fit, multi_label_targets
from mmdclpp.evaluation.linear_fit import DECAYS_PER_CLASS, RATES_PER_CLASS, fit_linear
from mmdclpp.evaluation.multi_label import multi_label_figures

# All images make one batch, so that their order says nothing.
FULL_BATCH = dict(epochs=30, batch_size=1000)


def case(seed=0, images=120, channels=6, classes=3, ignored=0.1):
    """Training images, targets, and test images and targets from the same overlapping classes."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(channels, classes, generator=generator, dtype=torch.float64)
    features = torch.randn(2 * images, channels, generator=generator, dtype=torch.float64)
    noise = 3 * torch.randn(2 * images, classes, generator=generator, dtype=torch.float64)
    targets = (features @ truth + noise > 2).float()
    targets[torch.rand(targets.shape, generator=generator) < ignored] = -1
    return features[:images], targets[:images], features[images:], targets[images:]


def mean_average_precision(scores, targets):
    """scikit-learn's, of the labelled entries, in percent."""
    pairs = [(target[target >= 0], score[target >= 0]) for score, target in zip(scores.T.numpy(), targets.T.numpy())]
    return 100 * np.mean([average_precision_score(*pair) for pair in pairs if pair[0].any()])


@contextmanager
def warnings_of_the_sweep():
    with patch.object(linear_fit, 'print_log') as print_log:
        texts = []
        yield texts
        texts.extend(call.args[0] for call in print_log.call_args_list)


def test_the_best_point_on_the_held_out_part_trains_on_all_images():
    """Where the test images would have chosen otherwise. Every part of it is done again by hand."""
    train, targets, test, test_targets = case(seed=1)
    grid = dict(learning_rates=[3.0, 0.1, 0.5], weight_decays=[0.5, 0.0])
    fit = fit_linear(train, targets, test, **grid, held_out=0.25, seed=5, **FULL_BATCH)

    points = [(rate, decay) for rate in (0.1, 0.5, 3.0) for decay in (0.0, 0.5)]
    assert [(entry['learning_rate'], entry['weight_decay']) for entry in fit.sweep] == points
    order = torch.randperm(120, generator=torch.Generator().manual_seed(5))
    held, rest = order[:30], order[30:]
    by_test = []
    for point, entry in zip(points, fit.sweep):
        alone = dict(learning_rates=point[:1], weight_decays=point[1:], **FULL_BATCH)
        scores = fit_linear(train[rest], targets[rest], train[held], **alone).scores
        assert entry['mAP'] == pytest.approx(mean_average_precision(scores, targets[held]), abs=1e-6)
        scores = fit_linear(train, targets, test, **alone).scores
        by_test.append(mean_average_precision(scores, test_targets))
        if point == (fit.learning_rate, fit.weight_decay):
            torch.testing.assert_close(fit.scores, scores, rtol=0, atol=1e-6)
    figures = [entry['mAP'] for entry in fit.sweep]
    assert points[np.argmax(figures)] == (fit.learning_rate, fit.weight_decay) != points[np.argmax(by_test)]


def test_the_test_images_change_neither_choice_nor_classifier():
    train, targets, test, _ = case()
    fit = fit_linear(train, targets, test, epochs=3)
    other = fit_linear(train, targets, torch.cat([test[:10], 1000 * test]), epochs=3)
    assert fit[1:] == other[1:]
    torch.testing.assert_close(other.scores[:10], fit.scores[:10], rtol=0, atol=1e-12)


def test_labels_that_are_noise_are_not_learnt_for_the_held_out_part():
    """They would be, if it overlapped with what trains: there are enough channels to learn all by heart."""
    generator = torch.Generator().manual_seed(0)
    train, targets = torch.randn(100, 200, generator=generator), torch.randint(0, 2, (100, 5), generator=generator)
    fit = fit_linear(train, targets, train, learning_rates=[1.0, 5.0], held_out=0.3, epochs=30)
    assert multi_label_figures(fit.scores.numpy(), targets.numpy())['mAP'] > 99
    assert all(entry['mAP'] < 80 for entry in fit.sweep)


def test_one_point_needs_no_held_out_part():
    train, targets, test, _ = case()
    point = dict(learning_rates=[1.0], weight_decays=[0.0], epochs=5)
    fit = fit_linear(train, targets, test, **point)
    assert (fit.learning_rate, fit.weight_decay, fit.sweep) == (1.0, 0.0, [])
    assert torch.equal(fit_linear(train, targets, test, **point, held_out=0.9).scores, fit.scores)
    alone = fit_linear(train[:1], targets[:1].abs(), test, **point)  # not even a second image
    assert alone.scores.shape == (120, 3)


def test_the_sweep_is_for_a_mean_over_classes_unless_told():
    train, targets, test, _ = case()
    fit = fit_linear(train, targets, test, epochs=2)
    expected = [(3 * rate, decay / 3) for rate in RATES_PER_CLASS for decay in DECAYS_PER_CLASS]
    tried = [(entry['learning_rate'], entry['weight_decay']) for entry in fit.sweep]
    np.testing.assert_allclose(tried, expected)


def test_the_fit_is_the_same_at_every_call_leaves_the_random_state_alone_and_follows_the_seed():
    train, targets, test, _ = case()
    state = torch.get_rng_state()
    first, second, other = (fit_linear(train, targets, test, epochs=3, batch_size=16, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.scores, second.scores) and first[1:] == second[1:]
    assert not torch.equal(first.scores, other.scores)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_point_that_diverges_loses_and_is_reported_as_undefined():
    train, targets, test, _ = case()
    fit = fit_linear(train, targets, test, [1e4, 1.0], [1.0], epochs=100, batch_size=1000)
    assert (fit.learning_rate, fit.weight_decay) == (1.0, 1.0)
    assert [entry['mAP'] is None for entry in fit.sweep] == [False, True]
    assert fit.scores.isfinite().all()


@pytest.mark.parametrize('rates', [[1e4, 2e4], [1e4]])
def test_if_every_point_diverges_that_is_said(rates):
    train, targets, test, _ = case()
    with pytest.raises(UserError, match='diverged.*10000'):
        fit_linear(train, targets, test, rates, [1.0], epochs=100, batch_size=1000)


@pytest.mark.parametrize(
    ('figures', 'chosen', 'warning'),
    [
        ([50, 60, 70], 3.0, 'highest of the sweep, 3.*higher'),
        ([70, 60, 50], 1.0, 'lowest of the sweep, 1.*lower'),
        ([60, 70, 50], 2.0, None),
        ([None, 0.0, None], 2.0, None),
        ([60, 70, 70], 2.0, None),
    ],
)
def test_the_best_at_an_edge_of_the_sweep_warns_that_better_may_lie_beyond(figures, chosen, warning):
    train, targets, test, _ = case()
    with warnings_of_the_sweep() as texts, patch.object(linear_fit, '_held_out_figures', lambda *_: figures):
        assert fit_linear(train, targets, test, [3.0, 2.0, 1.0], [0.0], epochs=1).learning_rate == chosen
    assert len(texts) == (warning is not None)
    assert all(re.search(warning, text) for text in texts)


def test_one_learning_rate_has_no_edge():
    train, targets, test, _ = case()
    with warnings_of_the_sweep() as texts:
        fit_linear(train, targets, test, [1.0], [0.0, 0.1], epochs=1)
    assert not texts


@pytest.mark.parametrize('filler', [0, -1])
def test_without_a_positive_among_the_held_out_the_middle_of_the_sweep_is_taken(filler):
    train, _, test, _ = case()
    with warnings_of_the_sweep() as texts:
        fit = fit_linear(train, torch.full((120, 3), filler), test, [1.0, 2.0, 3.0], [0.0], epochs=1, held_out=0.1)
    assert (fit.learning_rate, fit.sweep) == (2.0, [])
    assert 'no class has a positive image among the 12' in texts[0]


@pytest.mark.parametrize(('held_out', 'images', 'expected'), [(0.25, 9, 2), (1e-3, 9, 1), (0.999, 9, 8), (0.1, 2, 1)])
def test_neither_the_held_out_part_nor_the_rest_is_ever_empty(held_out, images, expected):
    train, _, test, _ = case()
    held = []
    with patch.object(linear_fit, '_held_out_figures', lambda _, rows, __: held.append(len(rows)) or [1.0, 2.0]):
        fit_linear(train[:images], torch.ones(images, 2), test, [1.0, 2.0], [0.0], held_out=held_out, epochs=1)
    assert held == [expected]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(learning_rates=[]), 'learning_rates'),
        (dict(learning_rates=[0.0]), 'learning_rates must be positive'),
        (dict(learning_rates=[float('nan')]), 'learning_rates must be positive'),
        (dict(weight_decays=[]), 'weight_decays'),
        (dict(weight_decays=[-1.0]), 'weight_decays not negative'),
        (dict(epochs=0), 'epochs=0'),
        (dict(batch_size=0), 'batch_size=0'),
        (dict(held_out=0.0), 'held_out=0'),
        (dict(held_out=1.0), 'held_out=1'),
        (dict(train_targets=torch.zeros(119, 3)), r'train features \(120, 6\), train targets \(119, 3\)'),
        (dict(test_features=torch.zeros(5, 7)), r'test features \(5, 7\)'),
        (dict(train_features=torch.full((120, 6), torch.nan)), '120 of 120 train images have features that are NaN'),
        (dict(test_features=torch.tensor([[torch.inf] * 6, [0] * 6])), '1 of 2 test images have features that are NaN'),
        (dict(train_features=torch.zeros(1, 6), train_targets=torch.zeros(1, 3)), '1 training images are too few'),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    names = ('train_features', 'train_targets', 'test_features')
    with pytest.raises(UserError, match=message):
        fit_linear(**{**dict(zip(names, case())), **change})


def test_the_runners_probe_gives_the_same_figures_on_the_same_features(repo, tmp_path):
    """The same learning rate, batch and epochs on the real runner, whose batch norm sees each batch's statistics."""
    generate_scenes(tmp_path / 'scenes', num_train=200, num_val=200, size=64, workers=0, progress=False)
    rate, epochs, batch_size = 0.3, 60, 100
    optimizer = dict(_delete_=True, type='SGD', lr=rate, momentum=0.9, nesterov=True, weight_decay=0.0)
    loader = dict(batch_size=batch_size, num_workers=0)
    options = {
        'optim_wrapper.optimizer': optimizer,
        'param_scheduler.0.T_max': epochs,
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': epochs,
        'default_hooks.checkpoint.interval': epochs + 1,
        **{f'{split}_dataloader.{key}': value for split in ('train', 'val') for key, value in loader.items()},
        **{f'{split}_dataloader.dataset.data_root': str(tmp_path / 'scenes') for split in ('train', 'val')},
    }
    config = repo / 'configs/benchmarks/linear/vit-demo_scenes.py'
    runner = train_by_runner(config, work_dir=str(tmp_path / 'run'), persistent_workers=False, cfg_options=options)

    features, targets = [], []
    for dataset in (runner.train_dataloader.dataset, runner.val_dataloader.dataset):
        model = runner.model
        extracted = extract_image_features(model.backbone, model.data_preprocessor, dataset, num_workers=0, label='')
        features.append(extracted.aggregate(model.aggregate))
        targets.append(multi_label_targets(dataset))
    fit = fit_linear(features[0], targets[0], features[1], [rate], [0.0], epochs, batch_size)
    figures = multi_label_figures(fit.scores.numpy(), targets[1].numpy())
    assert figures['mAP'] == pytest.approx(runner.message_hub.get_scalar('val/multi-label/mAP').current(), abs=0.5)

    # Closer than by mAP, which half or twice the learning rate changes little: they change scores by 0.04 on average.
    head = runner.model.head.eval()
    with torch.no_grad():
        scores = head((features[1],)).sigmoid()
    assert (scores - fit.scores).abs().mean() < 0.01
    assert scores.std(dim=0).mean() > 0.1  # not because all are alike
