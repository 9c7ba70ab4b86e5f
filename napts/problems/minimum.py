"""The minimum of a strictly convex finite sum, found once and kept in a folder."""

import contextlib
import json
import math
import os
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.acceptance import RadiusRule
from napts.optim.local_solver import Allowance
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.multilevel.conjugate_gradients import ConjugateGradients
from napts.optim.multilevel.level import LevelProblem
from napts.optim.multilevel.newton_cg import NewtonModels
from napts.optim.sums import FiniteSum
from napts.optim.vectors import Vector

TOLERANCE = 1e-10
"""Largest 2-norm of the gradient at a point that counts as the minimiser."""

CACHE = "NAPTS_CACHE"
"""Environment variable with the folder for minimisers; ``~/.cache/napts`` if it is not set."""

_ITERATIONS, _PRODUCTS = 500, 500
_RULE = RadiusRule(1e-16, 1e16, shrink=0.5, grow=2.0, eta_1=0.25, eta_2=0.75)


def kept_minimum(total: FiniteSum, key: str) -> float:
    """Return the smallest value of a sum whose minimiser may have been found before.

    The minimiser is kept in ``minima/KEY.json``. It is evaluated again, so that a damaged file or
    one of another problem does no harm. If the folder cannot be written, nothing is kept.

    Args:
        total: A strictly convex sum over one block, in double precision.
        key: Digest of everything that defines the sum.

    Raises:
        ArithmeticError: See :func:`minimiser`.
    """
    folder = Path(os.environ.get(CACHE) or Path("~/.cache/napts")).expanduser() / "minima"
    path = folder / f"{key}.json"
    theta = _read(path, total)
    if theta is None:
        theta = minimiser(total)
        with contextlib.suppress(OSError):
            _write(path, theta[0])
    return total.value(theta)


@torch.no_grad()
def minimiser(total: FiniteSum, tolerance: float = TOLERANCE) -> Vector:
    """Return the minimiser of a strictly convex sum, by Newton's method in a trust region.

    Args:
        total: The sum, in double precision.
        tolerance: Largest norm of the gradient there.

    Raises:
        ArithmeticError: The gradient does not become that small.
    """
    theta = [torch.zeros_like(flat) for flat in total.layout.read()]
    radius = 1.0
    solver = LocalTrustRegion(1, _RULE, rounding=10.0 * torch.finfo(theta[0].dtype).eps)
    size = math.inf
    for _ in range(_ITERATIONS):
        value, gradient = total.value_and_gradient(theta)
        size = _norm(gradient)
        if size <= tolerance:
            return theta
        # More and more exact towards the end, for fast convergence.
        exact = ConjugateGradients(_PRODUCTS, min(0.1, size))
        models = partial(NewtonModels, solver=exact)
        problem = LevelProblem(total, theta, gradient, value, models=models)
        found = solver.minimise(problem, Allowance(radius, reach=math.inf))
        assert found.theta is not None
        assert found.radius is not None
        theta, radius = found.theta, found.radius
    raise ArithmeticError(f"no minimum found in {_ITERATIONS} iterations: |g| is still {size:.2g}")


def _norm(vector: Vector) -> float:
    return float(vectors.norm(vector, "l2"))


@torch.no_grad()
def _read(path: Path, total: FiniteSum) -> Vector | None:
    """Return a minimiser from the folder, if it really is one."""
    try:
        numbers = torch.tensor(json.loads(path.read_text())["theta"], dtype=torch.float64)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if [numbers.shape] != [flat.shape for flat in total.layout.read()]:
        return None
    gradient = total.value_and_gradient([numbers])[1]
    return [numbers] if _norm(gradient) <= TOLERANCE else None


def _write(path: Path, theta: Tensor) -> None:
    """Write a file that is there in full or not at all, even if others write it too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump({"theta": theta.tolist()}, file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
