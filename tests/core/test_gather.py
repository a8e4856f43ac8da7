"""Two and three processes equal one: the loss, what is logged and every parameter's gradient."""

import pytest
import torch
import torch.multiprocessing as mp

from . import ranks

WORLD_SIZES = (2, 3)
EXACT = dict(rtol=1e-9, atol=1e-12)


@pytest.fixture(scope='module')
def spread(tmp_path_factory):
    """``{world size: [result of each rank]}`` of one start of real processes."""
    folder = tmp_path_factory.mktemp('ranks')
    mp.spawn(ranks.run, args=(WORLD_SIZES, str(folder)), nprocs=max(WORLD_SIZES))
    return {size: [torch.load(folder / f'{size}_{rank}.pt') for rank in range(size)] for size in WORLD_SIZES}


@pytest.fixture(scope='module')
def alone():
    return {loss: ranks.step(loss) for loss in ranks.LOSSES}


@pytest.mark.parametrize('world_size', WORLD_SIZES)
@pytest.mark.parametrize('loss', ranks.LOSSES)
def test_several_processes_equal_one(spread, alone, loss, world_size):
    results, one = [result[loss] for result in spread[world_size]], alone[loss]
    torch.testing.assert_close(torch.stack([result['loss'] for result in results]).mean(), one['loss'], **EXACT)
    for result in results:
        torch.testing.assert_close(result['statistics'], one['statistics'], **EXACT)
        torch.testing.assert_close(result['gradients'], one['gradients'], **EXACT)
    assert all(gradient.abs().max() > 0 for gradient in one['gradients'].values())
