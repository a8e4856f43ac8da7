"""The streaming engine against the definition written out with all logits, in float64."""

import math
from typing import List, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmdclpp.core import InfoNCE, NegativeGroup, info_nce
from mmdclpp.core.memory import chunks
from mmdclpp.errors import UserError
from mmdclpp.utils.measure import allocations, peak_memory

from .cases import one_line

EXACT = dict(rtol=1e-9, atol=1e-12)
BUDGETS = [1e-6, 1e-3, 4e-3, None]  # MiB: one anchor at a time, parts of a view, some views, by device


class Problem(NamedTuple):
    """Leaves with gradient, and groups without their features."""

    tensors: List[Tensor]  # anchors, positives, and the features of each group
    groups: list

    def loss(self, temperature: float = 0.1, memory_budget=None) -> InfoNCE:
        anchors, positives, *features = self.tensors
        groups = [NegativeGroup(rows, *group) for rows, group in zip(features, self.groups, strict=True)]
        return info_nce(anchors, positives, groups, temperature, memory_budget)

    def gradients(self, result) -> List[Tensor]:
        return torch.autograd.grad(result.loss, self.tensors)


def distinct(generator, shape, upper) -> Tensor:
    return torch.rand(*shape[:-1], upper, generator=generator).argsort(-1)[..., : shape[-1]]


def group_kinds(v: int, k: int, generator) -> dict:
    """Name -> (rows of features, excluded, index, block_size): every form that a group can take."""
    index = torch.randint(9, (v, 12), generator=generator)  # of nine rows: some are candidates twice
    return {
        'shared by all': (7, torch.empty(v, 1, 0, dtype=torch.long), None, 1),
        'shared, excluded by view': (8, distinct(generator, (v, 1, 2), 8), None, 1),
        'shared, excluded by anchor': (6, distinct(generator, (v, k, 2), 6), None, 1),
        'shared, excluded in blocks': (12, distinct(generator, (v, 1, 1), 4), None, 3),
        'by view, excluded by view': (9, distinct(generator, (v, 1, 3), 12), index, 1),
        'by view, excluded by anchor': (9, distinct(generator, (v, k, 1), 12), index, 1),
        'by view, excluded in blocks': (9, distinct(generator, (v, k, 2), 3), index, 4),
    }


KINDS = list(group_kinds(1, 1, torch.Generator()))
MIXTURES = [[kind] for kind in KINDS] + [KINDS[1::2], KINDS]


def problem(mixture, v=3, k=4, channels=5, dtype=torch.float64, seed=0) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    kinds = [group_kinds(v, k, generator)[kind] for kind in mixture]
    shapes = [(v, k, channels), (v, k, channels), *((rows, channels) for rows, *_ in kinds)]
    vectors = [normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1) for shape in shapes]
    return Problem([vector.to(dtype).requires_grad_() for vector in vectors], [group for _, *group in kinds])


def definition(problem: Problem, temperature: float = 0.1) -> InfoNCE:
    """With a list of negatives for every anchor."""
    anchors, positives, *features = (tensor.double() for tensor in problem.tensors)
    losses, logarithms, similarities = [], [], []
    for v in range(anchors.shape[0]):
        for k in range(anchors.shape[1]):
            negatives = []
            for rows, (excluded, index, block_size) in zip(features, problem.groups, strict=True):
                candidates = rows if index is None else rows[index[v]]
                barred = excluded[v, min(k, excluded.shape[1] - 1)].tolist()
                negatives += [row for n, row in enumerate(candidates) if n // block_size not in barred]
            similarity = torch.stack([anchors[v, k] @ other for other in (positives[v, k], *negatives)])
            logarithms.append((similarity / temperature).logsumexp(0))
            losses.append(logarithms[-1] - similarity[0] / temperature)
            similarities.append(similarity)
    similarities = torch.stack(similarities)
    return InfoNCE(
        torch.stack(losses).mean(),
        similarities[:, 0].mean().detach(),
        similarities[:, 1:].mean().detach(),
        torch.tensor(similarities.shape[1] - 1.0, dtype=torch.float64),
        torch.stack(logarithms).view(anchors.shape[:2]).detach(),
    )


@pytest.mark.parametrize('mixture', MIXTURES, ids=' + '.join)
@pytest.mark.parametrize('memory_budget', BUDGETS)
@pytest.mark.parametrize(('v', 'k', 'temperature'), [(3, 4, 0.1), (5, 1, 0.01), (1, 6, 1.0)])
def test_loss_statistics_and_every_gradient_are_those_of_the_definition(mixture, memory_budget, v, k, temperature):
    case = problem(mixture, v, k)
    actual, expected = case.loss(temperature, memory_budget), definition(case, temperature)
    torch.testing.assert_close(actual._asdict(), expected._asdict(), **EXACT)
    for gradient, exact in zip(case.gradients(actual), case.gradients(expected), strict=True):
        torch.testing.assert_close(gradient, exact, **EXACT)


@pytest.mark.parametrize('temperature', [0.02, 0.2])
@pytest.mark.parametrize(
    ('dtype', 'loss_tolerance', 'tolerance'),
    [('float32', 1e-6, 1e-5), ('float16', 1e-6, 1e-3), ('bfloat16', 1e-6, 8e-3)],
)
def test_half_precision_inputs_are_computed_in_float32(dtype, loss_tolerance, tolerance, temperature):
    case = problem(KINDS, 6, 7, 32, getattr(torch, dtype))
    actual, expected = case.loss(temperature, 0.01), definition(case, temperature)
    assert actual.loss.dtype == torch.float32
    torch.testing.assert_close(actual.loss.double(), expected.loss, rtol=loss_tolerance, atol=0)
    for tensor, gradient, exact in zip(case.tensors, case.gradients(actual), case.gradients(expected), strict=True):
        assert gradient.dtype == tensor.dtype
        assert (gradient.double() - exact.double()).norm() <= tolerance * exact.double().norm()


def test_the_gradient_scales_with_what_comes_from_above_and_can_be_asked_for_twice():
    case = problem(KINDS)
    once = case.gradients(case.loss())
    total = 3 * case.loss().loss
    for _ in range(2):
        thrice = torch.autograd.grad(total, case.tensors, retain_graph=True)
        torch.testing.assert_close(thrice, tuple(3 * gradient for gradient in once), **EXACT)


@pytest.mark.parametrize('wanted', range(2 + len(KINDS)))
def test_only_what_needs_a_gradient_gets_one(wanted):
    case = problem(KINDS)
    expected = case.gradients(case.loss())[wanted]
    for i, tensor in enumerate(case.tensors):
        tensor.requires_grad_(i == wanted)
    case.loss().loss.backward()
    torch.testing.assert_close(case.tensors[wanted].grad, expected, **EXACT)
    assert all(tensor.grad is None for i, tensor in enumerate(case.tensors) if i != wanted)


def test_without_gradient_no_gradient_is_computed():
    case = problem([KINDS[0]], v=64, k=4, channels=4096, dtype=torch.float32)
    with torch.no_grad():
        largest = max(allocations(case.loss))
    assert not case.loss().log_sum_exp.requires_grad
    assert largest < case.tensors[0].nbytes, 'not even a copy of the anchors'


def test_a_second_derivative_is_refused():
    case = problem(KINDS)
    refused = pytest.raises(RuntimeError, match='info_nce has no second derivative.*cross_entropy')
    for power in (1, 2):  # of the loss: its gradient depends on the features through what comes from above too
        for wanted in case.tensors:
            (gradient,) = torch.autograd.grad(case.loss().loss ** power, wanted, create_graph=True)
            with refused:
                (gradient.square().sum() + case.loss().loss).backward()
            with refused:
                torch.autograd.grad(gradient.square().sum(), case.tensors)

    def loss(anchors):
        return Problem([anchors, *case.tensors[1:]], case.groups).loss().loss

    with refused:
        torch.autograd.functional.hessian(loss, case.tensors[0].detach())


def test_it_compiles_to_one_graph():
    case = problem(KINDS[3:5], dtype=torch.float32)

    def loss(*tensors):
        groups = [NegativeGroup(rows, *group) for rows, group in zip(tensors[2:], case.groups, strict=True)]
        return info_nce(*tensors[:2], groups, 0.1, memory_budget=1e-3)

    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')(*case.tensors)
    torch.testing.assert_close(compiled._asdict(), loss(*case.tensors)._asdict())
    torch.testing.assert_close(case.gradients(compiled), case.gradients(case.loss()))


class TestMemory:
    """Measured: what PyTorch allocates, in one call forward and backward."""

    V, K, D = 16, 64, 8
    BUDGET = 0.25  # MiB; all pairs of anchors and positions take 4

    def problem(self, kind: str, v: int = V) -> Problem:
        vectors = normalize(torch.randn(3, v, self.K, self.D, generator=torch.Generator().manual_seed(0)), dim=-1)
        anchors, positives, features = (tensor.clone().requires_grad_() for tensor in vectors)
        own = torch.stack([torch.arange(v), torch.arange(v).roll(v // 2)], dim=1)[:, None]
        match = torch.randint(v, (v, self.K, 1), generator=torch.Generator().manual_seed(0))
        group = {
            'all': (own, None, self.K),
            'by view': (own, torch.arange(v * self.K).expand(v, -1), self.K),
            'by anchor': (match, None, self.K),
        }[kind]
        features = features.detach().flatten(0, 1).requires_grad_()
        return Problem([anchors, positives, features], [group])

    def run(self, kind: str, v: int = V):
        case = self.problem(kind, v)
        return lambda: case.loss(0.1, self.BUDGET).loss.backward()

    @pytest.mark.parametrize('kind', ['all', 'by view', 'by anchor'])
    def test_nothing_of_size_anchors_times_negatives_is_allocated(self, kind):
        run = self.run(kind)
        run()
        pairs = (self.V * self.K) ** 2 * 4
        assert max(allocations(run)) <= max(self.BUDGET * 2**20, self.V * self.K * self.D * 4) * 1.1 < pairs / 8
        assert peak_memory(run) < pairs / 2

    @pytest.mark.parametrize('budget', [0.05, 0.5])
    @pytest.mark.parametrize('kinds', [['all'], ['by anchor'], ['all', 'by anchor'], ['by view'], ['all', 'by view']])
    def test_the_budget_bounds_all_that_is_held_but_features_and_their_gradients(self, kinds, budget):
        problems = [self.problem(kind) for kind in kinds]
        tensors = [*problems[0].tensors[:2], *(case.tensors[2] for case in problems)]
        case = Problem(tensors, [group for case in problems for group in case.groups])

        def run():
            return case.loss(0.1, budget).loss.backward()

        run()
        # Gradients, those that the backward pass scales, and a chunk's share of the features.
        features = 2.5 * sum(tensor.nbytes for tensor in tensors)
        # Views that choose from a table need a view's choice and its gradient, however small the budget.
        choice = 2 * self.V * self.K * self.D * 4 if 'by view' in kinds else 0
        assert peak_memory(run) <= 1.2 * max(budget * 2**20, 2 * choice) + features + choice

    @pytest.mark.parametrize(('v', 'k', 'channels', 'n', 'budget'), [(16, 2, 256, 512, 2), (1, 256, 8, 2048, 0.3)])
    def test_the_candidates_that_a_view_chooses_count_too(self, v, k, channels, n, budget):
        anchors = torch.randn(v, k, channels, requires_grad=True)
        features = torch.randn(16, channels, requires_grad=True)
        index = torch.randint(16, (v, n), generator=torch.Generator().manual_seed(0))
        group = NegativeGroup(features, torch.zeros(v, 1, 1, dtype=torch.long), index)

        def run():
            return info_nce(anchors, anchors, [group], 0.1, budget).loss.backward()

        run()
        assert peak_memory(run) <= 1.2 * budget * 2**20 + 6 * anchors.nbytes + 3 * features.nbytes

    def test_a_view_too_large_for_the_budget_is_cut(self):
        anchors, negatives = torch.randn(1, 2048, 2), torch.randn(2048, 2)
        group = NegativeGroup(negatives, torch.zeros(1, 1, 1, dtype=torch.long))
        peak = peak_memory(lambda: info_nce(anchors, anchors, [group], 0.1, memory_budget=0.1))
        assert peak < 0.3 * 2**20 < 2048 * 2048 * 4 / 50

    def test_the_measure_sees_such_a_table(self):
        anchors = torch.randn(self.V * self.K, self.D)
        assert max(allocations(lambda: anchors @ anchors.T)) == (self.V * self.K) ** 2 * 4

    def test_memory_grows_linearly_with_the_batch(self):
        medium, large = (peak_memory(self.run('all', v)) for v in (64, 128))
        assert large <= 2.1 * medium, 'a table of pairs would be four times as large'

    def test_a_smaller_budget_takes_less(self):
        case = self.problem('all')
        peaks = [peak_memory(lambda b=budget: case.loss(0.1, b).loss.backward()) for budget in (0.02, 0.2, 1, 100)]
        assert peaks == sorted(peaks) and peaks[0] < peaks[-1] / 2

    @pytest.mark.parametrize(('size', 'each', 'available'), [(10, 3, 9), (10, 3, 1), (7, 1, 100), (1, 5, 5), (0, 5, 5)])
    def test_chunks_cover_everything_once_within_what_is_available(self, size, each, available):
        pieces = chunks(size, each, available)
        assert [i for piece in pieces for i in range(size)[piece]] == list(range(size))
        lengths = [piece.stop - piece.start for piece in pieces]
        assert all(0 < length <= max(available // each, 1) for length in lengths)
        assert not lengths or max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize('temperature', [0.01, 0.1])
def test_an_anchor_without_negatives_has_no_loss_and_no_gradient(temperature):
    case = problem([KINDS[0]])
    everything = torch.arange(7).expand(3, 4, 7)
    case.groups[0][0] = everything
    result = case.loss(temperature)
    assert result.loss == 0 and abs(result.negative_similarity) < 1e-12 and result.num_negatives == 0
    assert all((gradient == 0).all() for gradient in case.gradients(result))
    torch.testing.assert_close(result.log_sum_exp, (case.tensors[0] * case.tensors[1]).sum(-1).detach() / temperature)


@pytest.mark.parametrize('scale', [1e-3, 30.0])
def test_features_need_not_be_normalised_for_the_result_to_be_exact(scale):
    case = problem(KINDS, dtype=torch.float32)
    case = Problem([(scale * tensor.detach()).requires_grad_() for tensor in case.tensors], case.groups)
    actual, expected = case.loss(0.01), definition(case, 0.01)
    torch.testing.assert_close(actual.loss.double(), expected.loss, rtol=1e-5, atol=1e-7)
    for gradient, exact in zip(case.gradients(actual), case.gradients(expected), strict=True):
        assert (gradient - exact).norm() <= 1e-2 * exact.norm()


@pytest.mark.parametrize('temperature', [0.005, 0.01, 0.07, 1.0])
def test_equal_features_give_the_logarithm_of_their_number_in_float32(temperature):
    vector = normalize(torch.randn(5, generator=torch.Generator().manual_seed(0)), dim=0)
    groups = [NegativeGroup(vector.expand(n, 5), torch.zeros(3, 1, 1, dtype=torch.long)) for n in (7, 20)]
    loss = info_nce(vector.expand(3, 4, 5), vector.expand(3, 4, 5), groups, temperature).loss
    assert loss.item() == pytest.approx(math.log(26), rel=2e-7 / temperature)  # a rounding of the largest logit


@pytest.mark.parametrize('margin', [19.0, 21.0, 38.0, 45.0])
def test_a_large_loss_is_exact_in_float64(margin):
    anchor, group = torch.ones(1, 1, 1, dtype=torch.float64), torch.full((1, 1), margin + 1, dtype=torch.float64)
    loss = info_nce(anchor, anchor, [NegativeGroup(group, torch.empty(1, 1, 0, dtype=torch.long))], 1.0).loss
    assert loss.item() == pytest.approx(margin + math.log1p(math.exp(-margin)), rel=1e-14)


@pytest.mark.parametrize('temperature', [0.03, 0.06, 0.5])
def test_a_tiny_loss_keeps_its_digits_in_float32(temperature):
    north = torch.tensor([1.0, 0.0]).expand(3, 4, 2)
    group = NegativeGroup(-north[0, :1].expand(7, 2), torch.empty(3, 1, 0, dtype=torch.long))
    loss = info_nce(north, north, [group], temperature).loss
    assert loss.item() == pytest.approx(math.log1p(7 * math.exp(-2 / temperature)), rel=1e-5)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda a, p, f, x, i: (a[0], p[0], f, x, i), 'must both be of shape (v, K, D)'),
        (lambda a, p, f, x, i: (a, p[:, :2], f, x, i), 'must both be of shape (v, K, D)'),
        (lambda a, p, f, x, i: (a, p, f[:, :3], x, i), 'must be of shape (R, 5)'),
        (lambda a, p, f, x, i: (a, p, f, x[:2], i), 'must be of shape (3, 1 or 4, e)'),
        (lambda a, p, f, x, i: (a, p, f, x, i[:2]), 'must be of shape (3, n)'),
        (lambda a, p, f, x, i: (a, p, f, x > 1, i), 'not a mask'),
        (lambda a, p, f, x, i: (a, p, f, x, i.int()), 'torch.long'),
        (lambda a, p, f, x, i: (a, p, f, x, i[:, :0]), 'number of candidates, 0'),
        (lambda a, p, f, x, i: (a, p, f.float(), x, i), 'all be of float64'),
    ],
)
def test_shapes_and_types_that_do_not_fit_are_named(change, words):
    case = problem([KINDS[5]])
    excluded, index, _ = case.groups[0]
    anchors, positives, features, excluded, index = change(*case.tensors, excluded, index)
    with pytest.raises(UserError, match=one_line(words)):
        info_nce(anchors, positives, [NegativeGroup(features, excluded, index)], 0.1)


def test_there_must_be_anchors_and_negatives():
    vectors, group = torch.randn(3, 4, 5), NegativeGroup(torch.randn(7, 5), torch.zeros(3, 1, 1, dtype=torch.long))
    for anchors, groups in ((vectors, []), (vectors[:0], [group]), (vectors, group), (vectors, [tuple(group)])):
        with pytest.raises(UserError, match=one_line('give one at least', 'NegativeGroup')):
            info_nce(anchors, anchors, groups, 0.1)


@pytest.mark.parametrize('block_size', [2, 0, -1])
def test_a_block_size_divides_the_candidates(block_size):
    case = problem([KINDS[0]])
    case.groups[0][2] = block_size
    with pytest.raises(UserError, match=one_line(f'block_size={block_size}')):
        case.loss()


@pytest.mark.parametrize('memory_budget', [0, -1, math.inf, math.nan, '16', True, 1e305])
def test_a_memory_budget_is_a_positive_number_of_mib(memory_budget):
    with pytest.raises(UserError, match=one_line(f'memory_budget={memory_budget!r}', 'MiB')):
        problem(KINDS).loss(0.1, memory_budget)
