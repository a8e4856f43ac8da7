"""The weighted vote against a slow float64 reference, also where weights overflow, vanish or do not exist."""

import numpy as np
import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.evaluation.knn import knn_scores
from tests.evaluation.cases import random_case


def case(images=40, queries=25, channels=6, ignored=0.2):
    """Features of any length, of which one of each side is a zero vector, and targets of nine classes."""
    generator = torch.Generator().manual_seed(0)
    train, asked = (torch.randn(n, channels, generator=generator) * 100 for n in (images, queries))
    train[3] = asked[5] = 0
    return train, torch.from_numpy(random_case(0, images, ignored=ignored)[1]), asked


def reference(train, targets, asked, k, temperature):
    """Query by query and class by class."""

    def unit(vector):
        return vector / max(np.linalg.norm(vector), 1e-12)

    scores = np.zeros((len(asked), targets.shape[1]))
    for row, query in enumerate(asked.double().numpy()):
        similarity = np.array([unit(query) @ unit(key) for key in train.double().numpy()])
        nearest = np.argsort(-similarity, kind='stable')[:k]
        for c in range(targets.shape[1]):
            voters = [image for image in nearest if targets[image, c] >= 0]
            if voters:
                weight = np.exp((similarity[voters] - similarity[voters].max()) / temperature)
                scores[row, c] = weight @ (targets[voters, c] == 1).numpy() / weight.sum()
    return scores


@pytest.mark.parametrize('temperature', [0.07, 1e-3, 10.0])
@pytest.mark.parametrize('k', [1, 5, 40, 1000])
def test_scores_are_the_votes_of_the_nearest(k, temperature):
    train, targets, asked = case()
    asked = torch.cat([asked[:5], asked[6:]])  # a zero vector is as near to one image as to another
    scores = knn_scores(train, targets, asked, k, temperature)
    # A similarity is exact to 1e-7, and a low temperature magnifies that.
    tolerance = 1e-5 + 1e-6 / temperature
    np.testing.assert_allclose(scores, reference(train, targets, asked, k, temperature), rtol=0, atol=tolerance)


def test_a_query_that_is_zero_hears_all_neighbours_alike():
    train, targets, asked = case()
    scores = knn_scores(train, targets, asked[5:6], k=1000)
    expected = (targets == 1).sum(0) / (targets >= 0).sum(0)
    torch.testing.assert_close(scores[0], expected)


def test_an_ignored_entry_has_no_vote_and_the_other_neighbours_decide():
    """However near the neighbour that ignores the class, and however low the temperature."""
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    targets = torch.tensor([[-1, -1, 0], [1, -1, 1], [0, -1, 1]])
    scores = knn_scores(train, targets, torch.tensor([[1.0, 0.0]]), k=3, temperature=1e-3)
    assert scores.tolist() == [[1, 0, 0]]


def test_unanimous_neighbours_give_exactly_one_and_zero():
    """Else rounding would rank images that are tied."""
    train, _, asked = case()
    targets = torch.tensor([[1, 0]]).expand(40, 2)
    assert knn_scores(train, targets, asked, k=7).unique(dim=0).tolist() == [[1, 0]]


@pytest.mark.parametrize('memory_budget', [1e-6, 1e-3, 1.0])
def test_the_memory_budget_changes_nothing(memory_budget):
    train, targets, asked = case()
    scores = knn_scores(train, targets, asked, k=5, memory_budget=memory_budget)
    torch.testing.assert_close(scores, knn_scores(train, targets, asked, k=5), rtol=0, atol=1e-5)


def test_the_lengths_of_features_and_their_precision_change_nothing():
    train, targets, asked = case()
    expected = knn_scores(train, targets, asked, k=5)
    assert expected.dtype == torch.float32
    stretched = knn_scores(train * torch.linspace(1, 50, 40)[:, None], targets.float(), asked.double() / 1000, k=5)
    torch.testing.assert_close(stretched, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(k=0), 'k=0'),
        (dict(temperature=0.0), 'temperature=0'),
        (dict(temperature=float('nan')), 'temperature=nan'),
        (dict(train_features=torch.zeros(0, 6), train_targets=torch.zeros(0, 9)), 'train_features is empty'),
        (dict(train_targets=torch.zeros(39, 9)), r'train features \(40, 6\), train targets \(39, 9\)'),
        (dict(features=torch.full((2, 6), torch.nan)), '2 of 2 test images have features that are NaN'),
    ],
)
def test_what_cannot_vote_is_refused(change, message):
    train, targets, asked = case()
    with pytest.raises(UserError, match=message):
        knn_scores(**{**dict(train_features=train, train_targets=targets, features=asked), **change})


def test_without_a_query_there_are_no_scores():
    train, targets, _ = case()
    assert knn_scores(train, targets, torch.zeros(0, 6)).shape == (0, 9)
