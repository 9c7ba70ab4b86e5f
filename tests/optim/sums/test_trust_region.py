"""ASTROM and the trust-region Newton method: beside loops in NumPy, their counts, their guard."""

from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

import napts
from napts.optim.sums import BatchSum, FiniteSum, LogisticSum
from napts.optim.vectors import Layout
from tests.helpers.sums import FEATURES, PENALTY, SAMPLES, drawn, flat, sum_of, weight
from tests.reference import sums as reference

TIGHT = {"rtol": 0.0, "atol": 1e-12}


def test_the_trust_region_method_is_that_of_the_book() -> None:
    parameter, radius, steps = weight(), 0.2, 8
    optimizer = napts.TRNewton([parameter], radius=radius, cg_iterations=4)
    total = sum_of(parameter, flat())
    expected = reference.tr_newton(flat(), np.zeros(FEATURES), radius, steps, cap=4)
    radii = [radius]
    for theta, after, accepted in expected:
        optimizer.step(total)
        record = optimizer.last_step
        assert record is not None
        np.testing.assert_allclose(parameter.detach().numpy(), theta, **TIGHT)
        assert optimizer.radius == record.radius_after == after
        assert record.accepted is accepted
        assert record.radius_before == radii[-1]
        radii.append(after)
    assert max(radii) > min(radii)


@pytest.mark.parametrize("mu", [1, 2, 3])
def test_astrom_is_its_definition(mu: int) -> None:
    """Every iterate, radius and subset, accepted or not, until the subset is the whole."""
    parameter = weight()
    optimizer = napts.ASTROM(
        [parameter], share=0.1, coarse_steps=mu, cg_iterations=4, seed=5, radius=0.5
    )
    total = sum_of(parameter, flat())
    with drawn() as draws:
        optimizer.step(total)
    order = draws[0]
    assert sorted(order) == list(range(SAMPLES))
    found = [_state(parameter, optimizer)]
    rejected = 0
    for theta, radius, size, accepted in reference.astrom(
        flat(), np.zeros(FEATURES), order, 6, 0.5, mu, 12, cap=4
    ):
        ours, our_radius = found.pop()
        record = optimizer.last_step
        assert record is not None
        np.testing.assert_allclose(ours, theta, **TIGHT)
        assert our_radius == pytest.approx(radius, rel=1e-12)
        assert record.accepted is accepted
        rejected += not accepted
        if size == SAMPLES:
            break
        optimizer.step(total)
        found.append(_state(parameter, optimizer))
        record = optimizer.last_step
        assert record is not None
        assert record.sample_fraction == pytest.approx(size / SAMPLES)
    assert rejected >= 3


def _state(parameter: nn.Parameter, optimizer: Any) -> tuple[np.ndarray, float]:
    return parameter.detach().numpy().copy(), optimizer.radius


def test_with_all_samples_it_is_the_trust_region_method_bit_for_bit() -> None:
    ours, theirs = weight(), weight()
    options: dict[str, Any] = {"radius": 0.3, "cg_iterations": 5}
    astrom = napts.ASTROM([ours], share=1.0, coarse_steps=1, **options)
    plain = napts.TRNewton([theirs], **options)
    sums = sum_of(ours, flat()), sum_of(theirs, flat())
    for _ in range(15):
        astrom.step(sums[0])
        plain.step(sums[1])
        assert torch.equal(ours, theirs)
        assert astrom.radius == plain.radius
        first, second = astrom.last_step, plain.last_step
        assert first is not None
        assert second is not None
        assert first.sample_fraction == 1.0
        assert first.as_dict() == {**second.as_dict(), "sample_fraction": 1.0}


def test_with_all_samples_a_step_is_several_iterations() -> None:
    ours, theirs = weight(), weight()
    astrom = napts.ASTROM([ours], share=1.0, coarse_steps=3, radius=0.3)
    plain = napts.TRNewton([theirs], radius=0.3)
    sums = sum_of(ours, flat()), sum_of(theirs, flat())
    for _ in range(4):
        astrom.step(sums[0])
        spent = 0.0
        for _ in range(3):
            plain.step(sums[1])
            assert plain.last_step is not None
            spent += plain.last_step.backwards
        assert torch.equal(ours, theirs)
        assert astrom.radius == plain.radius
        assert astrom.last_step is not None
        assert (len(astrom.last_step.trials), astrom.last_step.backwards) == (3, spent)


def _rejecting() -> tuple[nn.Parameter, FiniteSum]:
    """A sum on which long steps fail: sines, of a network's kind."""
    parameter = nn.Parameter(torch.tensor([0.4, -0.3]).double())
    samples = torch.linspace(-2.0, 2.0, 20).double()

    def loss(x: torch.Tensor) -> torch.Tensor:
        return (torch.sin(7 * parameter[0] * x) - 0.5 * x + parameter[1].square()).square().mean()

    return parameter, BatchSum(napts.Batch(loss, samples), Layout([[parameter]]))


@pytest.mark.parametrize("method", ["ASTROM", "TRNewton"])
def test_a_rejected_iteration_computes_no_gradient_of_all_samples(method: str) -> None:
    parameter, total = _rejecting()
    more = {"share": 0.1, "seed": 0, "coarse_steps": 1} if method == "ASTROM" else {}
    optimizer: Any = getattr(napts, method)([parameter], radius=2.0, **more)
    verdicts = []
    with mock.patch.object(total, "value_and_gradient", wraps=total.value_and_gradient) as full:
        for _ in range(30):
            at = parameter.detach().clone()
            optimizer.step(total)
            verdicts.append(optimizer.last_step.accepted)
            assert torch.equal(at, parameter) is not verdicts[-1]
    assert verdicts.count(False) >= 3
    # The gradient where the last step has led to is left to the next one.
    assert full.call_count == 1 + sum(verdicts[:-1])


def test_what_was_saved_is_verified_and_that_is_counted_apart() -> None:
    parameter, total = _rejecting()
    optimizer = napts.TRNewton([parameter], radius=2.0)
    for _ in range(30):
        optimizer.step(total)
        if optimizer.last_step is not None and not optimizer.last_step.accepted:
            break
    at = parameter.detach().clone()
    for same in (True, False):
        again = napts.TRNewton([parameter])
        again.load_state_dict(optimizer.state_dict())
        with torch.no_grad():
            parameter.copy_(at)
        again.step(total if same else total.take(slice(0, 10)))
        record = again.last_step
        assert record is not None
        assert (record.checks, record.backwards) == ((1, 0.0) if same else (0, 1.0))


def test_counts_of_an_iteration_on_a_subset() -> None:
    """One full gradient and value if accepted; on the subset as many as there are steps."""
    parameter = weight()
    optimizer = napts.ASTROM([parameter], share=0.5, seed=1, coarse_steps=2, cg_iterations=3)
    total, before = sum_of(parameter, flat()), True
    for _ in range(6):
        optimizer.step(total)
        record = optimizer.last_step
        assert record is not None
        if record.sample_fraction == 1.0:
            break
        whole = 1.0 if before else 0.0
        coarse = (record.backwards - whole) / 0.5
        assert coarse in (1.0, 2.0)
        # A further Hessian where a coarse step was accepted, and went on from there.
        assert record.hessians == 0.5 * coarse
        # Values: each coarse trial, and the trial of all samples; gradients bring their own.
        assert record.forwards - record.backwards in (1.0 + 0.5, 1.0 + 1.0)
        assert record.hessian_products == 0.5 * (record.cg_iterations or 0)
        before = record.accepted


def test_the_subset_grows_when_a_step_is_rejected_and_keeps_its_samples() -> None:
    parameter = weight()
    optimizer = napts.ASTROM([parameter], share=0.05, seed=2, radius=5.0)
    total = sum_of(parameter, flat())
    fractions, verdicts, losses = [], [], []
    for _ in range(40):
        losses.append(optimizer.step(total))
        record = optimizer.last_step
        assert record is not None
        fractions.append(record.sample_fraction)
        verdicts.append(record.accepted)
    grown = [after > before for before, after in pairwise(fractions)]
    below = [fraction < 1.0 for fraction in fractions[:-1]]
    expected = [not accepted and less for accepted, less in zip(verdicts, below, strict=False)]
    assert grown == expected
    assert sum(grown) >= 3
    assert fractions[-1] == 1.0
    tolerance = 1e-14 * losses[0]
    assert all(b <= a + tolerance for a, b in pairwise(losses))


def test_coarse_steps_stay_within_the_radius() -> None:
    parameter = weight()
    optimizer = napts.ASTROM([parameter], share=0.2, seed=2, radius=0.1, coarse_steps=4)
    total = sum_of(parameter, flat())
    for _ in range(15):
        before, radius = parameter.detach().clone(), optimizer.radius
        optimizer.step(total)
        if optimizer.last_step is not None and optimizer.last_step.sample_fraction == 1.0:
            break
        assert torch.linalg.vector_norm(parameter.detach() - before) <= radius * (1 + 1e-12)


@pytest.mark.parametrize("method", ["ASTROM", "TRNewton"])
def test_the_guard_against_rounding_leads_to_the_last_digits(method: str) -> None:
    """Where differences of losses are noise, good steps are not rejected."""

    def gradient_after(rounding: float) -> tuple[float, int, float]:
        parameter = weight()
        optimizer: Any = getattr(napts, method)([parameter], rounding=rounding)
        total, rejected = sum_of(parameter, flat()), 0
        for _ in range(60):
            optimizer.step(total)
            rejected += not optimizer.last_step.accepted
        found = total.value_and_gradient([parameter.detach()])[1][0]
        return float(torch.linalg.vector_norm(found)), rejected, optimizer.radius

    torch.manual_seed(0)
    norm, _, radius = gradient_after(10.0)
    assert norm < 1e-14
    assert radius > 1e-3
    torch.manual_seed(0)
    _, rejected, radius = gradient_after(0.0)
    assert rejected > 20
    assert radius < 1e-3


def test_a_closure_will_do_for_the_trust_region_method() -> None:
    parameter, problem = weight(), flat()
    inputs, labels = torch.from_numpy(problem.x), torch.from_numpy(problem.c)

    def loss() -> torch.Tensor:
        margins = labels * (inputs @ parameter)
        return -nn.functional.logsigmoid(margins).mean() + PENALTY / 2 * parameter.square().sum()

    other = weight()
    optimizer, analytic = napts.TRNewton([parameter]), napts.TRNewton([other])
    total = sum_of(other, problem)
    assert isinstance(total, LogisticSum)
    for _ in range(8):
        optimizer.step(loss)
        analytic.step(total)
    torch.testing.assert_close(parameter, other, rtol=0, atol=1e-12)
