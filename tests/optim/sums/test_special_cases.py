"""MLVR and its special cases, beside loops in NumPy that know nothing of levels."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import napts
from tests.helpers.sums import FEATURES, SAMPLES, drawn, flat, sum_of, weight
from tests.reference import sums as reference

STEPS = 8
TIGHT = {"rtol": 0.0, "atol": 1e-12}


def _run(
    method: Any, steps: int = STEPS, **options: Any
) -> tuple[list[np.ndarray], list[list[int]]]:
    """Return the iterates and what was drawn."""
    parameter = weight()
    optimizer, total = method([parameter], seed=3, **options), sum_of(parameter, flat())
    iterates = []
    with drawn() as draws:
        for _ in range(steps):
            optimizer.step(total)
            iterates.append(parameter.detach().numpy().copy())
    return iterates, draws


def _same(found: list[np.ndarray], expected: Any) -> None:
    expected = list(expected)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **TIGHT)
    assert np.linalg.norm(found[-1]) > 0.1


NEWTON = {
    "shares": (0.3,),
    "smoothing_steps": 0,
    "coarse_steps": 1,
    "line_search": False,
    "cg_iterations": 50,
    "cg_tolerance": 1e-15,
}


def test_one_newton_step_on_a_subset_is_sub_sampled_newton() -> None:
    iterates, draws = _run(napts.MLVR, lr=0.5, **NEWTON)
    problem, theta, expected = flat(), np.zeros(FEATURES), []
    for draw in draws:
        assert len(draw) == 18
        hessian = problem.hessian(theta, draw)
        theta = theta - 0.5 * np.linalg.solve(hessian, problem.gradient(theta))
        expected.append(theta)
    _same(iterates, expected)


@pytest.mark.parametrize("length", [0.5, None])
def test_ssn_is_sub_sampled_newton(length: float | None) -> None:
    iterates, draws = _run(napts.SSN, share=0.3, lr=length, cg_iterations=4)
    assert all(len(draw) == 18 for draw in draws)
    _same(iterates, reference.ssn(flat(), np.zeros(FEATURES), draws, length, cap=4))


@pytest.mark.parametrize("samples", [1, 6])
def test_gradient_steps_on_drawn_samples_are_svrg(samples: int) -> None:
    inner, eta = 5, 0.05
    iterates, draws = _run(
        napts.MLVR,
        shares=(samples / SAMPLES,),
        resample="step",
        smoothing_steps=0,
        coarse_solver="gd",
        coarse_steps=inner,
        lr=eta,
        line_search=False,
    )
    assert len(draws) == STEPS * inner
    assert all(len(draw) == samples for draw in draws)
    rounds = [draws[k : k + inner] for k in range(0, len(draws), inner)]
    _same(iterates, reference.svrg(flat(), np.zeros(FEATURES), rounds, eta))


def test_all_samples_on_the_coarse_level_are_the_coarse_solver() -> None:
    """No correction, no further gradient: gradient descent."""
    parameter = weight()
    optimizer = napts.MLVR(
        [parameter],
        shares=(1.0,),
        smoothing_steps=0,
        coarse_solver="gd",
        coarse_steps=3,
        lr=0.05,
        line_search=False,
    )
    total, problem, theta = sum_of(parameter, flat()), flat(), np.zeros(FEATURES)
    for _ in range(STEPS):
        optimizer.step(total)
        for _ in range(3):
            theta = theta - 0.05 * problem.gradient(theta)
        np.testing.assert_allclose(parameter.detach().numpy(), theta, **TIGHT)
        record = optimizer.last_step
        assert record is not None
        assert (record.backwards, record.forwards, record.sample_fraction) == (3, 3, 1.0)


@pytest.mark.parametrize("coarse", ["newton", "gd"])
@pytest.mark.parametrize("shares", [(0.2,), (0.1, 0.4)])
def test_cycles_over_nested_subsets(coarse: Any, shares: tuple[float, ...]) -> None:
    iterates, draws = _run(napts.MLVR, shares=shares, coarse_solver=coarse, coarse_steps=4)
    assert len(draws) == STEPS
    sizes = [round(share * SAMPLES) for share in shares]
    nested = [[draw[:size] for size in sizes] for draw in draws]
    _same(iterates, reference.mlvr(flat(), np.zeros(FEATURES), nested, coarse, 4))


def test_subsets_that_are_not_nested() -> None:
    shares = (0.1, 0.4)
    iterates, draws = _run(napts.MLVR, shares=shares, coarse_steps=2, nested=False)
    pairs = [draws[k : k + 2] for k in range(0, len(draws), 2)]
    assert [len(draw) for draw in pairs[0]] == [6, 24]
    assert any(not set(small) <= set(large) for small, large in pairs)
    _same(iterates, reference.mlvr(flat(), np.zeros(FEATURES), pairs, "newton", 2))


def test_subsets_that_stay() -> None:
    iterates, draws = _run(napts.MLVR, shares=(0.2,), coarse_steps=2, resample="never")
    assert len(draws) == 1
    kept = [[draws[0][:12]]] * STEPS
    _same(iterates, reference.mlvr(flat(), np.zeros(FEATURES), kept, "newton", 2))


def test_what_a_step_of_mlvr_costs() -> None:
    """Two gradients of all samples with smoothing, one without, and five of the subset."""
    for smoothing, full in ((1, 2.0), (0, 1.0)):
        parameter = weight()
        optimizer = napts.MLVR([parameter], shares=(0.1,), smoothing_steps=smoothing)
        optimizer.step(sum_of(parameter, flat()))
        record = optimizer.last_step
        assert record is not None
        assert record.backwards == pytest.approx(full + 5 * 0.1)
        assert record.hessians == pytest.approx(5 * 0.1)
        assert record.cg_iterations is not None
        assert record.hessian_products == pytest.approx(0.1 * record.cg_iterations)
        assert record.sample_fraction == pytest.approx(0.1)
        assert record.radius_before is record.radius_after is None


def test_a_step_of_ssn_costs_one_gradient() -> None:
    parameter = weight()
    optimizer = napts.SSN([parameter], share=0.5, lr=1.0, cg_iterations=3)
    optimizer.step(sum_of(parameter, flat()))
    record = optimizer.last_step
    assert record is not None
    assert (record.backwards, record.forwards) == (1.0, 1.0)
    assert (record.hessians, record.hessian_products, record.cg_iterations) == (0.5, 1.5, 3)


def test_a_cycle_of_a_convex_sum_never_rises() -> None:
    parameter = weight()
    optimizer = napts.MLVR([parameter], shares=(0.05, 0.3), cycle="W", post_smoothing_steps=1)
    total = sum_of(parameter, flat())
    losses: list[float] = [optimizer.step(total) for _ in range(20)]
    assert all(after <= before for before, after in pairwise(losses))
    gradient: Tensor = total.value_and_gradient([parameter.detach()])[1][0]
    assert torch.linalg.vector_norm(gradient) < 1e-5
