"""The minimum of a strictly convex finite sum, found once and kept in a folder."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from napts.optim import TRNewton, vectors
from napts.optim.sums import FiniteSum
from napts.optim.vectors import Vector

TOLERANCE = 1e-10
"""Largest 2-norm of the gradient at what counts as the minimiser."""

CACHE = "NAPTS_CACHE"
"""Environment variable with the folder in which minimisers are kept; ``~/.cache/napts`` if none."""

_ITERATIONS, _PRODUCTS = 300, 500


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
    """Return where a strictly convex sum has its minimum, by trust-region Newton steps from 0.

    Args:
        total: The sum, in double precision; its parameters are moved.
        tolerance: Largest norm of the gradient there.

    Raises:
        ArithmeticError: The gradient does not become that small.
    """
    total.layout.write([torch.zeros_like(flat) for flat in total.layout.read()])
    optimizer = TRNewton(total.layout.parameters, cg_iterations=_PRODUCTS, cg_tolerance=1e-2)
    smallest = math.inf
    for _ in range(_ITERATIONS):
        theta = total.layout.read()
        smallest = min(smallest, _norm(total.value_and_gradient(theta)[1]))
        if smallest <= tolerance:
            return theta
        optimizer.step(total)
    raise ArithmeticError(
        f"no minimum found in {_ITERATIONS} iterations: the gradient stays at {smallest:.2g}"
    )


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
