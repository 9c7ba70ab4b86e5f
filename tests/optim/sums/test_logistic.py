"""Logistic regression as a finite sum, beside formulas in NumPy written one sample at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from napts.optim.sums import LogisticSum
from napts.optim.sums.rows import SparseRows, as_rows
from napts.optim.vectors import Layout

SAMPLES, FEATURES, PENALTY = 23, 7, 0.03
KINDS = ("dense", "sparse")


def inputs() -> Tensor:
    """A third of them is not zero; one row and one column are nothing but zeros."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(SAMPLES, FEATURES)) * (rng.random((SAMPLES, FEATURES)) < 1 / 3)
    found[4], found[:, 2] = 0.0, 0.0
    return torch.from_numpy(found)


def labels() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).choice([-1.0, 1.0], size=SAMPLES))


def direction(seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=FEATURES))


def sum_of(kind: str, weight: Tensor | None = None) -> LogisticSum:
    matrix = inputs() if kind == "dense" else inputs().to_sparse_csr()
    weight = nn.Parameter(torch.zeros(FEATURES).double()) if weight is None else weight
    return LogisticSum.of([weight], matrix, labels(), PENALTY)


def by_hand(theta: Tensor, which: list[int]) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient and Hessian, sample by sample."""
    x, c, w = inputs().numpy(), labels().numpy(), theta.numpy()
    value, gradient = PENALTY / 2 * float(w @ w), PENALTY * w
    hessian = PENALTY * np.eye(FEATURES)
    for j in which:
        margin = c[j] * float(x[j] @ w)
        chance = 1.0 / (1.0 + math.exp(margin))
        value += math.log1p(math.exp(-margin)) / len(which)
        gradient = gradient - chance * c[j] * x[j] / len(which)
        hessian += chance * (1 - chance) * np.outer(x[j], x[j]) / len(which)
    return value, gradient, hessian


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "which",
    [None, slice(3, 11), slice(1, 20, 4), slice(5, 5 + SAMPLES), torch.tensor([9, 0, 4, 9, 22])],
    ids=["whole", "slice", "strided", "tail", "repeated"],
)
def test_it_is_what_the_formulas_say(kind: str, which: slice | Tensor | None) -> None:
    total, theta, shift = sum_of(kind), direction(2), direction(3)
    numbers = list(range(SAMPLES))
    if which is not None:
        total = total.take(which)
        numbers = which.tolist() if isinstance(which, Tensor) else numbers[which]
    value, gradient, hessian = by_hand(theta, numbers)
    assert len(total) == len(numbers)
    for prepared in (total, total.prepared()):
        found = prepared.value_and_gradient([theta])
        assert prepared.value([theta]) == found[0] == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(found[1][0], gradient, rtol=1e-12, atol=1e-15)
        product = prepared.hessian([theta])([shift])[0]
        np.testing.assert_allclose(product, hessian @ shift.numpy(), rtol=1e-12, atol=1e-15)
        change = prepared.gradient_change([theta], [shift])[0]
        expected = gradient - by_hand(shift, numbers)[1]
        np.testing.assert_allclose(change, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_changed_by_evaluations(kind: str) -> None:
    weight = nn.Parameter(torch.zeros(FEATURES).double())
    total, theta, shift = sum_of(kind, weight), direction(2), direction(3)
    kept = theta.clone(), shift.clone()
    total.value([theta])
    total.value_and_gradient([theta])
    multiply = total.hessian([theta])
    first = multiply([shift])[0].clone()
    total.gradient_change([theta], [shift])
    assert torch.equal(multiply([shift])[0], first)
    assert torch.equal(theta, kept[0])
    assert torch.equal(shift, kept[1])
    assert not weight.any()


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_batch_it_has_a_graph_that_can_be_differentiated_twice(kind: str) -> None:
    theta, shift = direction(2), direction(3)
    weight = nn.Parameter(theta.clone())
    total = sum_of(kind, weight)
    value, gradient, hessian = by_hand(theta, list(range(SAMPLES)))
    loss = total()
    assert loss.item() == pytest.approx(value, rel=1e-14)
    (first,) = torch.autograd.grad(loss, weight, create_graph=True)
    np.testing.assert_allclose(first.detach(), gradient, rtol=1e-12, atol=1e-15)
    (second,) = torch.autograd.grad(first, weight, shift)
    np.testing.assert_allclose(second, hessian @ shift.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_large_margins_neither_overflow_nor_lose_their_digits(kind: str) -> None:
    matrix = torch.eye(2).double()
    matrix = matrix if kind == "dense" else matrix.to_sparse_csr()
    weight = nn.Parameter(torch.zeros(2).double())
    total = LogisticSum.of([weight], matrix, torch.tensor([1.0, -1.0]), 0.0)
    theta = [torch.tensor([40.0, 900.0]).double()]
    value, (gradient,) = total.value_and_gradient(theta)
    assert value == 450.0 + math.exp(-40) / 2
    np.testing.assert_allclose(gradient, [-math.exp(-40) / 2, 0.5], rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_round_the_same_whatever_was_computed_before(kind: str) -> None:
    part = sum_of(kind).take(torch.arange(0, SAMPLES, 2))
    theta = [direction(2)]
    before = part.value_and_gradient(theta)[1][0]
    first = part.hessian(theta)([direction(3)])[0]
    assert torch.equal(part.hessian(theta)([direction(3)])[0], first)
    assert torch.equal(part.value_and_gradient(theta)[1][0], before)


def test_a_call_may_be_of_a_network() -> None:
    calls = []

    def loss() -> Tensor:
        calls.append(1)
        return torch.zeros(())

    weight = nn.Parameter(torch.zeros(FEATURES).double())
    total = LogisticSum.of([weight], inputs(), labels(), PENALTY, loss)
    assert total().item() == total.prepared()().item() == 0.0
    assert total.take(slice(0, 3))().item() == pytest.approx(np.log(2))
    assert len(calls) == 2


def test_a_weight_and_a_bias_are_one_block() -> None:
    layer = nn.Linear(FEATURES - 1, 1).double()
    total = LogisticSum.of(list(layer.parameters()), inputs(), labels(), PENALTY)
    theta = torch.cat([layer.weight.detach().reshape(-1), layer.bias.detach()])
    assert total().item() == pytest.approx(by_hand(theta, list(range(SAMPLES)))[0], rel=1e-14)


def test_other_numbers_of_weights_are_refused() -> None:
    weights = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(4))]
    rows = as_rows(inputs())
    with pytest.raises(ValueError, match=r"found \[3, 4\] weights for 7 columns, allowed: one"):
        LogisticSum(Layout([[weight] for weight in weights]), rows, PENALTY)
    with pytest.raises(ValueError, match=r"found \[3\] weights for 7 columns"):
        LogisticSum(Layout([weights[:1]]), rows, PENALTY)


def test_the_curvature_bounds_that_of_every_sample() -> None:
    total = sum_of("sparse")
    largest = max(np.linalg.eigvalsh(by_hand(direction(2) * 0, [j])[2])[-1] for j in range(SAMPLES))
    assert total.curvature == pytest.approx(largest, rel=1e-12)
    assert sum_of("dense").curvature == pytest.approx(largest, rel=1e-12)


def test_dense_slices_are_views() -> None:
    rows = as_rows(inputs())
    assert rows.take(slice(3, 9)).matrix.data_ptr() == rows.matrix[3:].data_ptr()  # pyright: ignore[reportAttributeAccessIssue]


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_sparse_rows_are_dense_ones(samples: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(samples, columns)) * (rng.random((samples, columns)) < 0.4)
    matrix = torch.from_numpy(table)
    index = torch.from_numpy(rng.integers(0, samples, size=rng.integers(0, 2 * samples)))
    start, stop = sorted(rng.integers(0, samples + 1, size=2).tolist())
    rows = SparseRows(matrix.to_sparse_csr())
    factors = torch.from_numpy(rng.normal(size=samples))
    for found, expected in (
        (rows, matrix),
        (rows.prepared(), matrix),
        (rows.take(index), matrix[index]),
        (rows.take(slice(start, stop)), matrix[start:stop]),
        (rows.take(slice(start, stop)).prepared(), matrix[start:stop]),
        (rows.take(slice(start, stop, 2)), matrix[start:stop:2]),
        (rows.scaled(factors).take(index), matrix[index] * factors[index, None]),
    ):
        assert torch.equal(found.matrix.to_dense(), expected)
        vector = torch.from_numpy(rng.normal(size=columns))
        weights = torch.from_numpy(rng.normal(size=len(expected)))
        torch.testing.assert_close(found.times(vector), expected @ vector)
        torch.testing.assert_close(
            found.transposed_times(weights, vector, alpha=0.5, beta=-2.0),
            0.5 * expected.T @ weights - 2.0 * vector,
        )
        torch.testing.assert_close(found.squares(), expected.square().sum(1))


@pytest.mark.parametrize("kind", KINDS)
def test_evaluations_are_the_same_whatever_was_evaluated_before(kind: str) -> None:
    """Margins are kept from one evaluation to the next, those of this point and no other."""
    total, theta = sum_of(kind), [direction(2)]
    value = sum_of(kind).value(theta)
    gradient = sum_of(kind).value_and_gradient(theta)[1][0]
    product = sum_of(kind).hessian(theta)([direction(3)])[0]
    for _ in range(2):
        assert total.value(theta) == value
        found = total.value_and_gradient([theta[0].clone()])
        assert found[0] == value
        assert torch.equal(found[1][0], gradient)
        assert torch.equal(total.hessian(theta)([direction(3)])[0], product)
        theta[0].mul_(2.0)  # in place
        assert total.value(theta) == sum_of(kind).value(theta) != value
        theta[0].div_(2.0)
