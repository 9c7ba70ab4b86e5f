"""Non-monotone histories of the flat-vector reference: which loss a trial is compared with.

Both classes answer one question, "what is the reference loss, and how much decrease was already
promised since then?", and are told of every accepted trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Evaluate = Callable[[Vector], float]


class ReferencePoint(NamedTuple):
    """Reference loss f(theta_r) and the predicted reductions sigma accumulated since."""

    loss: float
    reduction: float

    @property
    def usable(self) -> bool:
        """Whether the historical ratio may be formed at all."""
        return math.isfinite(self.loss)


@dataclass
class Recorded:
    """One loss that was seen, with its iterate and the step that saw it."""

    loss: float
    theta: Vector
    step: int
    predicted: float = 0.0
    recomputed: float = math.nan
    recomputed_in: int = -1

    def loss_now(self, step: int, evaluate: Evaluate) -> float:
        """Loss of this iterate on the batch of `step`: one evaluation per step at most."""
        if self.step == step:
            return self.loss
        if self.recomputed_in != step:
            self.recomputed = evaluate(self.theta)
            self.recomputed_in = step
        return self.recomputed


class WindowedHistory:
    """Maximum over the last `window` accepted iterations and the current one, eqs. (6)-(8)."""

    def __init__(self, window: int, scope: str) -> None:
        self.window = window
        self.scope = scope
        self.entries: list[Recorded] = []

    def start_step(self) -> None:
        """Forget everything when windows do not reach across batches."""
        if self.scope == "per_batch":
            self.entries = []

    def reference(
        self, loss: float, theta: Vector, step: int, evaluate: Evaluate
    ) -> ReferencePoint:
        """Reference for trials that start at `theta`, where the loss is `loss`."""
        best: Recorded | None = None
        best_loss, sigma = loss, 0.0
        for index, entry in enumerate(self.entries):
            # Of equal maxima the most recent wins, so an older one must exceed all after it.
            if entry.loss > max([loss, *(later.loss for later in self.entries[index + 1 :])]):
                candidate = sum(later.predicted for later in self.entries[index:])
                if best is None or entry.loss > best.loss:
                    best, best_loss, sigma = entry, entry.loss, candidate
        if best is not None and self.scope == "reeval":
            best_loss = best.loss_now(step, evaluate)
        return ReferencePoint(best_loss, sigma)

    def push(
        self,
        start: tuple[float, Vector],
        trial: tuple[float, Vector],
        predicted: float,
        step: int,
    ) -> None:
        """Record an accepted trial by the loss and the iterate from which it started."""
        self.entries.append(Recorded(start[0], start[1].copy(), step, predicted))
        self.entries = self.entries[max(0, len(self.entries) - self.window) :]


class ConstantMemoryHistory:
    """Reference kept in a few scalars (Conn, Gould, Toint, Algorithm 10.1.2)."""

    def __init__(self, longest: int, scope: str) -> None:
        self.longest = longest
        self.scope = scope
        self._forget()

    def _forget(self) -> None:
        self.lowest = math.nan
        self.base: Recorded | None = None
        self.candidate: Recorded | None = None
        self.sigma_base = 0.0
        self.sigma_candidate = 0.0
        self.since_lowest = 0
        self.acceptances = 0

    def start_step(self) -> None:
        """Forget everything when the reference does not reach across batches."""
        if self.scope == "per_batch":
            self._forget()

    def reference(
        self, loss: float, theta: Vector, step: int, evaluate: Evaluate
    ) -> ReferencePoint:
        """Reference for trials that start at `theta`, where the loss is `loss`."""
        if self.longest == 0:
            return ReferencePoint(loss, 0.0)
        if self.base is None:
            self.lowest = loss
            self.base = self.candidate = Recorded(loss, theta.copy(), step)
        if self.scope != "reeval":
            return ReferencePoint(self.base.loss, self.sigma_base)
        if self.acceptances == 0 or self.sigma_base == 0.0:
            return ReferencePoint(loss, 0.0)  # the reference is the current iterate
        return ReferencePoint(self.base.loss_now(step, evaluate), self.sigma_base)

    def push(
        self,
        start: tuple[float, Vector],
        trial: tuple[float, Vector],
        predicted: float,
        step: int,
    ) -> None:
        """Record an accepted trial by the loss and the iterate at which it arrived."""
        if self.longest == 0:
            return
        assert self.candidate is not None, "reference() comes before push()"
        self.acceptances += 1
        self.sigma_candidate += predicted
        self.sigma_base += predicted
        arrived = Recorded(trial[0], trial[1].copy(), step)
        if arrived.loss < self.lowest:
            self.lowest = arrived.loss
            self.candidate = arrived
            self.since_lowest = 0
            self.sigma_candidate = 0.0
        else:
            self.since_lowest += 1
            if arrived.loss > self.candidate.loss:
                self.candidate = arrived
                self.sigma_candidate = 0.0
        if self.since_lowest == self.longest:
            self.base = self.candidate
            self.sigma_base = self.sigma_candidate


def make_history(kind: str, window: int, scope: str) -> WindowedHistory | ConstantMemoryHistory:
    """History of the given kind; `window` is M for one and l_max for the other."""
    if kind == "windowed":
        return WindowedHistory(window, scope)
    if kind == "constant-memory":
        return ConstantMemoryHistory(window, scope)
    raise ValueError(f"unknown history {kind!r}")
