import numpy as np
import pytest
import torch

from mmdclpp.errors import UserError
from mmdclpp.visualization import Matches, correspondences
from mmdclpp.visualization.matches import _most_confident


def test_mutual_matches_are_shown_before_more_similar_one_way_ones():
    match = Matches(torch.arange(16), torch.linspace(1, 0, 16), torch.arange(16) >= 12)
    assert set(_most_confident(match, (4, 4), 4)) == {12, 13, 14, 15}
    assert _most_confident(match, (4, 4), 5)[-1] < 12


def test_shown_matches_spread_over_the_view_and_none_is_shown_twice():
    similarity = torch.linspace(1, 0.9, 64)  # the most similar ones all lie in the uppermost rows
    match = Matches(torch.arange(64), similarity, torch.ones(64, dtype=torch.bool))
    chosen = _most_confident(match, (8, 8), 9)
    assert chosen[0] == 0
    assert {cell // 8 // 3 for cell in chosen} == {cell % 8 // 3 for cell in chosen} == {0, 1, 2}
    assert sorted(_most_confident(match, (8, 8), 100)) == list(range(64))


def test_a_picture_has_a_row_a_pair(tmp_path, images, positions, read_picture):
    views = [images[1]] * 2
    collapsed = torch.stack([positions[0], torch.ones(12, 8)])
    two = read_picture(correspondences(views, views, positions, collapsed, (3, 4), tmp_path / 'two' / 'pairs.png'))
    one = read_picture(
        correspondences(views[:1], views[:1], positions[:1], positions[:1], (3, 4), tmp_path / 'one' / 'pairs.png', 1)
    )
    assert two.shape[1] == pytest.approx(one.shape[1], rel=0.02)
    assert one.shape[0] / one.shape[1] == pytest.approx(0.65, rel=0.15)
    assert two.shape[0] / two.shape[1] == pytest.approx(1.2, rel=0.15)


def test_views_may_differ_in_size(tmp_path, images, positions, read_picture):
    read_picture(correspondences(images, images[::-1], positions, positions, (3, 4), tmp_path / 'pairs.png'))


@pytest.mark.parametrize(
    'change, message',
    [
        ({'grid': (2, 4)}, r'grid=\(2, 4\) has 8 cells but positions_a have 12'),
        ({'positions_b': torch.zeros(2, 9, 8)}, r'12 cells but positions_b have 9'),
        ({'positions_b': torch.zeros(2, 12, 5)}, '8 channels but positions_b have 5'),
        ({'positions_a': torch.zeros(12, 8)}, r'\(12, 8\).*\(N, K, C\)'),
        ({'view_b': [np.zeros((4, 4, 3), dtype=np.uint8)]}, 'view_a has 2 images but view_b 1'),
        ({'num_lines': 0}, 'num_lines=0'),
    ],
)
def test_inputs_that_do_not_belong_together_are_explained(tmp_path, images, positions, change, message):
    arguments = {
        'view_a': images,
        'view_b': images,
        'positions_a': positions,
        'positions_b': positions,
        'grid': (3, 4),
        'out_png': tmp_path / 'pairs.png',
        **change,
    }
    with pytest.raises(UserError, match=message):
        correspondences(**arguments)
    assert not list(tmp_path.iterdir())
