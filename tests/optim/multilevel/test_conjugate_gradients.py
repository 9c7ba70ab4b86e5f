"""Truncated conjugate gradients, beside solves of NumPy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from napts.optim.multilevel.conjugate_gradients import ConjugateGradients
from napts.optim.vectors import Vector
from tests.reference.sums import steihaug

N = 12


def _matrix(eigenvalues: np.ndarray) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(len(eigenvalues),) * 2))
    return (q * eigenvalues) @ q.T


def _problem(eigenvalues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _matrix(eigenvalues), np.random.default_rng(2).normal(size=len(eigenvalues))


def _multiplying(matrix: np.ndarray) -> tuple[Callable[[Vector], Vector], list[Tensor]]:
    """Multiply in two blocks, as the vectors of several subdomains are."""
    seen: list[Tensor] = []

    def multiply(vector: Vector) -> Vector:
        seen.append(torch.cat(vector))
        return list((torch.from_numpy(matrix) @ torch.cat(vector)).split([5, len(matrix) - 5]))

    return multiply, seen


def _blocks(vector: np.ndarray) -> Vector:
    return list(torch.from_numpy(vector).split([5, len(vector) - 5]))


def test_the_newton_step_where_the_region_is_large() -> None:
    matrix, gradient = _problem(np.linspace(0.5, 4.0, N))
    multiply, seen = _multiplying(matrix)
    found = ConjugateGradients(50, 1e-13).solve(multiply, _blocks(gradient), 1e6)
    expected = np.linalg.solve(matrix, -gradient)
    np.testing.assert_allclose(torch.cat(found.step).numpy(), expected, atol=1e-11)
    assert found.end == "converged"
    assert found.iterations == len(seen) <= N + 3
    assert found.length == pytest.approx(np.linalg.norm(expected))
    assert found.predicted == pytest.approx(-0.5 * gradient @ expected, rel=1e-12)


@pytest.mark.parametrize("radius", [1e-3, 0.3, 1.0, 1.5])
@pytest.mark.parametrize("lowest", [0.5, -2.0])
def test_the_boundary_of_a_small_region(radius: float, lowest: float) -> None:
    matrix, gradient = _problem(np.linspace(lowest, 4.0, N))
    found = ConjugateGradients(10).solve(_multiplying(matrix)[0], _blocks(gradient), radius)
    expected, turns = steihaug(matrix, gradient, radius, 10, 1e-9)
    step = torch.cat(found.step).numpy()
    np.testing.assert_allclose(step, expected, atol=1e-11)
    assert found.iterations == turns
    assert found.length == pytest.approx(min(radius, float(np.linalg.norm(expected))), rel=1e-12)
    model = gradient @ step + 0.5 * step @ matrix @ step
    assert found.predicted == pytest.approx(-model, rel=1e-10)
    # At least what the gradient step to the boundary, or to its minimum, promises.
    along = gradient / np.linalg.norm(gradient)
    curvature = along @ matrix @ along
    length = radius if curvature <= 0 else min(radius, np.linalg.norm(gradient) / curvature)
    cauchy = length * np.linalg.norm(gradient) - 0.5 * length**2 * curvature
    assert found.predicted >= cauchy * (1 - 1e-12)


def test_negative_curvature_is_followed_to_the_boundary() -> None:
    matrix, gradient = _problem(np.full(N, -1.0))
    found = ConjugateGradients().solve(_multiplying(matrix)[0], _blocks(gradient), 3.0)
    assert (found.end, found.iterations) == ("curvature", 1)
    np.testing.assert_allclose(
        torch.cat(found.step).numpy(), -3.0 * gradient / np.linalg.norm(gradient), rtol=1e-14
    )


def test_without_a_region_negative_curvature_ends_it() -> None:
    """At first the gradient step, later the step so far, which descends."""
    matrix, gradient = _problem(np.full(N, -1.0))
    found = ConjugateGradients().solve(_multiplying(matrix)[0], _blocks(gradient))
    np.testing.assert_array_equal(torch.cat(found.step).numpy(), -gradient)
    matrix, gradient = _problem(np.array([*np.linspace(1.0, 3.0, N - 1), -0.01]))
    found = ConjugateGradients(50).solve(_multiplying(matrix)[0], _blocks(gradient))
    assert found.end == "curvature"
    assert found.iterations > 1
    assert gradient @ torch.cat(found.step).numpy() < 0
    assert math.isfinite(found.length)


def test_a_singular_matrix_gives_no_step_without_end() -> None:
    """What is left of the gradient has no curvature but that of rounding."""
    matrix, _ = _problem(np.array([1.0, 1.0, *np.zeros(N - 2)]))
    gradient = np.random.default_rng(2).normal(size=N)
    found = ConjugateGradients(50).solve(_multiplying(matrix)[0], _blocks(gradient))
    assert found.end == "curvature"
    assert found.length < 10 * np.linalg.norm(gradient)


def test_the_cap_and_the_tolerance() -> None:
    matrix, gradient = _problem(np.logspace(0, 3, N))
    multiply, seen = _multiplying(matrix)
    found = ConjugateGradients(4, 1e-12).solve(multiply, _blocks(gradient))
    assert (found.end, found.iterations, len(seen)) == ("iterations", 4, 4)
    found = ConjugateGradients(100, 0.1).solve(multiply, _blocks(gradient))
    residual = matrix @ torch.cat(found.step).numpy() + gradient
    assert found.end == "converged"
    assert np.linalg.norm(residual) <= 0.1 * np.linalg.norm(gradient)


def test_a_gradient_of_zero() -> None:
    found = ConjugateGradients().solve(_multiplying(np.eye(N))[0], _blocks(np.zeros(N)), 1.0)
    assert (found.iterations, found.length, found.predicted) == (0, 0.0, 0.0)
