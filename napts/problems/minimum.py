"""The minimum of a strictly convex finite sum, found once and kept in a folder."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.sums import FiniteSum, HessianProduct
from napts.optim.vectors import Vector

TOLERANCE = 1e-10
"""Largest 2-norm of the gradient at what counts as the minimiser."""

CACHE = "NAPTS_CACHE"
"""Environment variable with the folder in which minimisers are kept; ``~/.cache/napts`` if none."""

_ITERATIONS, _PRODUCTS = 500, 500
_ARMIJO = 1e-4


def kept_minimum(total: FiniteSum, key: str) -> float:
    """Return the smallest value of a sum whose minimiser may have been found before.

    What is kept is the minimiser, in ``minima/KEY.json``. It is evaluated again, so that a file of
    another problem, or a damaged one, does no harm. Where the folder cannot be written, nothing is
    kept.

    Args:
        total: A strictly convex sum over one block, in double precision.
        key: Digest of all that the sum consists of.

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
    """Return where a strictly convex sum has its minimum, by Newton's method with line searches.

    Args:
        total: The sum, in double precision.
        tolerance: Largest norm of the gradient there.

    Raises:
        ArithmeticError: The gradient does not become that small.
    """
    theta = [torch.zeros_like(flat) for flat in total.layout.read()]
    value, gradient = total.value_and_gradient(theta)
    for _ in range(_ITERATIONS):
        size = _norm(gradient)
        if size <= tolerance:
            return theta
        step = _newton_step(total.hessian(theta), gradient, min(0.1, size))
        slope = float(vectors.dot(gradient, step))
        length = 1.0
        while True:
            trial = vectors.add_scaled(theta, length, step)
            trial_value, trial_gradient = total.value_and_gradient(trial)
            # Where differences of values are rounding, gradients tell.
            close = abs(trial_value - value) <= 1e-14 * abs(value)
            if trial_value <= value + _ARMIJO * length * slope or (
                close and _norm(trial_gradient) < size
            ):
                break
            length *= 0.5
            if length < 1e-10:
                raise ArithmeticError(f"no minimum found: the gradient stays at {size:.2g}")
        theta, value, gradient = trial, trial_value, trial_gradient
    raise ArithmeticError(f"no minimum found in {_ITERATIONS} iterations of Newton's method")


def _newton_step(multiply: HessianProduct, gradient: Vector, relative: float) -> Vector:
    """Return an approximate Newton step, by conjugate gradients."""
    step = [torch.zeros_like(flat) for flat in gradient]
    residual = direction = vectors.scale(-1.0, gradient)
    square = first = float(vectors.dot(residual, residual))
    for _ in range(_PRODUCTS):
        product = multiply(direction)
        curvature = float(vectors.dot(direction, product))
        if curvature <= 0.0:
            break
        length = square / curvature
        step = vectors.add_scaled(step, length, direction)
        residual = vectors.add_scaled(residual, -length, product)
        before, square = square, float(vectors.dot(residual, residual))
        if square <= relative**2 * first:
            break
        direction = vectors.add_scaled(residual, square / before, direction)
    return step


def _norm(vector: Vector) -> float:
    return float(vectors.norm(vector, "l2"))


@torch.no_grad()
def _read(path: Path, total: FiniteSum) -> Vector | None:
    """Return a minimiser that was kept, if it is one."""
    try:
        numbers = torch.tensor(json.loads(path.read_text())["theta"], dtype=torch.float64)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if [numbers.shape] != [flat.shape for flat in total.layout.read()]:
        return None
    gradient = total.value_and_gradient([numbers])[1]
    return [numbers] if _norm(gradient) <= TOLERANCE else None


def _write(path: Path, theta: Tensor) -> None:
    """Write a file that is there as a whole or not at all, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump({"theta": theta.tolist()}, file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
