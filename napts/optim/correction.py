"""What is tried when a proposal fails."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from napts.optim.local_model import LocalModel, Step

Retry = Literal["mixture", "shrink"]


@dataclass(frozen=True, slots=True)
class ConvexCombinations:
    """Mixes the proposal with the local model's own step, NAPTS eq. (10).

    Both steps are no longer than the radius, so neither is any mixture. The weights are not
    printed in the paper; the default of the methods is the series of APTS in weights (2023).

    Attributes:
        weights: Weights ``w`` of the model's step, in the order in which they are tried.
    """

    weights: tuple[float, ...]

    def candidates(
        self, model: LocalModel, proposal: Step, radius: float
    ) -> Iterator[tuple[float, Step]]:
        """Yield each weight with its mixture ``w * s_model + (1 - w) * s``."""
        own = model.minimise(radius)
        for weight in self.weights:
            yield weight, model.mix(weight, own, proposal)


@dataclass(frozen=True, slots=True)
class ShrinkingRadius:
    """Shrinks the radius and shortens the proposal with it, as a trust-region method would.

    Ours, in place of the mixtures of the paper: it needs no second direction.

    Attributes:
        max_tries: Trials of the proposal, the first one included.
    """

    max_tries: int


Correction = ConvexCombinations | ShrinkingRadius
