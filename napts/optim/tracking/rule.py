"""The radius rule that tracks a target ratio, and when steps are probed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TrackingRule:
    """Moves the radius until steps keep just that share of their promise which they should.

    With ``share`` the part of the promises that is real, and ``rho`` the ratio of a probed step on
    its own batch, the radius is multiplied by ``exp(gain * clip((rho - target) / tolerance, -1,
    1))`` where ``target = clip(caution * (1 - share), least, most)``. At ``caution = 1`` the next
    batch neither gains nor loses by a step: ``rho = 1 - curvature / promise`` on every batch, and
    the next one starts with ``share * promise``.

    Attributes:
        minimum: Smallest radius.
        maximum: Largest radius.
        caution: Factor on the part of the promises that is noise.
        least: Smallest target.
        most: Largest target; 1 could only be had with steps of length 0.
        tolerance: Distance from the target at which the radius moves as fast as it may.
        shrink: Factor on the radius after a rejected step.
    """

    minimum: float
    maximum: float
    caution: float
    least: float
    most: float
    tolerance: float
    shrink: float

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "TrackingRule":
        """Return the rule that options describe."""
        return cls(
            minimum=options["radius_min"],
            maximum=options["radius_max"],
            caution=options["caution"],
            least=options["target_min"],
            most=options["target_max"],
            tolerance=options["tolerance"],
            shrink=options["shrink"],
        )

    def target(self, share: float) -> float:
        """Return the ratio to aim at, if that share of the promises is real."""
        return min(self.most, max(self.least, self.caution * (1.0 - share)))

    def update(self, radius: float, ratio: float, share: float, gain: float) -> float:
        """Return the radius after a probe.

        Args:
            radius: The radius before.
            ratio: The probed step's ratio on its own batch; may be infinite.
            share: Share of the promises that is real.
            gain: Largest change of the radius's logarithm.
        """
        moved = radius * self.factor(ratio, share, gain)
        return min(self.maximum, max(self.minimum, moved))

    def factor(self, ratio: float, share: float, gain: float) -> float:
        """Return the factor on a radius after a probe; arguments as for :meth:`update`."""
        error = (ratio - self.target(share)) / self.tolerance
        return math.exp(gain * min(1.0, max(-1.0, error)))

    def shrunk(self, radius: float) -> float:
        """Return the radius after a rejected step."""
        return max(self.minimum, self.shrink * radius)


@dataclass(frozen=True, slots=True)
class Probing:
    """Which steps are probed, and how far each probe may move the radius.

    Attributes:
        first: Number of steps at the beginning that are all probed.
        every: Afterwards, one step in so many.
        first_gain: Gain of the former.
        gain: Gain of the latter.
    """

    first: int
    every: int
    first_gain: float
    gain: float

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Probing":
        """Return what options describe."""
        names = ("first_probes", "probe_every", "first_gain", "gain")
        return cls(*(options[name] for name in names))

    def probes(self, step: int) -> bool:
        """Tell whether a step is probed; steps are counted from 0."""
        return step < self.first or (step + 1) % self.every == 0

    def gain_of(self, step: int) -> float:
        """Return the gain of a probed step."""
        return self.first_gain if step < self.first else self.gain
