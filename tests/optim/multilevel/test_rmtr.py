"""RMTR: what holds for every cycle, its counts, its limits, and the same in flat NumPy."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

import napts
from napts.optim import vectors
from napts.optim.local_solver import Allowance
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.multilevel import cycle
from napts.optim.multilevel.hierarchy import LevelSum
from napts.optim.multilevel.level import Corrected
from napts.optim.quadratic_model import SecondOrder
from napts.optim.vectors import Vector
from tests.helpers.residual import WIDTH, batch_of, network, rmtr, samples, where
from tests.reference.two_levels import Network, TwoLevels

SETTINGS: list[dict[str, Any]] = [
    {},
    {"levels": 2, "kappa": 0.0, "radius": 4.0},
    {"cycle": "W", "post_smoothing_steps": 1},
    {"cycle": "F", "nested_steps": 2},
    {"model": "first-order", "smoothing_steps": 2},
    {"model": "newton-cg"},
    {"coarse_only": True, "radius": 0.1},
    {"smoothing_steps": 0, "levels": 4},
]


def values(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, before, after))


@pytest.mark.parametrize("options", SETTINGS)
def test_the_loss_never_rises_and_parameters_change_just_with_an_accepted_step(
    options: dict[str, Any],
) -> None:
    model = network(8)
    optimizer, batch = rmtr(model, **options), batch_of(model)
    trained, losses = [], []
    for _ in range(14):
        before = values(model)
        trained.append(optimizer._level)
        losses.append(optimizer.step(batch))
        record = optimizer.last_step
        assert record is not None
        assert record.accepted == (not same(before, values(model)))
        for trial in record.trials:
            gained = trial.loss - trial.trial_loss
            assert trial.accepted == (gained >= 0.1 * trial.predicted_reduction > 0.0)
    losses.append(batch().item())
    trained.append(trained[-1])
    for step in range(14):
        # An F-cycle goes on with another network.
        assert losses[step + 1] <= losses[step] or trained[step + 1] != trained[step]
    assert losses[-1] < 0.5 * losses[0]
    assert trained[-1] == options.get("levels", 3) - 1


def depth_of(theta: Vector) -> int:
    """Return the number of blocks of the network whose parameters these are."""
    return theta[-1].numel() // (WIDTH * WIDTH + WIDTH)


@contextmanager
def watched(name: str, owner: Any) -> Iterator[list[tuple[Any, ...]]]:
    """Note the results of a method."""
    found, own = [], getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        result = own(self, *arguments, **named)
        found.append((self, arguments, result))
        return result

    with mock.patch.object(owner, name, wrapped):
        yield found


@pytest.mark.parametrize("transfer", ["cell", "nodal", "nodal-weighted"])
def test_every_coarse_function_has_the_gradient_of_the_finer_level(transfer: str) -> None:
    model = network(9 if transfer != "cell" else 8)
    optimizer = rmtr(model, transfer=transfer, kappa=0.0)
    with watched("consistent", cycle.Levels) as found:
        for _ in range(4):
            optimizer.step(batch_of(model))
    assert {arguments[0] for _, arguments, _ in found} == {0, 1}
    for levels, (level, fine, origin, slope), function in found:
        assert isinstance(function, Corrected)
        torch.testing.assert_close(slope, levels.transfer(level).restrict(fine.slope))
        again = [flat.clone() for flat in origin]
        with torch.no_grad():
            _, gradient = function.value_and_gradient(again)
        torch.testing.assert_close(gradient, slope, rtol=0.0, atol=1e-14)


def test_all_coarse_steps_together_stay_in_the_region_of_the_finer_level() -> None:
    model = network(8)
    optimizer = rmtr(model, kappa=0.0, coarse_steps=9)
    norms = []
    with watched("_descend", cycle.Cycle) as found:
        for _ in range(10):
            optimizer.step(batch_of(model))
    for _, (levels, level, _, _, radius), visit in found:
        transfer = levels.transfer(level)
        lifted = transfer.prolong(vectors.subtract(visit.theta, visit.origin))
        norms.append(vectors.norm(lifted, "l2") / (radius * transfer.stretch))
    assert len(norms) == 20
    assert 0.5 < max(norms) <= 1.0 + 1e-12


def test_memories_of_coarse_levels_are_empty_at_descent_and_that_of_the_finest_stays() -> None:
    model = network(8)
    optimizer = rmtr(model, kappa=0.0)
    known: dict[int, list[int]] = {2: [], 4: [], 8: []}
    own = LocalTrustRegion.minimise

    def minimise(self: Any, problem: Any, allowance: Allowance) -> Any:
        models = problem.models()
        assert isinstance(models, SecondOrder)
        known[depth_of(problem.start)].append(len(models.memory._pairs))
        return own(self, problem, allowance)

    with mock.patch.object(LocalTrustRegion, "minimise", minimise):
        for _ in range(6):
            optimizer.step(batch_of(model))
    assert set(known[4]) == set(known[2]) == {0}
    assert known[8][0] == 0
    assert known[8][-1] >= 5


def test_pairs_of_the_finest_level_are_of_one_batch() -> None:
    model = network(8)
    ours, others = rmtr(model, levels=1, coarse_steps=1), batch_of(model, key=None)
    for _ in range(5):
        ours.step(others)
    assert len(ours._memory.memory._pairs) == 0
    for key in ("a", "b", "b", "b"):
        ours.step(batch_of(model, key=key))
    assert len(ours._memory.memory._pairs) == 2


def test_a_coarse_step_costs_no_pass_of_a_finer_network() -> None:
    """And everything is counted: evaluations by level, and their shares of the finest network."""
    model = network(8)
    optimizer, most = rmtr(model, kappa=0.0, coarse_steps=4), 0
    own_value, own_both = LevelSum.value, LevelSum.value_and_gradient
    calls: dict[int, list[int]] = {}

    def value(self: LevelSum, theta: Vector) -> float:
        calls[depth_of(theta)][0] += 1
        return own_value(self, theta)

    def both(self: LevelSum, theta: Vector) -> Any:
        calls[depth_of(theta)][1] += 1
        return own_both(self, theta)

    for step in range(10):
        calls |= {2: [0, 0], 4: [0, 0], 8: [0, 0]}
        with (
            mock.patch.object(LevelSum, "value", value),
            mock.patch.object(LevelSum, "value_and_gradient", both),
        ):
            optimizer.step(batch_of(model))
        record = optimizer.last_step
        assert record is not None
        smoothed, _ = record.trials
        most = max(most, calls[2][1])
        # Finest: its two trials; the gradients where it starts and after an accepted step of its
        # own, but for the first where it is kept from a step that was rejected.
        assert calls[8][0] == 2
        assert calls[8][1] in (smoothed.accepted, 1 + smoothed.accepted)
        work = (record.work_level_1, record.work_level_2, record.work_level_3)
        assert work == tuple(calls[k][1] * k / 8 for k in (2, 4, 8))
        assert record.work_units == sum(calls[k][1] * k / 8 for k in calls)
        assert record.work_level_4 is None
        # A forward pass is 2 * 4 + 4 * 4 * K + 4 multiplications.
        share = {k: (12 + 16 * k) / (12 + 16 * 8) for k in calls}
        assert record.backwards == pytest.approx(sum(calls[k][1] * share[k] for k in calls))
        assert record.forwards == pytest.approx(sum(sum(calls[k]) * share[k] for k in calls))
        assert record.checks == (0 if step else 3)
        assert "hessians" not in record.as_dict()
    assert most >= 3


def test_an_f_cycle_spends_nothing_on_finer_networks_until_it_gets_there() -> None:
    model = network(8)
    optimizer, work, prolonged = rmtr(model, cycle="F", nested_steps=2, smoothing_steps=3), [], True
    for _ in range(16):
        optimizer.step(batch_of(model))
        record = optimizer.last_step
        assert record is not None
        work.append((record.work_level_1, record.work_level_2, record.work_level_3))
        theta, (*_, move) = where(optimizer), optimizer._hierarchy.transfers
        prolonged = same(move.prolong(move.project(theta)), theta)
        assert prolonged or len(work) > 4
    assert not prolonged
    assert all(one > 0.0 and two == three == 0.0 for one, two, three in work[:2])
    assert all(two > 0.0 and three == 0.0 for _, two, three in work[2:4])
    assert all(three > 0.0 for *_, three in work[4:])


def test_where_the_coarser_level_has_too_little_to_say_it_is_not_visited() -> None:
    model = network(8)
    optimizer = rmtr(model, levels=2, kappa=1e3)
    for _ in range(3):
        optimizer.step(batch_of(model))
        assert optimizer.last_step is not None
        assert optimizer.last_step.work_level_1 == 0.0


@pytest.mark.parametrize(
    ("model", "options"), [("sr1", {"order": 2, "pairs": 7}), ("first-order", {"order": 1})]
)
def test_one_level_is_the_trust_region_method(model: Any, options: dict[str, Any]) -> None:
    """The trajectory of TR with the same model."""
    region: dict[str, Any] = {"radius": 0.3, "radius_min": 1e-9, "radius_max": 1e3}
    first, second = network(8), network(8)
    one = rmtr(
        first, levels=1, coarse_steps=1, model=model, pairs=7, eta=0.25, rounding=0.0, **region
    )
    layout = one._hierarchy.layouts[0]
    numbers = [id(p) for p in first.parameters()]
    theirs = list(second.parameters())
    groups = [{"params": [theirs[numbers.index(id(p))] for p in b]} for b in layout.blocks]
    tr = napts.TR(groups, max_tries=1, **region, **options)
    for _ in range(25):
        losses = one.step(batch_of(first)), tr.step(batch_of(second))
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
        assert one.last_step is not None
        assert tr.last_step is not None
        assert one.last_step.radius_after == tr.last_step.radius_after
        assert one.last_step.accepted == tr.last_step.accepted
    for ours, other in zip(values(first), values(second), strict=True):
        torch.testing.assert_close(ours, other, rtol=0.0, atol=1e-11)


class Quadratic(nn.Module):
    """``sum_k (a_k . theta_k - 1)^2 dt``: linear in its blocks, a quadratic as a loss."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(3, 1, bias=False) for _ in range(blocks))
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = [block(x) for block in self.blocks]
        return torch.stack(outputs).sub(1.0).square().sum() / (len(self.blocks) * len(x))


def test_on_a_quadratic_two_levels_are_the_exact_coarse_correction() -> None:
    """Newton steps on the coarse level minimise over the range of the prolongation."""
    torch.manual_seed(2)
    model, x = Quadratic(4), torch.randn(10, 3).double()
    optimizer = rmtr(
        model, 2, model="newton-cg", smoothing_steps=0, coarse_steps=1, kappa=0.0,
        radius=1e6, cg_iterations=50, cg_tolerance=1e-14,
    )  # fmt: skip
    (theta,) = where(optimizer)
    rows = theta.view(4, 3).numpy().copy()
    optimizer.step(lambda: model(x))
    # Over s = I d: each pair of blocks moves by d, so that the mean residual of a pair vanishes.
    a = x.numpy()
    hessian = 2 * a.T @ a / (4 * len(a))
    g = np.array([2 * a.T @ (a @ row - 1.0) / (4 * len(a)) for row in rows])
    for pair in (0, 2):
        d = -np.linalg.solve(2 * hessian, g[pair] + g[pair + 1])
        rows[pair : pair + 2] += d
    (found,) = where(optimizer)
    np.testing.assert_allclose(found.view(4, 3).numpy(), rows, rtol=0.0, atol=1e-10)


def test_the_same_cycles_in_flat_numpy() -> None:
    """Against tests/reference/two_levels.py: losses, radii and parameters."""
    model = network(8)
    x, t = (part.numpy() for part in samples())
    fine, coarse = (Network(x, t[:, 0], WIDTH, blocks) for blocks in (8, 4))
    theirs = TwoLevels(fine, coarse)
    optimizer, batch = rmtr(model, 2, rounding=0.0), batch_of(model)
    theta = np.concatenate(where(optimizer))
    accepted = []
    for _ in range(12):
        loss = optimizer.step(batch)
        assert loss == pytest.approx(fine.loss_and_gradient(theta)[0], rel=1e-6)
        theta = theirs.cycle(theta)
        assert optimizer.radius == theirs.radius
        ours = np.concatenate(where(optimizer))
        np.testing.assert_allclose(ours, theta, rtol=0.0, atol=1e-6)
        assert optimizer.last_step is not None
        accepted += [trial.accepted for trial in optimizer.last_step.trials]
    assert len(accepted) == 24
    assert not all(accepted)


def test_a_loss_that_is_no_number_changes_nothing() -> None:
    model = network(8)
    optimizer, before = rmtr(model), values(model)
    assert math.isnan(optimizer.step(lambda: model(samples()[0]).sum() * math.nan))
    assert same(before, values(model))


def test_operations_are_counted_without_a_trace_among_random_numbers() -> None:
    model, seen = network(8), []

    def loss() -> torch.Tensor:
        noise = torch.randn(())
        seen.append(noise.item())
        return (model(inputs) + noise).square().mean()

    inputs = samples()[0]
    torch.manual_seed(5)
    expected = torch.randn(()).item()
    torch.manual_seed(5)
    rmtr(model).step(loss)
    assert seen[:4] == [expected] * 4  # one for each level's count, and the first evaluation
