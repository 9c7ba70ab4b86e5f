"""The trust regions of an optimizer: their radii, the bounds, and when the lower one yields."""

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napts.optim.acceptance import RadiusRule, Verdict, promising
from napts.optim.objective import Objective
from napts.optim.record import Trial
from napts.optim.vectors import Vector

RadiusFloor = Literal["yielding", "fixed", "repeated"]

REJECTED_BEFORE_WARNING = 5
"""Number of steps rejected in full, in a row, that triggers a warning (ours)."""


@dataclass(slots=True)
class Region:
    """A trust region of one phase or of both.

    Attributes:
        radius: Its radius.
        yielded: Whether the radius may fall below the smallest one.
    """

    radius: float
    yielded: bool = False


class Regions:
    """The regions of the global step and of proposals, which may be the same.

    The smallest radius is a length in the units of the parameters, and no single value suits all
    networks: where the loss bends within it, no step is ever accepted. With the floor
    ``"yielding"`` (ours) it holds as long as steps are accepted. Suppose that the radius is at the
    smallest one or below, and a step is rejected in full although it promised a reduction. The
    following steps may then shrink the radius further, down to where a step is lost in the rounding
    of the parameters, until it has grown back to the smallest one. ``"fixed"`` is the papers' rule.
    ``"repeated"`` is fixed too, and a global step that fails there is tried again, with the same
    trial, until its tries are used up, as in a plain loop over tries. That costs forward passes and
    counts as rejections, but changes nothing else.

    Args:
        radius: The first radius of both.
        shared: Whether they are the same region.
        floor: How the smallest radius acts.

    Attributes:
        whole: The region of the global step.
        proposals: The region of proposals.
        rejected: Steps rejected in full, in a row, although they promised a reduction.
    """

    def __init__(self, radius: float, *, shared: bool, floor: RadiusFloor) -> None:
        self.whole = self.proposals = Region(radius)
        self.floor: RadiusFloor = floor
        self.rejected = 0
        self._warned = False
        self.share(shared=shared)

    def share(self, *, shared: bool) -> None:
        """Make both regions that of the global step, or separate ones of the same radius."""
        if shared:
            self.proposals = self.whole
        elif self.proposals is self.whole:
            self.proposals = Region(self.whole.radius, self.whole.yielded)

    def set(self, radius: float) -> None:
        """Set the radius of both."""
        for region in self._distinct():
            region.radius, region.yielded = radius, False

    def keep_within(self, rule: RadiusRule) -> None:
        """Clip the radii to changed bounds."""
        for region in self._distinct():
            region.yielded = region.yielded and self.floor == "yielding"
            least = 0.0 if region.yielded else rule.minimum
            region.radius = min(max(region.radius, least), rule.maximum)

    def update(
        self, region: Region, verdict: Verdict, rule: RadiusRule, objective: Objective, at: Vector
    ) -> None:
        """Update the radius of a region after a trial.

        Args:
            region: Which one.
            verdict: The verdict on the trial.
            rule: The radius rule.
            objective: The batch loss; measures the parameters if the floor has yielded.
            at: The iterate.
        """
        if not region.yielded:
            region.radius = rule.update(region.radius, verdict)
            return
        if verdict.reaches(rule.eta_1):
            region.radius = rule.update(region.radius, verdict)
        else:
            least = min(region.radius, shortest(objective, at, rule.minimum))
            region.radius = max(least, rule.shrink * region.radius)
        region.yielded = region.radius < rule.minimum

    def scale(self, factor: float, rule: RadiusRule) -> None:
        """Multiply the radii by a factor, within the bounds.

        Below the smallest radius, where the floor has yielded, only rejections shrink them.
        """
        for region in self._distinct():
            least = min(region.radius, rule.minimum)
            region.radius = min(rule.maximum, max(least, factor * region.radius))
            region.yielded = region.yielded and region.radius <= rule.minimum

    def account(self, trials: Sequence[Trial], rule: RadiusRule, method: str) -> None:
        """Note how a step ended; warn once if no step is accepted any more.

        Args:
            trials: All its trials.
            rule: The radius rule.
            method: Name of the method, for the warning.
        """
        if any(map(moved, trials)):
            self.rejected = 0
        elif any(promised(trial) for trial in trials):
            self.rejected += 1
            if self.floor == "yielding":
                for region in self._distinct():
                    region.yielded = region.radius <= rule.minimum
            if self.rejected >= REJECTED_BEFORE_WARNING and not self._warned:
                self._warned = True
                self._warn(rule, method)

    def _warn(self, rule: RadiusRule, method: str) -> None:
        radius = self.whole.radius
        if self.floor != "yielding" and radius <= rule.minimum:
            change = (
                "which is radius_min: the loss bends within it, so give a smaller radius_min or "
                'radius_floor="yielding"'
            )
        else:
            change = (
                "and keeps shrinking: if that does not end, the closure is not a function of the "
                "parameters (data drawn anew at each call?) or its gradient is not that of its loss"
            )
        warnings.warn(
            f"{method}: no step was accepted in the last {self.rejected} calls although each "
            f"promised a reduction; the radius is {radius:.3g}, {change}",
            UserWarning,
            stacklevel=6,
        )

    def mark(self) -> tuple[Any, ...]:
        """Return what :meth:`rollback` needs."""
        whole, other = self.whole, self.proposals
        return whole.radius, whole.yielded, other.radius, other.yielded, self.rejected

    def rollback(self, mark: tuple[Any, ...]) -> None:
        """Go back to where :meth:`mark` was called."""
        whole, other = self.whole, self.proposals
        whole.radius, whole.yielded, other.radius, other.yielded, self.rejected = mark

    def state_dict(self) -> dict[str, Any]:
        """Return radii and flags as plain numbers."""
        return {
            "radius": self.whole.radius,
            "proposal_radius": self.proposals.radius,
            "yielded": [self.whole.yielded, self.proposals.yielded],
            "rejected": self.rejected,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state; older ones do not mention yielding floors."""
        yielded = state.get("yielded", (False, False))
        self.rejected = state.get("rejected", 0)
        self.whole.radius, self.whole.yielded = state["radius"], yielded[0]
        if self.proposals is not self.whole:
            radius = state.get("proposal_radius", state["radius"])
            self.proposals.radius, self.proposals.yielded = radius, yielded[1]

    def _distinct(self) -> list[Region]:
        return [self.whole] if self.proposals is self.whole else [self.whole, self.proposals]


def promised(trial: Trial) -> bool:
    """Tell whether a trial promised a reduction that is worth a test."""
    return promising(trial.predicted_reduction, trial.loss)


def moved(trial: Trial) -> bool:
    """Tell whether a trial was accepted and led somewhere.

    If no subdomain of a method with its own acceptance rule moves, the proposal is the iterate,
    which is accepted because its loss is finite.
    """
    return trial.accepted and trial.step_norm > 0.0


def shortest(objective: Objective, theta: Vector, scale: float) -> float:
    """Return the length below which a step is lost in the rounding of the parameters.

    A step of length ``eps(dtype) * rms(theta)``, in either norm, no longer moves a parameter of
    typical size, even if all of the step is in that parameter.

    Args:
        objective: Measures vectors, over all ranks.
        theta: The parameters.
        scale: A length to use in place of theirs if they are all 0, where nothing is lost.

    Returns:
        That length, and at least that of a number times ``scale``.
    """
    length = objective.rounding(theta)
    return max(length if math.isfinite(length) else 0.0, sys.float_info.epsilon * scale)
