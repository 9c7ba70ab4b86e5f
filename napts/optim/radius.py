"""The radius rule shared by all methods."""

from dataclasses import dataclass

from napts.optim.acceptance import Verdict


@dataclass(frozen=True, slots=True)
class RadiusRule:
    """Shrinks, keeps or enlarges the radius by the ratio of the last trial.

    APTS in weights (2023), section 3.1; Conn, Gould, Toint, Algorithm 6.1.1. With ``rho`` the ratio
    of the verdict: ``max(minimum, shrink * radius)`` if ``rho < eta_1``,
    ``min(maximum, grow * radius)`` if ``rho > eta_2``, else unchanged.

    Attributes:
        minimum: Smallest radius.
        maximum: Largest radius.
        shrink: Factor in (0, 1).
        grow: Factor above 1.
        eta_1: Ratio under which the radius shrinks; also the acceptance threshold.
        eta_2: Ratio above which it grows.
    """

    minimum: float
    maximum: float
    shrink: float
    grow: float
    eta_1: float
    eta_2: float

    def update(self, radius: float, verdict: Verdict) -> float:
        """Return the radius after a trial with this verdict."""
        if not verdict.reaches(self.eta_1):
            return max(self.minimum, self.shrink * radius)
        if verdict.exceeds(self.eta_2):
            return min(self.maximum, self.grow * radius)
        return radius
