"""Counts on real sets beside those of another program, where there are the files."""

from typing import Any

import pytest
import torch
from torch import nn

import napts
from napts.optim.sums import FiniteSum
from napts.problems import DataMissing, get_problem
from napts.problems.logistic import Logistic


def _sum(name: str, **options: Any) -> tuple[nn.Parameter, FiniteSum]:
    problem = get_problem(name, options)
    assert isinstance(problem, Logistic)
    try:
        samples = problem.load(dtype=torch.float64).train.all()
    except DataMissing:
        pytest.skip("needs the file")
    model = problem.build_model(0).double()
    (weight,) = model.parameters()
    assert isinstance(weight, nn.Parameter)
    return weight, problem.sum(model, samples)


def _until(optimizer: Any, total: FiniteSum, tolerance: float) -> dict[str, float]:
    """Step until the gradient is small; return counts."""
    names = ("accepted", "backwards", "hessians", "hessian_products")
    spent = dict.fromkeys(("steps", *names), 0.0)
    while spent["steps"] < 100:
        optimizer.step(total)
        spent["steps"] += 1
        for name in names:
            spent[name] += getattr(optimizer.last_step, name)
        (gradient,) = total.value_and_gradient(total.layout.read())[1]
        if torch.linalg.vector_norm(gradient) <= tolerance:
            break
    return spent


@pytest.mark.parametrize(
    ("name", "options", "steps", "products"),
    [
        ("australian-scale-logistic", {"penalty": 1e-3}, 6, 52),
        ("a9a-logistic", {}, 40, 389),
    ],
)
def test_trust_region_newton(name: str, options: Any, steps: int, products: int) -> None:
    weight, total = _sum(name, **options)
    spent = _until(napts.TRNewton([weight]), total, 1e-6)
    assert (spent["steps"], spent["hessian_products"]) == (steps, products)


@pytest.mark.parametrize("seed", range(3))
def test_astrom_takes_a_tenth_of_the_products(seed: int) -> None:
    """The other program: 22 iterations, 27 gradients, 4.2 Hessians, 41 products, no rejection."""
    weight, total = _sum("a9a-logistic")
    spent = _until(napts.ASTROM([weight], share=0.1, seed=seed), total, 1e-6)
    assert spent["steps"] == pytest.approx(22, abs=6)
    assert spent["backwards"] == pytest.approx(27, abs=7)
    assert spent["hessians"] == pytest.approx(4.2, abs=1.5)
    assert spent["hessian_products"] == pytest.approx(41, abs=15)
