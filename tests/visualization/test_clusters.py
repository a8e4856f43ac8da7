import numpy as np
import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.visualization import cluster_positions, feature_clusters
from mmdclpp.visualization.clusters import MOST_CLUSTERS, _palette, _renamed


def blobs(sizes=(30, 50, 20)):
    """Features about as many orthogonal directions, and which."""
    truth = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    noise = torch.randn(len(truth), 8, generator=torch.Generator().manual_seed(0))
    lengths = torch.linspace(0.1, 10, len(truth))[:, None]
    return lengths * (torch.eye(8)[truth] + 0.05 * noise), truth


def test_clusters_are_the_directions_numbered_by_size_whatever_the_lengths():
    features, truth = blobs()
    assert (cluster_positions(features, 3) == torch.tensor([1, 0, 2])[truth]).all()


def test_clusters_do_not_depend_on_anything_but_the_seed():
    features = torch.randn(2, 200, 8, generator=torch.Generator().manual_seed(0))
    first, again, other = (cluster_positions(features, 6, seed) for seed in (0, 0, 1))
    assert first.shape == (2, 200) and (first == again).all() and not (first == other).all()


def test_clusters_of_another_model_take_the_numbers_of_those_they_overlap():
    labels = np.random.default_rng(0).integers(0, 4, (2, 6, 6))
    renumbered = np.array([2, 0, 3, 1])[labels]
    finer = renumbered.repeat(2, axis=1).repeat(2, axis=2)
    assert (_renamed(renumbered, labels, 4) == labels).all()
    assert (_renamed(finer, labels, 4)[:, ::2, ::2] == labels).all()


def test_each_number_is_given_to_one_cluster():
    """Also where two clusters overlap the same one of the reference most."""
    labels, reference = (np.array([[row]]) for row in ([1] * 5 + [0] * 3 + [2] * 4, [0] * 8 + [1] * 4))
    assert _renamed(labels, reference, 3).tolist() == [[[0] * 5 + [2] * 3 + [1] * 4]]


def test_clusters_are_told_apart_by_angles():
    """At 0, 21 and 45 degrees; with their sums scaled to 1, the second one were closer to the third."""
    angles = torch.deg2rad(torch.tensor([0.0, 21.0, 45.0]))
    assert cluster_positions(torch.stack([angles.cos(), angles.sin()], dim=1), 2).tolist() == [0, 0, 1]


def test_all_colours_of_clusters_differ():
    distances = np.linalg.norm(_palette()[:, None] - _palette(), axis=2)
    assert len(distances) == MOST_CLUSTERS
    assert distances[~np.eye(MOST_CLUSTERS, dtype=bool)].min() > 0.1


def test_models_with_different_grids_stand_side_by_side(tmp_path, images, positions, read_picture):
    models = {'coarse': positions[:, :6], 'fine': positions}
    path = feature_clusters(images, models, {'coarse': (2, 3), 'fine': (3, 4)}, tmp_path / 'k.png', 3)
    assert 0.5 < read_picture(path).shape[0] / read_picture(path).shape[1] < 1.2


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(num_clusters=19), 'num_clusters=19 are more than can be told apart: give 2 to 18'),
        (dict(num_clusters=1), 'num_clusters=1: give 2 to 24'),
        (dict(grid={'other': (3, 4)}), "grid: none is given for 'clusters', only for other"),
        (dict(grid=(3, 3)), 'has 9 cells'),
    ],
)
def test_inputs_that_do_not_belong_together_are_explained(tmp_path, images, positions, change, message):
    arguments = dict(images=images, positions=positions, grid=(3, 4), out_png=tmp_path / 'k.png', **{}) | change
    with pytest.raises(UserError, match=message):
        feature_clusters(**arguments)
    assert not list(tmp_path.iterdir())
