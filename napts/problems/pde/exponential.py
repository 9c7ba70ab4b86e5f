"""Stiff evolution in time: exponential Runge-Kutta steps of order four."""

from collections.abc import Callable

import numpy as np

from napts.problems.pde.chebyshev import Array


def integrate(
    linear: Array, remainder: Callable[[Array], Array], start: Array, times: Array, step: float
) -> Array:
    """Solve ``w' = linear w + remainder(w)`` by ETDRK4 (Cox and Matthews, 2002).

    Args:
        linear: ``(n, n)`` matrix with a basis of eigenvectors.
        remainder: The part that is not stiff.
        start: ``(n,)`` state at time 0.
        times: Increasing times, from 0 on.
        step: Longest time step; each interval between two times is divided into equal steps.

    Returns:
        ``(len(times), n)`` states.
    """
    values, vectors = np.linalg.eig(linear)
    inverse = np.linalg.inv(vectors)
    state, now, found = start, 0.0, []
    phis: dict[float, list[Array]] = {}
    for time in times:
        count = int(np.ceil((time - now) / step - 1e-9))
        if count:
            h = float(np.round((time - now) / count, 14))
            if h not in phis:
                phis[h] = [np.real(vectors * phi @ inverse) for phi in _weights(h * values, h)]
            for _ in range(count):
                state = _advanced(state, remainder, phis[h])
        now = time
        found.append(state)
    return np.stack(found)


def _advanced(state: Array, remainder: Callable[[Array], Array], weights: list[Array]) -> Array:
    """Take one step."""
    whole, half, q, first, middle, last = weights
    at = remainder(state)
    a = half @ state + q @ at
    at_a = remainder(a)
    b = half @ state + q @ at_a
    at_b = remainder(b)
    c = half @ a + q @ (2 * at_b - at)
    return whole @ state + first @ at + middle @ (at_a + at_b) + last @ remainder(c)


def _weights(z: Array, h: float) -> list[Array]:
    """Return the six functions of ``h`` times the eigenvalues, by means over circles around them.

    The formulas cancel near 0; Cauchy's integral does not (Kassam and Trefethen, 2005).
    """
    circle = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
    r = z[:, None] + circle
    e = np.exp(r)
    wanted = (
        (np.exp(r / 2) - 1) / r,
        (-4 - r + e * (4 - 3 * r + r**2)) / r**3,
        2 * (2 + r + e * (r - 2)) / r**3,
        (-4 - 3 * r - r**2 + e * (4 - r)) / r**3,
    )
    return [np.exp(z), np.exp(z / 2), *(h * each.mean(1) for each in wanted)]
