"""SVRG and SARAH, beside loops in NumPy, and how their batches are drawn."""

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim.batch import Batch
from napts.optim.sums import CountedSum, LogisticSum, SumCounts
from napts.optim.sums.inner_batches import Draw, InnerBatches, Part
from napts.optim.sums.sampling import Sampling
from tests.helpers.sums import FEATURES, PENALTY, SAMPLES, flat, sum_of, weight
from tests.reference import sums as reference

METHODS: Any = pytest.mark.parametrize("method", [napts.SVRG, napts.SARAH])
DRAWS: Any = pytest.mark.parametrize("draw", ["blocks", "reshuffled", "independent"])
STEPS = 6


class Noted(LogisticSum):
    """A sum that notes which samples are taken."""

    numbers: Tensor

    def take(self, samples: slice | Tensor) -> "Noted":
        """Return some of the samples, which are known by their numbers."""
        assert isinstance(samples, Tensor)
        part = Noted(self.layout, self.rows.take(samples), self.penalty)
        part.numbers = samples
        return part

    def prepared(self) -> "Noted":
        return self


def noted(samples: int = SAMPLES) -> Noted:
    parameter, problem = weight(), flat(samples=samples)
    plain = sum_of(parameter, problem)
    return Noted(plain.layout, plain.rows, plain.penalty)


def drawn(total: Noted, batches: InnerBatches, sampling: Sampling, steps: int) -> list[Part]:
    return list(batches.of(total, CountedSum(total, SumCounts()), sampling, steps))


def numbers(part: Part) -> list[int]:
    assert isinstance(part.total, Noted)
    return part.total.numbers.tolist()


@METHODS
@DRAWS
@pytest.mark.parametrize("batch", [1, 7, None])
def test_it_is_the_loop_of_its_paper(method: Any, draw: Draw, batch: int | None) -> None:
    """With blocks the weights are 1, so that 7 of 60 samples do not divide them: 8 blocks."""
    inner, rate = 9, 0.25
    parameter = weight()
    total = sum_of(parameter, flat())
    options = {"snapshot_steps": inner, "batch": batch, "draw": draw, "lr": rate, "seed": 5}
    optimizer = method([parameter], **options)
    rounds, weights = _draws_of(options)
    eta = rate / total.curvature
    loop = reference.svrg if method is napts.SVRG else reference.sarah
    problem: Any = _Weighted(flat(), weights)
    for expected in loop(problem, np.zeros(FEATURES), rounds, eta):
        optimizer.step(total)
        np.testing.assert_allclose(parameter.detach(), expected, rtol=0, atol=1e-12)
    assert parameter.detach().norm() > 0.1


class _Weighted:
    """A flat problem whose gradients of blocks have weights."""

    def __init__(self, problem: reference.Logistic, weights: dict[tuple[int, ...], float]) -> None:
        self._problem, self._weights = problem, weights

    def gradient(self, theta: np.ndarray, draw: list[int] | None = None) -> np.ndarray:
        if draw is None:
            return self._problem.gradient(theta)
        return self._weights[tuple(draw)] * self._problem.gradient(theta, draw)


def _draws_of(options: dict[str, Any]) -> tuple[Any, dict[tuple[int, ...], float]]:
    """Return what a method with these options draws, round by round."""
    total, sampling = noted(), Sampling(options["seed"])
    batches = InnerBatches(options["batch"], options["draw"])
    parts = [drawn(total, batches, sampling, options["snapshot_steps"]) for _ in range(STEPS)]
    weights = {tuple(numbers(part)): part.weight for each in parts for part in each}
    return [[numbers(part) for part in each] for each in parts], weights


@METHODS
@pytest.mark.parametrize("batch", [SAMPLES, 10 * SAMPLES])
def test_with_all_samples_in_each_step_it_is_gradient_descent(method: Any, batch: int) -> None:
    parameter = weight()
    total, theta = sum_of(parameter, flat()), np.zeros(FEATURES)
    optimizer = method([parameter], batch=batch, snapshot_steps=4, lr=0.5)
    for _ in range(3):
        optimizer.step(total)
        for _ in range(4 if method is napts.SVRG else 5):
            theta = theta - 0.5 / total.curvature * flat().gradient(theta)
    np.testing.assert_allclose(parameter.detach(), theta, rtol=0, atol=1e-13)


@METHODS
@DRAWS
def test_it_finds_the_minimum(method: Any, draw: Draw) -> None:
    parameter = weight()
    total = sum_of(parameter, flat())
    optimizer = method([parameter], lr=1.0, batch=3, draw=draw, seed=0)
    for _ in range(150):
        optimizer.step(total)
    (gradient,) = total.value_and_gradient([parameter.detach()])[1]
    assert gradient.norm() < 1e-4


@METHODS
@DRAWS
def test_what_a_step_costs(method: Any, draw: Draw) -> None:
    parameter = weight()
    optimizer = method([parameter], batch=6, snapshot_steps=20, draw=draw)
    optimizer.step(sum_of(parameter, flat()))
    record = optimizer.last_step
    assert record.backwards == record.forwards == pytest.approx(1 + 20 * 2 * 6 / SAMPLES)
    assert record.sample_fraction == 6 / SAMPLES
    assert (record.hessians, record.hessian_products, record.cg_iterations) == (0, 0, 0)
    assert record.accepted
    assert record.radius_before is record.radius_after is None
    assert record.loss == pytest.approx(np.log(2))
    assert record.step_norm == pytest.approx(parameter.detach().norm().item())


def test_defaults_are_a_hundredth_of_the_samples_a_hundred_times() -> None:
    assert [InnerBatches(None, "blocks").size(count) for count in (1, 99, 690, 32561)] == [
        *(1, 1, 6, 325)
    ]
    total = noted(samples=690)
    parts = drawn(total, InnerBatches(None, "blocks"), Sampling(0), 100)
    assert {len(part.total) for part in parts} == {6}


@pytest.mark.parametrize(("samples", "size"), [(60, 7), (60, 60), (61, 2), (5, 1)])
def test_blocks_are_a_partition_and_unbiased(samples: int, size: int) -> None:
    total = noted(samples)
    batches, sampling = InnerBatches(size, "blocks"), Sampling(1)
    parts = drawn(total, batches, sampling, 40 * samples)
    blocks = {tuple(numbers(part)): part for part in parts}
    assert sorted(n for block in blocks for n in block) == list(range(samples))
    assert len(blocks) == samples // size
    lengths = {len(block) for block in blocks}
    assert lengths <= {min(lengths), min(lengths) + 1}
    assert min(lengths) >= size
    theta = [torch.linspace(-1, 1, FEATURES).double()]
    mean = sum(p.weight * p.total.value_and_gradient(theta)[1][0] for p in blocks.values())
    (whole,) = total.value_and_gradient(theta)[1]
    torch.testing.assert_close(mean / len(blocks), whole, rtol=1e-12, atol=1e-14)
    # The same blocks later, which are not taken again.
    later = drawn(total, batches, sampling, 10)
    assert all(any(part is known for known in blocks.values()) for part in later)


def test_blocks_of_another_sum_are_its_own() -> None:
    first, second = noted(), noted()
    batches, sampling = InnerBatches(7, "blocks"), Sampling(1)
    before = drawn(first, batches, sampling, 50)
    after = drawn(second, batches, sampling, 50)
    assert {tuple(numbers(p)) for p in before} >= {tuple(numbers(p)) for p in after}
    assert not any(a.total is b.total for a in before for b in after)


def test_blocks_of_a_loss_with_random_numbers_are_new_in_every_step() -> None:
    """Else a block would keep its first dropout masks for ever."""
    torch.manual_seed(0)
    weight_ = nn.Parameter(torch.ones(4).double())
    batch = Batch(
        lambda x: nn.functional.dropout(x * weight_).square().mean(), torch.ones(6, 4).double()
    )
    optimizer = napts.SVRG([weight_], batch=2, snapshot_steps=8, lr=1e-3)
    seen = []
    for _ in range(2):
        optimizer.step(batch)
        seen.append([part.total for part in optimizer._batches._blocks.values()])
    assert not any(old is new for old in seen[0] for new in seen[1])


def test_without_replacement_until_all_are_drawn() -> None:
    total, batches = noted(), InnerBatches(7, "reshuffled")
    parts = drawn(total, batches, Sampling(1), 20)
    for first in (0, 8, 16):
        seen = Counter(n for part in parts[first : first + 8] for n in numbers(part))
        assert max(seen.values()) == 1
    assert all(len(part.total) == 7 and part.weight == 1 for part in parts)
    assert numbers(parts[0]) != numbers(parts[8])


def test_independent_samples_repeat() -> None:
    total = noted(samples=10)
    parts = drawn(total, InnerBatches(10, "independent"), Sampling(1), 200)
    assert any(len(set(numbers(part))) < 10 for part in parts)
    seen = Counter(n for part in parts for n in numbers(part))
    assert all(140 < seen[n] < 270 for n in range(10))


@METHODS
@DRAWS
def test_a_resumed_optimizer_goes_on_bit_for_bit(method: Any, draw: Draw) -> None:
    options = {"draw": draw, "snapshot_steps": 5, "batch": 4, "lr": 0.5}
    torch.manual_seed(7)
    parameter = weight()
    optimizer = method([parameter], **options)
    for _ in range(3):
        optimizer.step(sum_of(parameter, flat()))
    states = copy.deepcopy((parameter.detach(), optimizer.state_dict()))
    for _ in range(3):
        optimizer.step(sum_of(parameter, flat()))
    torch.manual_seed(1234)
    other = nn.Parameter(states[0])
    resumed = method([other], **options)
    resumed.load_state_dict(states[1])
    for _ in range(3):
        resumed.step(sum_of(other, flat()))
    assert torch.equal(other, parameter)


@METHODS
def test_a_networks_loss(method: Any) -> None:
    """Of any batch whose samples are known; the learning rate is then a plain factor."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    inputs = torch.randn(50, 3).double()

    def loss(samples: Any) -> Tensor:
        x, y = samples
        return (model(x) - y).square().mean()

    data = (inputs, inputs.sum(1, keepdim=True).sin())
    optimizer = method(model.parameters(), lr=0.05, batch=5, snapshot_steps=20)
    losses = [optimizer.step(Batch(loss, data)) for _ in range(20)]
    assert losses[-1] < 0.3 * losses[0]
    with pytest.raises(ValueError, match="a closure cannot give"):
        optimizer.step(lambda: loss(data))


@METHODS
def test_a_rate_that_is_too_large_ends_in_a_loss_that_is_not_finite(method: Any) -> None:
    weight_ = nn.Parameter(torch.ones(2).double())
    optimizer = method([weight_], lr=1e6, batch=1, snapshot_steps=60)
    batch = Batch(lambda x: (x @ weight_).pow(4).mean(), torch.eye(2).double().repeat(5, 1))
    losses = [optimizer.step(batch) for _ in range(3)]
    assert not np.isfinite(losses[-1])
    assert not optimizer.last_step.accepted


@METHODS
def test_options_are_checked(method: Any) -> None:
    for options, message in (
        ({"lr": 0.0}, r"Invalid lr: 0.0, must be above 0"),
        ({"batch": 0}, r"Invalid batch: 0, must be integer"),
        ({"snapshot_steps": 0}, r"Invalid snapshot_steps: 0, must be integer"),
        ({"draw": "all"}, r"Invalid draw: all, must be one of blocks, reshuffled, independent"),
    ):
        with pytest.raises(ValueError, match=message):
            method([weight()], **options)


def test_the_learning_rate_is_in_units_of_the_curvature() -> None:
    parameters = [weight(), weight()]
    first, second = (sum_of(parameter, flat()) for parameter in parameters)
    assert first.curvature == pytest.approx(
        max(float(row @ row) for row in flat().x) / 4 + PENALTY, rel=1e-14
    )
    napts.SVRG(parameters[:1], seed=1).step(first)
    # The same as a batch whose curvature nobody knows.
    plain = Batch(lambda rows: _loss(parameters[1], rows), second.rows.matrix)
    napts.SVRG(parameters[1:], seed=1, lr=0.125 / first.curvature).step(plain)
    torch.testing.assert_close(*parameters, rtol=1e-12, atol=1e-14)


def _loss(parameter: Tensor, rows: Tensor) -> Tensor:
    penalty = 0.5 * PENALTY * parameter.square().sum()
    return penalty - nn.functional.logsigmoid(rows @ parameter).mean()
