"""Family "correction": what is tried when a proposal fails."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

from napts.optim import vectors
from napts.optim.local_model import LocalModel, Step
from napts.optim.regions import Region
from napts.optim.vectors import Norm

Retry = Literal["mixture", "shrink"]
ForcedAs = Literal["paper", "code", "sequential_code", "code_2024"]


class Rejected(NamedTuple):
    """A proposal that failed.

    Attributes:
        step: The proposal.
        promised: The reduction it promised, a number on the host.
        radius: Radius for which it was made.
    """

    step: Step
    promised: float
    radius: float

    @property
    def known(self) -> Step:
        """The proposal with its promise on the host."""
        return replace(self.step, predicted_reduction=self.promised)


class Candidate(NamedTuple):
    """What is tried instead.

    Attributes:
        step: The candidate.
        radius: Radius for which it was made.
        weight: Weight of the gradient step in it, if it is a mixture.
        last: Nothing is tried after it: it is taken whatever its loss.
    """

    step: Step
    radius: float
    weight: float | None = None
    last: bool = False


class Correction(ABC):
    """Makes the candidates that are tried one after the other until one is accepted.

    Attributes:
        each_moves_radius: Whether the radius follows every try, the proposal included, so that each
            candidate is made for the new radius. A try that promises nothing is then the last one,
            since a shorter step promises no more. Otherwise the radius follows the last outcome.
    """

    each_moves_radius: ClassVar[bool] = False

    @abstractmethod
    def candidates(
        self, model: LocalModel, rejected: Rejected, region: Region
    ) -> Iterator[Candidate]:
        """Yield the candidates.

        Args:
            model: The local model at the start of the proposal.
            rejected: The proposal.
            region: The trust region of proposals, with its current radius.
        """


@dataclass(frozen=True, slots=True)
class ConvexCombinations(Correction):
    """Mixes the proposal with the local model's own step, NAPTS eq. (10).

    Both steps are no longer than the radius, so no mixture is either. The weights are not
    printed in the paper; the methods' default is the series of APTS in weights (2023).

    Attributes:
        weights: Weights ``w`` of the model's step, in the order in which they are tried.
    """

    weights: tuple[float, ...]

    def candidates(
        self, model: LocalModel, rejected: Rejected, region: Region
    ) -> Iterator[Candidate]:
        """Yield the mixtures ``w * s_model + (1 - w) * s``."""
        own, proposal = model.minimise(rejected.radius), rejected.known
        for weight in self.weights:
            yield Candidate(model.mix(weight, own, proposal), rejected.radius, weight)


@dataclass(frozen=True, slots=True)
class ForcedDecrease(Correction):
    """Turns the proposal towards the gradient step, in smaller and smaller regions.

    APTS in weights (arXiv 2312.13677), Algorithm 1, lines 13 to 17, with the sign of its line 11
    corrected: ``radius * v / ||v||`` with ``v = w * g_hat + (1 - w) * s`` and ``g_hat`` the
    gradient step of full length. The last one is taken even if the loss grows, as in the paper. The
    radius of the method is not changed.

    The authors' code can be followed where it deviates from the paper: ``"code"`` makes the
    gradient step as long as the proposal and lets the radius fall below the smallest one;
    ``"sequential_code"`` also adds the gradient instead of subtracting it, so that it ascends;
    ``"code_2024"`` is ``"code"`` with every mixture scaled to the radius in the 2-norm.

    Attributes:
        weights: Weights ``w`` in the order in which they are tried.
        norm: Norm of the trust region.
        shrink: Factor on the radius from one mixture to the next.
        minimum: Smallest radius.
        like: Which version to follow.
    """

    weights: tuple[float, ...]
    norm: Norm
    shrink: float
    minimum: float
    like: ForcedAs = "paper"

    def candidates(
        self, model: LocalModel, rejected: Rejected, region: Region
    ) -> Iterator[Candidate]:
        """Yield the mixtures, each scaled to its radius."""
        local, radius, printed = rejected.step.vector, rejected.radius, self.like == "paper"
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
            yield Candidate(step, radius, weight, last=left == 0)


@dataclass(frozen=True, slots=True)
class ShrinkingRadius(Correction):
    """Shrinks the radius and shortens the proposal with it, as a trust-region method would.

    This is ours and replaces the paper's mixtures; it needs no second direction.

    Attributes:
        max_tries: Trials of the proposal, the first one included.
    """

    each_moves_radius: ClassVar[bool] = True

    max_tries: int

    def candidates(
        self, model: LocalModel, rejected: Rejected, region: Region
    ) -> Iterator[Candidate]:
        """Yield the proposal, shortened to the current radius, while that gets smaller."""
        before = rejected.radius
        for _ in range(self.max_tries - 1):
            if region.radius == before:
                return  # at the smallest radius this would be the last trial again
            before = region.radius
            yield Candidate(model.shorten(rejected.step, before / rejected.radius), before)
