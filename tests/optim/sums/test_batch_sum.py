"""A network's loss as a function of a vector: values, gradients, Hessians, subsets, counts."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napts.optim import vectors
from napts.optim.batch import Batch, WholeBatch
from napts.optim.sums import BatchSum, CountedSum, FiniteSum, SumCounts, as_sum
from napts.optim.vectors import Layout, Vector

SAMPLES = 12


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def data() -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.randn(SAMPLES, 4).double(), torch.randn(SAMPLES, 2).double()


def batch_of(model: nn.Module) -> Batch:
    """The mean squared error with a regulariser that is the same for every subset."""

    def loss(samples: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = samples
        penalty = sum(parameter.square().sum() for parameter in model.parameters())
        return (model(inputs) - targets).square().mean() + 0.05 * penalty

    return Batch(loss, data())


def sum_of(model: nn.Module) -> BatchSum:
    return BatchSum(batch_of(model), layout_of(model))


def layout_of(model: nn.Module) -> Layout:
    blocks = [list(layer.parameters()) for layer in model if isinstance(layer, nn.Linear)]  # pyright: ignore[reportGeneralTypeIssues]
    return Layout(blocks)


@torch.no_grad()
def start(layout: Layout) -> Vector:
    return layout.read()


def directions(like: Vector) -> tuple[Vector, Vector]:
    torch.manual_seed(5)
    return [torch.randn_like(v) for v in like], [torch.randn_like(v) for v in like]


@pytest.fixture
def theta() -> Vector:
    return start(layout_of(network()))


def test_values_are_those_of_the_loss_where_the_parameters_are_put(theta: Vector) -> None:
    model = network()
    total, shift = sum_of(model), directions(theta)[0]
    moved = vectors.add(theta, shift)
    value = total.value(moved)
    for parameter, part in zip(model.parameters(), total.layout.parts(moved), strict=True):
        assert torch.equal(parameter, part)
    inputs, targets = data()
    with torch.no_grad():
        expected = (model(inputs) - targets).square().mean()
        expected += 0.05 * sum(flat.square().sum() for flat in moved)
    assert value == pytest.approx(expected.item(), rel=1e-14)
    assert total.value_and_gradient(moved)[0] == value
    assert total().item() == value


def test_the_gradient_is_that_of_differences(theta: Vector) -> None:
    total, (shift, _) = sum_of(network()), directions(theta)
    slope = float(vectors.dot(total.value_and_gradient(theta)[1], shift))
    ahead, behind = (total.value(vectors.add_scaled(theta, h, shift)) for h in (1e-5, -1e-5))
    assert slope == pytest.approx((ahead - behind) / 2e-5, rel=1e-8)


def test_hessian_products_are_differences_of_gradients_and_symmetric(theta: Vector) -> None:
    total, (first, second) = sum_of(network()), directions(theta)
    multiply = total.hessian(theta)
    product = multiply(first)
    ahead, behind = (
        total.value_and_gradient(vectors.add_scaled(theta, h, first))[1] for h in (1e-5, -1e-5)
    )
    for flat, high, low in zip(product, ahead, behind, strict=True):
        torch.testing.assert_close(flat, (high - low) / 2e-5, rtol=1e-7, atol=1e-8)
    # The parameters were elsewhere since: the products are still those at theta.
    for flat, again in zip(product, multiply(first), strict=True):
        assert torch.equal(flat, again)
    assert vectors.dot(second, product) == pytest.approx(
        vectors.dot(first, multiply(second)), rel=1e-12
    )


def test_the_hessian_of_a_linear_loss_is_zero() -> None:
    weight = nn.Parameter(torch.ones(3).double())
    total = BatchSum(
        Batch(lambda x: (x @ weight).mean(), torch.randn(5, 3).double()), Layout([[weight]])
    )
    assert torch.equal(
        total.hessian(start(total.layout))([torch.ones(3).double()])[0], torch.zeros(3)
    )


@pytest.mark.parametrize("which", [slice(2, 7), torch.tensor([0, 3, 3, 11])], ids=["slice", "list"])
def test_subsets_average_their_samples_and_keep_the_regulariser(
    which: slice | Tensor, theta: Vector
) -> None:
    model = network()
    part = sum_of(model).take(which)
    inputs, targets = (tensor[which] for tensor in data())
    with torch.no_grad():
        expected = (model(inputs) - targets).square().mean()
        expected += 0.05 * sum(flat.square().sum() for flat in theta)
    assert len(part) == len(inputs)
    assert part.value(theta) == pytest.approx(expected.item(), rel=1e-14)


def test_gradients_of_equal_parts_average_to_that_of_the_whole(theta: Vector) -> None:
    total = sum_of(network())
    whole = total.value_and_gradient(theta)[1]
    parts = [total.take(slice(k, k + 4)).value_and_gradient(theta)[1] for k in (0, 4, 8)]
    for block, flat in enumerate(whole):
        mean = torch.stack([part[block] for part in parts]).mean(0)
        torch.testing.assert_close(flat, mean, rtol=1e-13, atol=1e-14)


def test_the_change_of_the_gradient(theta: Vector) -> None:
    total, (shift, _) = sum_of(network()), directions(theta)
    moved = vectors.add(theta, shift)
    change = total.gradient_change(moved, theta)
    expected = vectors.subtract(
        total.value_and_gradient(moved)[1], total.value_and_gradient(theta)[1]
    )
    for flat, other in zip(change, expected, strict=True):
        assert torch.equal(flat, other)


def test_dropout_is_the_same_in_every_evaluation(theta: Vector) -> None:
    model = network()
    model.insert(2, nn.Dropout(0.5))
    torch.manual_seed(0)
    total = sum_of(model)
    value = total.value(theta)
    after = torch.get_rng_state()
    assert total.value(theta) == value == total.value_and_gradient(theta)[0]
    assert torch.equal(after, torch.get_rng_state())
    assert total.take(slice(0, SAMPLES)).value(theta) != value


def test_a_loss_that_differentiates_inside_has_values() -> None:
    weight = nn.Parameter(torch.ones(2).double())

    def loss(points: Tensor) -> Tensor:
        points = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad((points @ weight).sin().sum(), points, create_graph=True)
        return slope.square().mean()

    total = BatchSum(Batch(loss, torch.randn(6, 2).double()), Layout([[weight]]))
    theta = start(total.layout)
    assert total.value(theta) == total.value_and_gradient(theta)[0]


def test_a_closure_has_values_and_no_samples() -> None:
    model = network()
    total = as_sum(WholeBatch(batch_of(model)), layout_of(model))
    assert total.value(start(total.layout)) == sum_of(model).value(start(total.layout))
    with pytest.raises(ValueError, match="a closure cannot give"):
        len(total)
    with pytest.raises(ValueError, match="a closure cannot give"):
        total.take(slice(0, 2))


class Quadratic(FiniteSum):
    """The sum of (a_j . theta)^2 / 2."""

    def __init__(self, weight: nn.Parameter, rows: Tensor) -> None:
        super().__init__(Layout([[weight]]))
        self.weight, self.rows = weight, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self) -> Tensor:
        return (self.rows @ self.weight).square().mean() / 2

    def value(self, theta: Vector) -> float:
        return float((self.rows @ theta[0]).square().mean() / 2)

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        return self.value(theta), [self.rows.T @ (self.rows @ theta[0]) / len(self)]

    def hessian(self, theta: Vector) -> Callable[[Vector], Vector]:
        return lambda vector: self.value_and_gradient(vector)[1]

    def take(self, samples: slice | Tensor) -> "Quadratic":
        return Quadratic(self.weight, self.rows[samples])


def test_a_sum_is_taken_as_it_is_over_its_own_parameters_and_differentiated_over_others() -> None:
    first, second = (nn.Parameter(torch.randn(3).double()) for _ in range(2))
    total = Quadratic(first, torch.randn(8, 3).double())
    assert as_sum(total, Layout([[first]])) is total
    other = as_sum(total, Layout([[first], [second]]))
    assert isinstance(other, BatchSum)
    theta = start(other.layout)
    value, gradient = total.value_and_gradient(theta[:1])
    found = other.value_and_gradient(theta)
    assert found[0] == pytest.approx(value, rel=1e-14)
    torch.testing.assert_close(found[1], [*gradient, torch.zeros(3).double()])


def test_evaluations_are_counted_by_their_samples() -> None:
    weight = nn.Parameter(torch.randn(3).double())
    counts = SumCounts()
    total = CountedSum(Quadratic(weight, torch.randn(8, 3).double()), counts)
    theta = start(total.layout)
    total.value(theta)
    total.value_and_gradient(theta)
    half = total.take(slice(0, 4))
    assert (total.share, half.share, len(half)) == (1.0, 0.5, 4)
    half.value(theta)
    quarter = half.take(torch.tensor([1, 2]))
    quarter.gradient_change(theta, theta)
    multiply = quarter.hessian(theta)
    for _ in range(3):
        multiply(theta)
    assert counts == SumCounts(
        values=1.5, gradients=1.5, hessians=0.25, products=0.75, cg_iterations=3
    )
    assert (counts.forwards, counts.backwards) == (3.0, 1.5)


def test_counting_changes_no_result(theta: Vector) -> None:
    model = network()
    plain, counted = sum_of(model), CountedSum(sum_of(model), SumCounts())
    shift = directions(theta)[0]
    assert plain.value(theta) == counted.value(theta)
    for mine, theirs in (
        (plain.value_and_gradient(theta)[1], counted.value_and_gradient(theta)[1]),
        (plain.hessian(theta)(shift), counted.hessian(theta)(shift)),
        (plain.gradient_change(theta, shift), counted.gradient_change(theta, shift)),
    ):
        assert all(map(torch.equal, mine, theirs))


def test_a_closure_counts_as_one_without_telling_its_samples() -> None:
    model, counts = network(), SumCounts()
    total = CountedSum(as_sum(WholeBatch(batch_of(model)), layout_of(model)), counts)
    total.value(start(total.layout))
    assert counts.values == 1.0


def test_products_equal_the_dense_hessian(theta: Vector) -> None:
    model = network()
    total = sum_of(model)
    inputs, targets = data()

    def flat_loss(flat: Tensor) -> Tensor:
        first, second = flat[:25], flat[25:]
        hidden = (inputs @ first[:20].view(5, 4).T + first[20:]).tanh()
        outputs = hidden @ second[:10].view(2, 5).T + second[10:]
        return (outputs - targets).square().mean() + 0.05 * flat.square().sum()

    dense = torch.autograd.functional.hessian(flat_loss, torch.cat(theta))
    shift = directions(theta)[0]
    expected = np.asarray(dense) @ np.asarray(torch.cat(shift))
    np.testing.assert_allclose(torch.cat(total.hessian(theta)(shift)), expected, rtol=1e-11)
