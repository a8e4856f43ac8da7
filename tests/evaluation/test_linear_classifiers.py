"""Stacked classifiers follow SGD step by step, each as if it were alone, to the optimum of their objective."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mmdclpp.evaluation.linear_classifiers import train_linear_classifiers

POINTS = [(0.5, 0.0), (8.0, 1e-2), (2.0, 1e-3)]


def case(images=60, channels=5, ignored=0.2, dtype=torch.float64):
    """Four overlapping classes on correlated features, the last without a positive image."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(channels, channels, generator=generator)
    features = torch.randn(images, channels, generator=generator) @ mixing * 3 + 7
    logits = torch.randn(images, channels, generator=generator) * 0.1 + (features - 7)
    targets = (logits[:, :4] + 2 * torch.randn(images, 4, generator=generator) > 1).float()
    targets[:, 3] = 0
    targets[torch.rand(targets.shape, generator=generator) < ignored] = -1
    return features.to(dtype), targets


def train(features, targets, points, epochs=4, batch_size=16, seed=0):
    return train_linear_classifiers(
        features, targets, points, epochs, batch_size, generator=torch.Generator().manual_seed(seed)
    )


def literal(features, targets, rate, decay, epochs, batch_size):
    """One classifier, entry by entry, in float64."""
    x, y = features.double().numpy(), targets.numpy()
    variance = x.var(axis=0)
    x = (x - x.mean(axis=0)) / np.sqrt(variance + 1e-6 * variance.mean())
    weight, bias = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
    weight_momentum, bias_momentum = np.zeros_like(weight), np.zeros_like(bias)
    generator = torch.Generator().manual_seed(0)
    batches = [batch for _ in range(epochs) for batch in torch.randperm(len(x), generator=generator).split(batch_size)]
    for step, batch in enumerate(batches):
        weight_gradient, bias_gradient = np.zeros_like(weight), np.zeros_like(bias)
        labelled = [(i, c) for i in batch.tolist() for c in range(y.shape[1]) if y[i, c] >= 0]
        for i, c in labelled:
            error = 1 / (1 + math.exp(-(x[i] @ weight[:, c] + bias[c]))) - y[i, c]
            weight_gradient[:, c] += error * x[i] / len(labelled)
            bias_gradient[c] += error / len(labelled)
        weight_gradient += decay * weight
        weight_momentum = 0.9 * weight_momentum + weight_gradient
        bias_momentum = 0.9 * bias_momentum + bias_gradient
        now = rate * (1 + math.cos(math.pi * step / len(batches))) / 2
        weight = weight - now * (weight_gradient + 0.9 * weight_momentum)
        bias = bias - now * (bias_gradient + 0.9 * bias_momentum)
    return 1 / (1 + np.exp(-(x @ weight + bias)))


@pytest.mark.parametrize('batch_size', [16, 1000], ids=['a smaller last batch', 'all images a batch'])
def test_every_classifier_follows_sgd_step_by_step(batch_size):
    features, targets = case()
    scores = train(features, targets, POINTS, batch_size=batch_size).scores(features)
    assert scores.dtype == torch.float64
    for result, (rate, decay) in zip(scores, POINTS):
        expected = literal(features, targets, rate, decay, 4, batch_size)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_the_fit_ends_at_the_optimum_of_the_convex_objective():
    """scikit-learn's: mean cross-entropy of labelled entries plus half the decay times the squared weights."""
    features, targets = case()
    decay, num_labelled = 2e-2, int((targets >= 0).sum())
    scores = train(features, targets, [(4.0, decay)], epochs=400, batch_size=60).scores(features)[0]
    standardised = ((features - features.mean(0)) / features.std(0, correction=0)).numpy()
    for c in range(3):  # scikit-learn refuses the class without a positive image
        rows = (targets[:, c] >= 0).numpy()
        reference = LogisticRegression(C=1 / (decay * num_labelled), tol=1e-10, max_iter=1000)
        reference.fit(standardised[rows], targets[rows, c].numpy())
        np.testing.assert_allclose(scores[:, c], reference.predict_proba(standardised)[:, 1], rtol=0, atol=1e-4)


def test_training_together_equals_training_alone_also_beside_one_that_diverges():
    features, targets = case(dtype=torch.float32)
    diverging = (1e3, 1.0)
    together = train(features, targets, [POINTS[0], diverging, *POINTS[1:]], epochs=10)
    assert together.finite.tolist() == [True, False, True, True]
    scores = together.scores(features)[[0, 2, 3]]
    alone = torch.cat([train(features, targets, [point], epochs=10).scores(features) for point in POINTS])
    torch.testing.assert_close(scores, alone, rtol=0, atol=1e-5)
    assert not torch.allclose(scores[0], scores[1], atol=1e-2)


@pytest.mark.parametrize('part', ['weight', 'bias'])
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_one_entry_that_is_not_finite_is_enough_to_have_diverged(part, value):
    features, targets = case()
    classifiers = train(features, targets, POINTS)
    getattr(classifiers, part)[1, 0, 2] = value
    assert classifiers.finite.tolist() == [True, False, True]


def test_images_that_are_ignored_altogether_have_no_influence():
    """A second copy of every image, without labels, leaves mean and variance of the features as they are."""
    features, targets = case()
    expected = train(features, targets, POINTS, batch_size=1000).scores(features)
    unlabelled = torch.full_like(targets, -1)
    result = train(features.repeat(2, 1), torch.cat([targets, unlabelled]), POINTS, batch_size=1000).scores(features)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
    nothing = train(features, unlabelled, POINTS)
    assert not nothing.weight.any() and not nothing.bias.any()


@pytest.mark.parametrize('scale', [1e-6, 1e6])
def test_scale_and_location_of_the_features_change_nothing(scale):
    features, targets = case()
    expected = train(features, targets, POINTS).scores(features)
    moved = scale * features + scale * torch.linspace(-50, 50, 5)
    torch.testing.assert_close(train(moved, targets, POINTS).scores(moved), expected, rtol=0, atol=1e-6)
    as_stored = (scale * features).float()
    torch.testing.assert_close(train(as_stored, targets, POINTS).scores(as_stored), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize('rounding', [0, 1e-6])
@pytest.mark.parametrize('constant', [0.0, 7.3])
def test_a_channel_that_is_constant_in_training_but_for_rounding_says_nothing_then_or_later(constant, rounding):
    features, targets = case(dtype=torch.float32)
    expected = train(features, targets, POINTS).scores(features)
    channel = constant + rounding * torch.randn(60, 1, generator=torch.Generator().manual_seed(1))
    classifiers = train(torch.cat([features, channel], dim=1), targets, POINTS)
    later = torch.cat([features, channel + 1e-2], dim=1)
    torch.testing.assert_close(classifiers.scores(later), expected, rtol=0, atol=1e-2)


def test_features_that_are_all_constant_give_how_frequent_classes_are():
    _, targets = case(ignored=0)
    features = torch.full((60, 5), 0.1)
    scores = train(features, targets, [(4.0, 0.0)], epochs=200, batch_size=60).scores(features)[0]
    torch.testing.assert_close(scores[:, :3], targets[:, :3].double().mean(0).expand(60, 3), rtol=0, atol=1e-2)


def test_certain_scores_stay_apart():
    """Where float32 would give 1 for all; average precision counts ties."""
    features = torch.linspace(-1, 1, 50)[:, None]
    targets = (features > 0).float()
    scores = train(features, targets, [(8.0, 0.0)], epochs=10, batch_size=50).scores(features)[0, :, 0]
    assert (torch.logit(scores).float().sigmoid() == 1).sum() > 5
    assert len(scores.unique()) == 50


def test_half_precision_features_train_in_single_precision():
    features, targets = case(dtype=torch.float32)
    halves = features.bfloat16()
    classifiers = train(halves, targets, POINTS)
    assert classifiers.weight.dtype == torch.float32
    expected = train(halves.float(), targets, POINTS).scores(halves.float())
    torch.testing.assert_close(classifiers.scores(halves), expected, rtol=0, atol=1e-6)
