"""Methods for finite sums, flat and in NumPy: formulas and loops, nothing of the package."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Numbers = Sequence[int]


@dataclass
class Logistic:
    """``(1/m) sum_j log(1 + exp(-c_j x_j . theta)) + lam/2 |theta|^2``, on all samples or some."""

    x: Array
    c: Array
    lam: float

    def margins(self, theta: Array, of: Numbers | None) -> tuple[Array, Array]:
        x, c = (self.x, self.c) if of is None else (self.x[list(of)], self.c[list(of)])
        return x, c * (x @ theta)

    def value(self, theta: Array, of: Numbers | None = None) -> float:
        _, m = self.margins(theta, of)
        return float(np.logaddexp(0.0, -m).mean() + 0.5 * self.lam * theta @ theta)

    def gradient(self, theta: Array, of: Numbers | None = None) -> Array:
        x, m = self.margins(theta, of)
        c = self.c if of is None else self.c[list(of)]
        return -(x.T @ (c / (1.0 + np.exp(m)))) / len(m) + self.lam * theta

    def hessian(self, theta: Array, of: Numbers | None = None) -> Array:
        x, m = self.margins(theta, of)
        weights = 1.0 / (1.0 + np.exp(m)) / (1.0 + np.exp(-m))
        return (x.T * weights) @ x / len(m) + self.lam * np.eye(len(theta))


def cg(hessian: Array, gradient: Array, cap: int, tolerance: float) -> Array:
    """Conjugate gradients for ``H s = -g`` from 0."""
    s, r = np.zeros_like(gradient), -gradient
    p, start = r, np.sqrt(r @ r)
    for _ in range(cap):
        if np.sqrt(r @ r) <= tolerance * start:
            break
        hp = hessian @ p
        a = (r @ r) / (p @ hp)
        s, new = s + a * p, r - a * hp
        p, r = new + (new @ new) / (r @ r) * p, new
    return s


def steihaug(
    hessian: Array, gradient: Array, radius: float, cap: int, tolerance: float
) -> tuple[Array, int]:
    """The same, to the boundary of a ball at most."""
    s, r = np.zeros_like(gradient), -gradient
    p, start = r, np.sqrt(r @ r)
    for turn in range(cap):
        if np.sqrt(r @ r) <= tolerance * start:
            return s, turn
        hp = hessian @ p
        curvature = p @ hp
        a = (r @ r) / curvature if curvature > 0 else np.inf
        if curvature <= 0 or np.linalg.norm(s + a * p) >= radius:
            roots = np.roots([p @ p, 2 * (s @ p), s @ s - radius**2])
            return s + max(roots.real) * p, turn + 1
        s, new = s + a * p, r - a * hp
        p, r = new + (new @ new) / (r @ r) * p, new
    return s, cap


def armijo(
    h: Callable[[Array], float], theta: Array, g: Array, s: Array, first: float = 1.0
) -> tuple[Array, float, int]:
    """Backtracking by halves, 15 times at most; ``(theta, 0, 15)`` if nothing was good enough."""
    a = first
    for turn in range(16):
        if h(theta + a * s) <= h(theta) + 1e-4 * a * (g @ s):
            return theta + a * s, a, turn
        a /= 2
    return theta, 0.0, 15


def ssn(
    problem: Logistic, theta: Array, draws: Sequence[Numbers], length: float | None, cap: int = 10
) -> Iterator[Array]:
    """Sub-sampled Newton with the full gradient."""
    for draw in draws:
        g = problem.gradient(theta)
        s = cg(problem.hessian(theta, draw), g, cap, 1e-9)
        theta = armijo(problem.value, theta, g, s)[0] if length is None else theta + length * s
        yield theta


def svrg(
    problem: Logistic, theta: Array, rounds: Sequence[Sequence[Numbers]], eta: float
) -> Iterator[Array]:
    """Stochastic variance reduced gradient: snapshots, then a step for each draw."""
    for draws in rounds:
        snapshot, full = theta, problem.gradient(theta)
        for draw in draws:
            change = problem.gradient(theta, draw) - problem.gradient(snapshot, draw)
            theta = theta - eta * (change + full)
        yield theta


def sarah(
    problem: Logistic, theta: Array, rounds: Sequence[Sequence[Numbers]], eta: float
) -> Iterator[Array]:
    """Stochastic recursive gradient: a full gradient step, then a step for each draw."""
    for draws in rounds:
        v = problem.gradient(theta)
        before, theta = theta, theta - eta * v
        for draw in draws:
            v = v + problem.gradient(theta, draw) - problem.gradient(before, draw)
            before, theta = theta, theta - eta * v
        yield theta


def mlvr(
    problem: Logistic,
    theta: Array,
    draws: Sequence[Sequence[Numbers]],
    coarse: str,
    steps: int,
    tolerance: float = 0.1,
) -> Iterator[Array]:
    """V-cycles over nested subsets (smallest first, one list of them a cycle)."""
    trials = {}

    def smooth(level: int, h: Callable[[Array], float], theta: Array, g: Array) -> Array:
        first = trials.get(level, 1.0)
        theta, a, turns = armijo(h, theta, g, -g, first)
        if a:
            trials[level] = 2 * a if turns == 0 else a
        return theta

    def cycle(levels: list[Numbers | None], theta: Array, dg: Array, origin: Array) -> Array:
        of = levels[-1]

        def h(t: Array) -> float:
            return problem.value(t, of) + float(dg @ (t - origin))

        def grad(t: Array) -> Array:
            return problem.gradient(t, of) + dg

        if len(levels) == 1:
            for _ in range(steps):
                g = grad(theta)
                if coarse == "gd":
                    theta = smooth(0, h, theta, g)
                else:
                    s = cg(problem.hessian(theta, of), g, 10, tolerance)
                    theta = armijo(h, theta, g, s)[0]
            return theta
        theta = smooth(len(levels) - 1, h, theta, grad(theta))
        shift = grad(theta) - problem.gradient(theta, levels[-2])
        s = cycle(levels[:-1], theta, shift, theta) - theta
        g = grad(theta)
        return armijo(h, theta, g, s)[0] if g @ s < 0 else theta

    for subsets in draws:
        theta = cycle([*subsets, None], theta, np.zeros_like(theta), theta)
        yield theta


def radius_after(radius: float, ratio: float) -> float:
    return 0.5 * radius if ratio < 0.25 else 2 * radius if ratio > 0.75 else radius


def tr_newton(
    problem: Logistic, theta: Array, radius: float, steps: int, cap: int = 10
) -> Iterator[tuple[Array, float, bool]]:
    """Trust-region Newton."""
    for _ in range(steps):
        g, hessian = problem.gradient(theta), problem.hessian(theta)
        s, _ = steihaug(hessian, g, radius, cap, 1e-9)
        predicted = -(g @ s + 0.5 * s @ hessian @ s)
        ratio = (problem.value(theta) - problem.value(theta + s)) / predicted
        radius = radius_after(radius, ratio)
        if ratio >= 0.25:
            theta = theta + s
        yield theta, radius, bool(ratio >= 0.25)


def astrom(
    problem: Logistic,
    theta: Array,
    order: Numbers,
    size: int,
    radius: float,
    mu: int,
    steps: int,
    cap: int = 10,
) -> Iterator[tuple[Array, float, int, bool]]:
    """ASTROM while its subset is not the whole: iterate, radius, subset's size, accepted."""
    for _ in range(steps):
        some = order[:size]
        dg = problem.gradient(theta) - problem.gradient(theta, some)
        origin, away, within = theta, np.zeros_like(theta), radius

        def h(t: Array, some: Array = some, dg: Array = dg, origin: Array = origin) -> float:
            return problem.value(t, some) + float(dg @ (t - origin))

        for _ in range(mu):
            g = problem.gradient(theta + away, some) + dg
            hessian = problem.hessian(theta + away, some)
            s, _ = steihaug(hessian, g, within, cap, 1e-9)
            predicted = -(g @ s + 0.5 * s @ hessian @ s)
            ratio = (h(theta + away) - h(theta + away + s)) / predicted
            if ratio >= 0.25:
                away = away + s
            within = min(radius - np.linalg.norm(away), radius_after(within, ratio))
            if within <= 1e-3 * radius:
                break
        promised = h(theta) - h(theta + away)
        ratio = 0.0
        if promised > 0:
            ratio = (problem.value(theta) - problem.value(theta + away)) / promised
        radius = radius_after(radius, ratio)
        accepted = bool(ratio >= 0.25)
        if accepted:
            theta = theta + away
        else:
            size = min(len(order), 2 * size)
        yield theta, radius, size, accepted
