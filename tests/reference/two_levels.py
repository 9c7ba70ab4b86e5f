"""A two-level trust-region cycle for a residual network, flat and in NumPy: nothing of the package.

Sections 5.2 and 5.3 of the specification: transfers "cell", SR1 with full matrices on both levels,
one smoothing step, a coarse model that is consistent to first order.
"""

from __future__ import annotations

import numpy as np

from tests.reference.sr1 import Pairs, subproblem_step

Array = np.ndarray


class Network:
    """``tanh(Q x + q)``, blocks ``y + tanh(W y + b) / K``, ``V y + v``; mean squared error."""

    def __init__(self, inputs: Array, targets: Array, width: int, blocks: int) -> None:
        self.x, self.t, self.width, self.blocks = inputs, targets, width, blocks
        self.first = width * inputs.shape[1] + width
        self.each = width * width + width

    def split(self, theta: Array) -> tuple[Array, Array, list[tuple[Array, Array]], Array, float]:
        """Parameters in the order first layer, last layer, blocks; weights before biases."""
        w, d = self.width, self.x.shape[1]
        q_matrix, q = theta[: w * d].reshape(w, d), theta[w * d : self.first]
        v_vector, v = theta[self.first : self.first + w], theta[self.first + w]
        layers, start = [], self.first + w + 1
        for _ in range(self.blocks):
            part = theta[start : start + self.each]
            layers.append((part[: w * w].reshape(w, w), part[w * w :]))
            start += self.each
        return q_matrix, q, layers, v_vector, float(v)

    def loss_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """By hand, backwards through the layers."""
        q_matrix, q, layers, v_vector, v = self.split(theta)
        dt = 1.0 / self.blocks
        states = [np.tanh(self.x @ q_matrix.T + q)]
        slopes = [1.0 - states[0] ** 2]
        for weight, bias in layers:
            moved = np.tanh(states[-1] @ weight.T + bias)
            slopes.append(1.0 - moved**2)
            states.append(states[-1] + dt * moved)
        error = states[-1] @ v_vector + v - self.t
        loss = float((error**2).mean())
        out = 2.0 * error / len(error)
        last = np.concatenate([out @ states[-1], [out.sum()]])
        back = np.outer(out, v_vector)
        found = []
        for k in range(self.blocks - 1, -1, -1):
            inner = dt * back * slopes[k + 1]
            found.insert(0, np.concatenate([(inner.T @ states[k]).ravel(), inner.sum(0)]))
            back = back + inner @ layers[k][0]
        inner = back * slopes[0]
        first = np.concatenate([(inner.T @ self.x).ravel(), inner.sum(0)])
        return loss, np.concatenate([first, last, *found])


class Cells:
    """Copies what is before the blocks; each coarse block has two children."""

    def __init__(self, before: int, each: int) -> None:
        self.before, self.each = before, each

    def blocks(self, theta: Array) -> Array:
        return theta[self.before :].reshape(-1, self.each)

    def restrict(self, g: Array) -> Array:
        b = self.blocks(g)
        return np.concatenate([g[: self.before], (b[::2] + b[1::2]).ravel()])

    def project(self, theta: Array) -> Array:
        b = self.blocks(theta)
        return np.concatenate([theta[: self.before], (0.5 * (b[::2] + b[1::2])).ravel()])

    def prolong(self, s: Array) -> Array:
        return np.concatenate([s[: self.before], np.repeat(self.blocks(s), 2, axis=0).ravel()])


def law(radius: float, rho: float) -> float:
    """Halved below 1/4, doubled above 3/4."""
    return 0.5 * radius if rho < 0.25 else 2.0 * radius if rho > 0.75 else radius


def predicted(matrix: Array, g: Array, s: Array) -> float:
    return float(-(g @ s) - 0.5 * s @ matrix @ s)


class TwoLevels:
    """The cycle, and what it keeps from one to the next."""

    def __init__(self, fine: Network, coarse: Network, memory: int = 10) -> None:
        self.fine, self.coarse = fine, coarse
        self.cells = Cells(fine.first + fine.width + 1, fine.each)
        self.memory, self.size = Pairs(memory, 0), memory
        self.radius = 1.0

    def cycle(self, theta: Array) -> Array:
        eta, kappa = 0.1, 0.5
        self.memory.n = len(theta)
        loss, g = self.fine.loss_and_gradient(theta)
        # 1: one step of the finest level.
        self.memory.observe(theta, g)
        matrix = self.memory.matrix
        s = subproblem_step(matrix, g, self.radius)
        value = self.fine.loss_and_gradient(theta + s)[0]
        rho = (loss - value) / predicted(matrix, g, s)
        self.radius = law(self.radius, rho)
        if rho >= eta:
            theta, loss = theta + s, value
            g = self.fine.loss_and_gradient(theta)[1]
            self.memory.observe(theta, g)
        # 2, 3: down.
        slope = self.cells.restrict(g)
        if np.linalg.norm(slope) < kappa * np.linalg.norm(g):
            return theta
        origin = self.cells.project(theta)
        moved, decrease = self._coarse(origin, slope)
        # 5: up.
        s = self.cells.prolong(moved)
        value = self.fine.loss_and_gradient(theta + s)[0]
        rho = (loss - value) / decrease if decrease > 0 else 0.0
        self.radius = law(self.radius, rho)
        return theta + s if rho >= eta else theta

    def _coarse(self, origin: Array, slope: Array) -> tuple[Array, float]:
        """Five steps on the corrected function, together in a ball whose image fits the radius."""
        own = self.coarse.loss_and_gradient(origin)[1]
        shift = slope - own

        def h(at: Array) -> tuple[float, Array]:
            value, gradient = self.coarse.loss_and_gradient(at)
            return float(value + shift @ (at - origin)), gradient + shift

        reach = self.radius / np.sqrt(2.0)
        radius, left, theta = reach, reach, origin
        memory = Pairs(self.size, len(origin))
        first, g = h(origin)
        loss = first
        memory.observe(theta, g)
        for _ in range(5):
            allowed = min(radius, left)
            matrix = memory.matrix
            s = subproblem_step(matrix, g, allowed)
            value = h(theta + s)[0]
            rho = (loss - value) / predicted(matrix, g, s)
            radius = law(allowed, rho)
            if rho < 0.1:
                continue
            theta, loss = theta + s, value
            left = reach - float(np.linalg.norm(theta - origin))
            if left <= 1e-3 * reach:
                break
            g = h(theta)[1]
            memory.observe(theta, g)
        return theta - origin, first - loss
