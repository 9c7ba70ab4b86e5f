"""Cycles on parts of the samples, which grow when they do not tell enough about the whole.

The authors' rule is lost: the slides say only that decrease on a part does not imply decrease of
the whole loss, and that the parts must grow. This rule is ours.
"""

import math
from collections.abc import Mapping
from typing import Any

from napts.optim.acceptance import RadiusRule
from napts.optim.sums.sampling import sample_count
from napts.optim.vectors import Vector


class GrowingSamples:
    """Judges rounds of cycles by the loss of all samples.

    A round has one cycle for each part of the whole. At its end, the decrease of the whole loss is
    compared with the mean decrease of the parts' losses. If the ratio is below ``eta_1``, the parts
    are twice as large from then on, the radius shrinks, and if the whole loss has risen, the
    parameters go back to where the round began. If the ratio is above ``eta_2``, the radius grows.

    Args:
        share: The first parts' share of the samples; 1 for no rounds at all.

    Attributes:
        share: The current share.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._start: Vector | None = None
        self._loss = self._gained = 0.0
        self._done = 0

    @property
    def whole(self) -> bool:
        """Whether all samples are seen in every cycle."""
        return self.share == 1.0

    @property
    def begins(self) -> bool:
        """Whether the whole loss must be known because a round begins."""
        return self._start is None

    def size(self, count: int) -> int:
        """Return how many of the given number of samples a part has."""
        return sample_count(self.share, count)

    def begin(self, theta: Vector, loss: float) -> None:
        """Begin a round at a point whose whole loss is known."""
        self._start, self._loss, self._gained, self._done = theta, loss, 0.0, 0

    def drop(self) -> None:
        """Forget the round: another network is in training now."""
        self._start = None

    def note(self, decrease: float) -> bool:
        """Note by how much a part's loss has fallen; return whether the round is over."""
        self._gained += decrease
        self._done += 1
        return self._done >= math.ceil(1.0 / self.share * (1.0 - 1e-12))

    def judge(
        self, theta: Vector, loss: float, radius: float, rule: RadiusRule
    ) -> tuple[Vector, float]:
        """End a round, and begin the next one.

        Args:
            theta: Where it has led.
            loss: The whole loss there.
            radius: The trust region's radius.
            rule: Its bounds, factors and thresholds.

        Returns:
            Where the next round begins, and the radius.
        """
        assert self._start is not None
        fallen, promised = self._loss - loss, self._gained / self._done
        fair = math.isfinite(loss) and fallen >= rule.eta_1 * promised and promised > 0.0
        if not fair:
            radius = max(rule.minimum, rule.shrink * radius)
            self.share = min(1.0, 2.0 * self.share)
            if not loss <= self._loss:
                theta, loss = self._start, self._loss
        elif fallen > rule.eta_2 * promised:
            radius = min(rule.maximum, rule.grow * radius)
        self.begin(theta, loss)
        return theta, radius

    def state_dict(self) -> dict[str, Any]:
        """Return what later rounds depend on."""
        return {
            "share": self.share,
            "start": self._start,
            "loss": self._loss,
            "gained": self._gained,
            "done": self._done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        self.share, self._start, self._loss = state["share"], state["start"], state["loss"]
        self._gained, self._done = state["gained"], state["done"]
