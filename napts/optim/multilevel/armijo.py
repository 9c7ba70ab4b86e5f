"""Backtracking until the Armijo condition holds."""

from dataclasses import dataclass

from napts.optim import vectors
from napts.optim.multilevel.level import Function
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a line search has led.

    Attributes:
        theta: The variables.
        loss: The value there.
        length: Factor of the step.
        turns: How often the step was shortened.
    """

    theta: Vector
    loss: float
    length: float
    turns: int


@dataclass(frozen=True, slots=True)
class Armijo:
    """``h(theta + a s) <= h(theta) + decrease a <g, s>``, by backtracking.

    Attributes:
        decrease: Share of the slope that counts as decrease. 1e-4 in the authors' configuration.
        shrink: Factor of each backtrack. 0.5 there.
        backtracks: Largest number of them. 15 there.
    """

    decrease: float = 1e-4
    shrink: float = 0.5
    backtracks: int = 15

    def search(
        self,
        function: Function,
        theta: Vector,
        loss: float,
        slope: float,
        step: Vector,
        length: float = 1.0,
    ) -> Reached | None:
        """Search along a step.

        Args:
            function: ``h``.
            theta: Where it starts.
            loss: ``h(theta)``.
            slope: ``<grad h(theta), s>``; if it is not negative, nothing is evaluated.
            step: ``s``.
            length: The first ``a``.

        Returns:
            Where it leads, or ``None`` if no length was good enough.
        """
        if not slope < 0.0:
            return None
        for turn in range(self.backtracks + 1):
            trial = vectors.add_scaled(theta, length, step)
            value = function.value(trial)
            if value <= loss + self.decrease * length * slope:
                return Reached(trial, value, length, turn)
            length *= self.shrink
        return None
