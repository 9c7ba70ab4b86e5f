"""What is tried when a proposal fails."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from napts.optim import vectors
from napts.optim.local_model import LocalModel, Step
from napts.optim.vectors import Norm

Retry = Literal["mixture", "shrink"]
ForcedAs = Literal["paper", "code", "sequential_code", "code_2024"]


class Mixture(NamedTuple):
    """A candidate between the proposal and the gradient step.

    Attributes:
        weight: Weight of the gradient step.
        step: The candidate.
        radius: Radius for which it was made.
        last: Nothing is tried after it: it is taken, whatever its loss is.
    """

    weight: float
    step: Step
    radius: float
    last: bool = False


@dataclass(frozen=True, slots=True)
class ConvexCombinations:
    """Mixes the proposal with the local model's own step, NAPTS eq. (10).

    Both steps are no longer than the radius, so neither is any mixture. The weights are not
    printed in the paper; the default of the methods is the series of APTS in weights (2023).

    Attributes:
        weights: Weights ``w`` of the model's step, in the order in which they are tried.
    """

    weights: tuple[float, ...]

    def candidates(self, model: LocalModel, proposal: Step, radius: float) -> Iterator[Mixture]:
        """Yield the mixtures ``w * s_model + (1 - w) * s``."""
        own = model.minimise(radius)
        for weight in self.weights:
            yield Mixture(weight, model.mix(weight, own, proposal), radius)


@dataclass(frozen=True, slots=True)
class ForcedDecrease:
    """Turns the proposal towards the gradient step, in smaller and smaller regions.

    APTS in weights (arXiv 2312.13677), Algorithm 1, lines 13 to 17, with the sign of its line 11
    corrected: ``radius * v / ||v||`` with ``v = w * g_hat + (1 - w) * s`` and ``g_hat`` the
    gradient step of full length. The last one is taken even if the loss grows, as in the paper. The
    radius of the method is not changed.

    Where it deviates from the paper, the authors' code can be followed: ``"code"`` makes the
    gradient step as long as the proposal and lets the radius fall below the smallest one;
    ``"sequential_code"`` moreover adds the gradient instead of subtracting it, so that it ascends;
    ``"code_2024"`` is ``"code"`` with every mixture scaled to the radius in the 2-norm.

    Attributes:
        weights: Weights ``w`` in the order in which they are tried.
        norm: Norm of the trust region.
        shrink: Factor on the radius, from one to the next.
        minimum: Smallest radius.
        like: Whose version.
    """

    weights: tuple[float, ...]
    norm: Norm
    shrink: float
    minimum: float
    like: ForcedAs = "paper"

    def candidates(self, model: LocalModel, proposal: Step, radius: float) -> Iterator[Mixture]:
        """Yield the mixtures, each scaled to its radius."""
        local, printed = proposal.vector, self.like == "paper"
        length, moved = vectors.to_host(
            [vectors.norm(model.gradient, self.norm), vectors.norm(local, self.norm)]
        )
        full = (radius if printed else moved) / length if length else 0.0
        slope = full if self.like == "sequential_code" else -full
        kind = "l2" if self.like == "code_2024" else self.norm
        for left, weight in zip(range(len(self.weights))[::-1], self.weights, strict=True):
            # Where the region is smaller than the smallest radius already, it does not grow.
            radius = max(min(self.minimum, radius) if printed else 0.0, self.shrink * radius)
            mixed = vectors.add_scaled(
                vectors.scale(1 - weight, local), weight * slope, model.gradient
            )
            (size,) = vectors.to_host([vectors.norm(mixed, kind)])
            vector = vectors.scale(radius / size if size else 0.0, mixed)
            step = Step(vector, model.reduction(vector))
            yield Mixture(weight, step, radius, last=left == 0)


@dataclass(frozen=True, slots=True)
class ShrinkingRadius:
    """Shrinks the radius and shortens the proposal with it, as a trust-region method would.

    Ours, in place of the mixtures of the paper: it needs no second direction.

    Attributes:
        max_tries: Trials of the proposal, the first one included.
    """

    max_tries: int


Mixtures = ConvexCombinations | ForcedDecrease
Correction = Mixtures | ShrinkingRadius
