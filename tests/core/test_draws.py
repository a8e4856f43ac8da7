import pytest
import torch

from mmdclpp.core import Draws


def chi_square(counts: torch.Tensor) -> float:
    expected = counts.sum() / counts.numel()
    return ((counts - expected) ** 2 / expected).sum().item()


DRAWS = {
    'positions': lambda draws, stream: draws.positions(stream, 4, 6, 50),
    'subsets': lambda draws, stream: draws.subsets(stream, 10, 6, 50),
}


@pytest.mark.parametrize('draw', DRAWS.values(), ids=DRAWS)
def test_draws_depend_on_seed_iteration_and_stream_alone(draw):
    drawn = draw(Draws(1, 2), 'a')
    torch.manual_seed(99)
    assert torch.equal(draw(Draws(1, 2), 'a'), drawn)
    for draws, stream in ((Draws(2, 2), 'a'), (Draws(1, 3), 'a'), (Draws(2, 1), 'a'), (Draws(1, 2), 'b')):
        assert not torch.equal(draw(draws, stream), drawn)


def test_draws_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    Draws().positions('a', 1, 4, 9), Draws().subsets('a', 3, 4, 9)
    assert torch.equal(torch.get_rng_state(), state)


def test_positions_are_uniform():
    counts = torch.stack([Draws(0, i).positions('a', 5, 4, 8) for i in range(400)]).flatten().bincount(minlength=8)
    assert len(counts) == 8 and chi_square(counts) < 24  # 7 degrees of freedom, p = 0.001


def test_subsets_are_distinct_and_uniform_at_every_place():
    drawn = torch.stack([Draws(0, i).subsets('a', 3, 4, 6) for i in range(800)])  # (800, 4, 3)
    assert (drawn.sort().values.diff() > 0).all()
    for place in drawn.unbind(-1):
        assert chi_square(place.flatten().bincount(minlength=6)) < 21  # 5 degrees of freedom, p = 0.001
