"""The dense probe against slow references: labels of tokens, the optimum of the fit, and the figures."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, jaccard_score

from mmdclpp.errors import UserError
from mmdclpp.evaluation.dense_probe import IGNORED, fit_dense_probe, token_figures, token_labels


def reference_labels(mask, grid, num_classes):
    """Pixel by pixel."""
    votes = np.zeros((*grid, num_classes), int)
    for y, row in enumerate(mask):
        for x, label in enumerate(row):
            if label != IGNORED:
                votes[y * grid[0] // len(mask), x * grid[1] // len(row), label] += 1
    return [
        next((c for c in range(num_classes) if v[c] == v.max() > 0), IGNORED) for v in votes.reshape(-1, num_classes)
    ]


@pytest.mark.parametrize('dtype', [torch.int64, torch.uint8])
@pytest.mark.parametrize(
    ('size', 'grid'), [((8, 12), (2, 3)), ((9, 13), (2, 4)), ((4, 4), (4, 4)), ((6, 4), (1, 1)), ((2, 2), (3, 3))]
)
def test_a_token_has_the_label_of_most_of_its_pixels(size, grid, dtype):
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 3, (5, *size), generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < 0.5] = IGNORED  # few votes: ties and empty tokens abound
    labels = token_labels(masks.to(dtype), grid, 3)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [reference_labels(mask.tolist(), grid, 3) for mask in masks]


def test_of_equally_frequent_labels_the_lowest_counts_and_ignored_pixels_have_no_vote():
    mask = torch.tensor([[2, 1, 255, 255], [1, 2, 255, 2]])
    assert token_labels(mask[None], (1, 2), 3).tolist() == [[1, 2]]
    assert token_labels(torch.full((1, 2, 4), IGNORED), (1, 2), 3).tolist() == [[IGNORED, IGNORED]]


@pytest.mark.parametrize('label', [3, -1, 254])
def test_a_label_beyond_the_classes_is_refused(label):
    with pytest.raises(UserError, match=f'{label}.*3 classes'):
        token_labels(torch.tensor([[[0, label]]]), (1, 1), 3)


def tokens(num_tokens=400, channels=6, num_classes=4, seed=0):
    """Overlapping classes, in channels of very different location and scale."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes, (num_tokens,), generator=generator)
    centres = torch.randn(num_classes, channels, generator=generator)
    features = centres[labels] + torch.randn(num_tokens, channels, generator=generator)
    return features * 10.0 ** torch.arange(-3, channels - 3) + 5, labels


@pytest.mark.parametrize('weight_decay', [1e-1, 1e-3])
def test_the_fit_is_the_optimum_on_standardised_features(weight_decay):
    features, labels = (tensor.double() if tensor.is_floating_point() else tensor for tensor in tokens())
    probe = fit_dense_probe(features, labels, 4, weight_decay)

    std, mean = torch.std_mean(features, dim=0, correction=0)
    standardised = ((features - mean) / std).numpy()
    reference = LogisticRegression(C=1 / (weight_decay * len(labels)), tol=1e-8, max_iter=10_000)
    reference.fit(standardised, labels.numpy())
    ours = torch.softmax(features @ probe.weight.T + probe.bias, dim=1)
    np.testing.assert_allclose(ours, reference.predict_proba(standardised), atol=1e-3)
    assert probe.predict(features).tolist() == ours.argmax(1).tolist()


def test_the_fit_is_the_same_at_every_call_and_leaves_features_and_random_state_alone():
    features, labels = tokens()
    features.requires_grad_()
    state = torch.get_rng_state()
    with torch.no_grad():  # as a caller may well have set it
        first, second = fit_dense_probe(features, labels, 4), fit_dense_probe(features, labels, 4)
    assert all(torch.equal(one, other) and not one.requires_grad for one, other in zip(first, second))
    assert features.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_constant_channels_and_absent_classes_do_no_harm():
    features, labels = tokens()
    features = torch.cat([features, torch.full((len(features), 1), 7.3)], dim=1)
    probe = fit_dense_probe(features, labels, num_classes=6)
    predictions = probe.predict(features)
    assert all(tensor.isfinite().all() for tensor in probe)
    assert token_figures(predictions, labels, 6)['accuracy'] > 60
    assert predictions.max() <= 3  # never a class that was not seen

    alone = fit_dense_probe(features, torch.full_like(labels, 2), num_classes=3)
    assert set(alone.predict(features).tolist()) == {2}


def test_without_a_labelled_token_there_is_nothing_to_fit():
    with pytest.raises(UserError, match='no labelled token'):
        fit_dense_probe(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 2)


@pytest.mark.parametrize('num_classes', [1, 2, 5, 30])  # of 30, most do not occur
def test_figures_equal_scikit_learns(num_classes):
    generator = torch.Generator().manual_seed(num_classes)
    predictions = torch.randint(0, num_classes, (40,), generator=generator)
    labels = torch.randint(0, num_classes, (40,), generator=generator)
    labels[::7] = IGNORED
    figures = token_figures(predictions, labels, num_classes)
    right, ours = labels[labels != IGNORED], predictions[labels != IGNORED]
    assert figures['accuracy'] == pytest.approx(100 * accuracy_score(right, ours), abs=1e-9)
    assert figures['mIoU'] == pytest.approx(100 * jaccard_score(right, ours, average='macro'), abs=1e-9)


def test_figures_without_a_labelled_token_are_nan():
    labels = torch.full((3,), IGNORED)
    assert all(math.isnan(value) for value in token_figures(torch.tensor([0, 1, 1]), labels, 2).values())
