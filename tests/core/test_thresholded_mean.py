"""The thresholded mean by PyTorch and by Triton, against its definition in float64.

Triton's kernel runs on a GPU, or in Triton's interpreter. That has to be chosen before Triton is imported, so the last
test runs this module again, in a process of its own.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.core import thresholded_mean as module
from mmdclpp.core.thresholded_mean import thresholded_mean
from mmdclpp.errors import UserError
from mmdclpp.utils.measure import peak_memory

HAS_TRITON = find_spec('triton') is not None
INTERPRETED = HAS_TRITON and os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cuda' if torch.cuda.is_available() and not INTERPRETED else 'cpu'
BACKENDS = ['torch', 'triton'] if INTERPRETED or (HAS_TRITON and DEVICE == 'cuda') else ['torch']
REPO = Path(__file__).resolve().parents[2]

both = pytest.mark.parametrize('backend', BACKENDS)


def definition(anchors: Tensor, candidates: Tensor, threshold: float) -> Tensor:
    similarity = torch.einsum('vkd,rd->vkr', anchors.double(), candidates.double())
    return torch.where(similarity <= threshold, -1, similarity).mean(dim=1)


def features(*shape: int, seed: int = 0) -> Tensor:
    """Unit vectors that agree enough for similarities on both sides of most thresholds."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return normalize(noise + 0.7, dim=-1).to(DEVICE)


def quarters(*shape: int, seed: int = 0) -> Tensor:
    """Not of unit length; products are exact, so that many similarities are exactly 0 or 1/4."""
    return (torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)) / 4).to(DEVICE)


@both
@pytest.mark.parametrize('threshold', [-1.0, -0.2, 0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    'num_views, num_anchors, num_candidates, depth',
    [(1, 1, 1, 3), (3, 1, 40, 200), (9, 5, 257, 64), (10, 49, 300, 5), (2, 196, 600, 128), (2, 70, 90, 300)],
)
def test_the_mean_is_that_of_the_definition(backend, num_views, num_anchors, num_candidates, depth, threshold):
    anchors, candidates = features(num_views, num_anchors, depth), features(num_candidates, depth, seed=1)
    means = thresholded_mean(anchors, candidates, threshold, backend=backend)
    assert means.dtype == torch.float32 and means.shape == (num_views, num_candidates)
    # A similarity within rounding of the threshold may fall on either side of it.
    lowest = definition(anchors, candidates, threshold + 5e-7) - 5e-7
    highest = definition(anchors, candidates, threshold - 5e-7) + 5e-7
    assert ((lowest <= means) & (means <= highest)).all()


@both
@pytest.mark.parametrize('threshold', [0, 0.25])
@pytest.mark.parametrize('depth', [5, 64, 300])
def test_a_similarity_of_exactly_the_threshold_counts_as_minus_one(backend, depth, threshold):
    anchors, candidates = quarters(3, 49, depth), quarters(100, depth, seed=1)
    assert (torch.einsum('vkd,rd->vkr', anchors, candidates) == threshold).any()
    means = thresholded_mean(anchors, candidates, threshold, backend=backend)
    torch.testing.assert_close(means.double(), definition(anchors, candidates, threshold), rtol=1e-6, atol=1e-6)


@both
@pytest.mark.parametrize('memory_budget', [1e-6, 2e-3, 0.02, 0.1, 1])
def test_the_memory_budget_does_not_change_the_result(backend, memory_budget):
    anchors, candidates = quarters(5, 10, 16), quarters(70, 16, seed=1)
    means = thresholded_mean(anchors, candidates, 0.25, memory_budget, backend)
    torch.testing.assert_close(means.double(), definition(anchors, candidates, 0.25), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('backend', ['torch'] if INTERPRETED else BACKENDS)  # the interpreter's memory is not a GPU's
@pytest.mark.parametrize('memory_budget', [0.1, 0.5, 2.0])
def test_the_memory_budget_bounds_what_is_allocated(backend, memory_budget):
    anchors, candidates = features(8, 50, 16), features(16000, 16, seed=1)  # 24 MiB of similarities
    kept = 4 * (8 * 16000 + (anchors.numel() if backend == 'triton' else 0))  # the result, and the split anchors

    def function():
        return thresholded_mean(anchors, candidates, 0.5, memory_budget, backend)

    function()  # a first call on a GPU tunes, with memory of its own
    assert 0.3 * memory_budget < (peak_memory(function, DEVICE) - kept) / 2**20 < 1.01 * memory_budget + 0.01


@pytest.mark.parametrize('threshold', [-0.2, 0.5])
def test_float64_is_computed_in_float64(threshold):
    anchors, candidates = features(3, 49, 64).double(), features(80, 64, seed=1).double()
    means = thresholded_mean(anchors, candidates, threshold)
    torch.testing.assert_close(means, definition(anchors, candidates, threshold), rtol=1e-13, atol=1e-13)


@both
@pytest.mark.parametrize('threshold', [-0.2, 0.0, 0.2, 0.5])
@pytest.mark.parametrize('num_views, num_positions', [(4, 5), (8, 49)])
def test_the_set_chosen_by_the_means_has_the_best_score(backend, num_views, num_positions, threshold):
    z = features(num_views, num_positions, 128)
    sets = torch.randint(num_positions, (64, num_views), generator=torch.Generator().manual_seed(0)).to(DEVICE)
    columns = sets + torch.arange(num_views, device=DEVICE) * num_positions
    chosen = thresholded_mean(z, z.flatten(0, 1), threshold, backend=backend)[:, columns].mean(dim=2).argmax(dim=1)
    scores = definition(z, z.flatten(0, 1), threshold)[:, columns].mean(dim=2)  # (V, M)
    assert (scores.gather(1, chosen[:, None]).squeeze(1) >= scores.amax(dim=1) - 1e-5).all()


@both
@pytest.mark.parametrize('num_views, num_candidates', [(0, 4), (3, 0)])
def test_no_views_or_no_candidates_give_an_empty_result(backend, num_views, num_candidates):
    means = thresholded_mean(features(num_views, 5, 8), features(num_candidates, 8), 0.5, backend=backend)
    assert means.shape == (num_views, num_candidates)


@both
def test_strided_inputs_are_read_right(backend):
    anchors, candidates = quarters(49, 3, 16).transpose(0, 1), quarters(16, 60, seed=1).T
    means = thresholded_mean(anchors, candidates, 0, backend=backend)
    torch.testing.assert_close(means.double(), definition(anchors, candidates, 0), rtol=1e-6, atol=1e-6)


@both
def test_it_may_be_called_from_compiled_code_and_carries_no_gradient(backend):
    weights = torch.full((16,), 0.5, device=DEVICE, requires_grad=True)

    def step(anchors: Tensor, candidates: Tensor) -> Tensor:
        anchors = anchors * weights
        return anchors.sum() + thresholded_mean(anchors, candidates, 0.1, 0.01, backend).sum()

    anchors, candidates = quarters(4, 9, 16), quarters(30, 16, seed=1)
    expected = anchors.sum() / 2 + definition(anchors / 2, candidates, 0.1).sum()
    total = torch.compile(step, backend='eager')(anchors, candidates)
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)
    total.backward()
    torch.testing.assert_close(weights.grad, anchors.sum((0, 1)))


@pytest.mark.parametrize(
    'anchors, candidates, told',
    [
        (torch.zeros(2, 3), torch.zeros(4, 3), r'anchors \(2, 3\) and candidates \(4, 3\)'),
        (torch.zeros(2, 3, 4), torch.zeros(5, 3), r'\(2, 3, 4\) and candidates \(5, 3\)'),
        (torch.zeros(2, 0, 4), torch.zeros(5, 4), 'K of 1 or more'),
        (torch.zeros(2, 3, 4).half(), torch.zeros(5, 4).half(), 'torch.float16 on cpu.*float32'),
        (torch.zeros(2, 3, 4), torch.zeros(5, 4).double(), 'torch.float32 on cpu and torch.float64 on cpu'),
    ],
)
def test_inputs_that_do_not_fit_are_named(anchors, candidates, told):
    with pytest.raises(UserError, match=told):
        thresholded_mean(anchors, candidates, 0.5)


@pytest.mark.parametrize('backend', ['cuda', ''])
def test_an_unknown_backend_is_named(backend):
    with pytest.raises(UserError, match=f"backend='{backend}' must be 'torch', 'triton' or None"):
        thresholded_mean(features(2, 3, 4), features(5, 4), 0.5, backend=backend)


def test_asking_for_triton_where_it_is_missing_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(module, '_HAS_TRITON', False)
    with pytest.raises(UserError, match='needs the package triton: install it'):
        thresholded_mean(features(2, 3, 4), features(5, 4), 0.5, backend='triton')
    assert thresholded_mean(features(2, 3, 4), features(5, 4), 0.5).shape == (2, 5)


@pytest.mark.skipif(not HAS_TRITON, reason='triton is not installed')
def test_triton_takes_float32_on_a_gpu_only():
    with pytest.raises(UserError, match="backend='triton' takes float32 on a GPU.*use backend='torch'"):
        thresholded_mean(torch.zeros(2, 3, 4).double(), torch.zeros(5, 4).double(), 0.5, backend='triton')


@pytest.mark.skipif(not HAS_TRITON, reason='triton is not installed')
def test_the_kernel_passes_in_its_interpreter():
    command = (sys.executable, '-m', 'pytest', __file__, '-q', '-k', 'triton', '--noconftest', '-p', 'no:cacheprovider')
    environment = {**os.environ, 'TRITON_INTERPRET': '1'}
    result = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
