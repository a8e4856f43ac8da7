"""The sweep is decided by a held-out part of the training images alone, and the runner's probe agrees with the fit."""

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
    train, targets, test, test_targets = case(seed=SEED)
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
    assert tried == pytest.approx(expected)


def test_the_fit_is_the_same_at_every_call_leaves_the_random_state_alone_and_follows_the_seed():
    train, targets, test, _ = case()
    state = torch.get_rng_state()
    first, second, other = (fit_linear(train, targets, test, epochs=3, batch_size=16, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.scores, second.scores) and first[1:] == second[1:]
    assert not torch.equal(first.scores, other.scores)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_point_that_diverges_loses_and_is_reported_as_undefined():
    train, targets, test, _ = case()
    fit = fit_linear(train, targets, test, [1e4, 1.0], [1.0], **FULL_BATCH)
    assert (fit.learning_rate, fit.weight_decay) == (1.0, 1.0)
    assert [entry['mAP'] is None for entry in fit.sweep] == [False, True]
    assert fit.scores.isfinite().all()


@pytest.mark.parametrize('rates', [[1e4, 2e4], [1e4]])
def test_if_every_point_diverges_that_is_said(rates):
    train, targets, test, _ = case()
    with pytest.raises(UserError, match='diverged.*10000'):
        fit_linear(train, targets, test, rates, [1.0], **FULL_BATCH)


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
    if warning:
        assert np.char.count(texts, 'linear fit').all()
        pytest.approx(texts)
        import re

        assert re.search(warning, texts[0])


def test_one_learning_rate_has_no_edge():
    train, targets, test, _ = case()
    with warnings_of_the_sweep() as texts:
        fit_linear(train, targets, test, [1.0], [0.0, 0.1], epochs=1)
    assert not texts
