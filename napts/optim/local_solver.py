"""Family "local solver": what runs inside a subdomain, or a shard of the batch.

A preconditioner turns each subdomain into a :class:`LocalProblem` and lets a :class:`LocalSolver`
take steps on it, from the iterate and within an :class:`Allowance`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from torch import Tensor

from napts.optim import vectors
from napts.optim.local_model import LocalModels
from napts.optim.record import Trial
from napts.optim.vectors import Layout, Norm, Vector

SHORTEST = 1e-30
"""Smallest divisor: shorter lengths count as this one, since nothing moves anyway."""


class LocalProblem(ABC):
    """What a subdomain minimises, in its own variables, which start at the iterate.

    Every problem has gradients; a :class:`ValuedProblem` has values too.

    Attributes:
        norm: Norm of the trust region.
        slope: Gradient at the iterate, which costs nothing.
        kept: Whatever a solver keeps between :meth:`LocalSolver.begin` and
            :meth:`LocalSolver.minimise`.
    """

    norm: Norm
    slope: Vector
    kept: Any = None

    @abstractmethod
    def scratch(self) -> Vector:
        """Return a vector to fill for :meth:`move`: always the same, lost in :meth:`value`."""

    @abstractmethod
    def move(self, factor: float | Tensor) -> None:
        """Add the scratch vector, times a factor that may be on a device, to the variables."""

    @abstractmethod
    def gradient(self) -> Vector:
        """Return the gradient at the current variables."""


class ValuedProblem(LocalProblem):
    """A local problem that has values as well as gradients."""

    @property
    @abstractmethod
    def start(self) -> Vector:
        """The variables at the iterate."""

    @property
    @abstractmethod
    def loss(self) -> float:
        """The value at the iterate, which costs nothing."""

    @abstractmethod
    def models(self) -> LocalModels:
        """Return what makes local models, for this problem alone."""

    @abstractmethod
    def value(
        self, trial: Vector, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        """Return the value at other variables.

        Args:
            trial: The variables; they are left there.
            predicted: A number that may be on a device, brought to the host with the value.
            keep_graph: Whether :meth:`gradient` may follow.

        Returns:
            The value and that number.
        """


AnyProblem = TypeVar("AnyProblem", bound=LocalProblem, contravariant=True)
"""What a solver needs from its problems: it accepts any that have more."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How far the steps of one subdomain may lead.

    Attributes:
        radius: The radius of its own region or, with ``whole``, of one region for all subdomains.
        whole: Length of the first directions of all subdomains together; each may use as much of
            the radius as its own first direction has of this length.
        reach: How far all steps together may lead, if the radius is only that of the first step and
            follows the ratios; ``None`` if the radius is for all steps.
    """

    radius: float
    whole: Tensor | float | None = None
    reach: float | None = None

    @classmethod
    def shared(cls, radius: float, whole: Tensor | float) -> "Allowance":
        """Return the allowance if first directions of this length share the radius."""
        return cls(radius, whole.clamp_min(SHORTEST) if isinstance(whole, Tensor) else whole)

    def longest(
        self, first: Vector, norm: Norm, steps: int = 1, length: Tensor | float | None = None
    ) -> float | Tensor:
        """Return how long each of several steps may be; the number may stay on a device.

        Args:
            first: The subdomain's first direction.
            norm: Norm of the trust region.
            steps: Number of steps that share the radius.
            length: Length of the first direction, if known.
        """
        longest = self.radius / steps
        if self.whole is None:
            return longest
        if isinstance(self.whole, float) and self.whole == 0.0:
            return 0.0  # nothing moves anyway
        return longest / self.whole * (vectors.norm(first, norm) if length is None else length)


UNBOUNDED = Allowance(math.inf)
"""No radius bounds the steps."""


class Found(NamedTuple):
    """Where a local solver has led.

    Attributes:
        theta: The variables; ``None`` if they are in place already.
        loss: The value there, if known.
        radius: The radius after the steps, if the solver has one.
        trials: The steps that were judged.
    """

    theta: Vector | None = None
    loss: float | None = None
    radius: float | None = None
    trials: tuple[Trial, ...] = ()


class LocalSolver(ABC, Generic[AnyProblem]):
    """Takes a few steps on a local problem; each subclass is another member of the family.

    Its type parameter is what it needs: a :class:`LocalProblem` or a :class:`ValuedProblem`.

    Attributes:
        steps: The largest number of local steps, at least 1; more than one needs gradients away
            from the iterate.
        needs_values: Whether it evaluates local problems as well as differentiating them.
    """

    steps: int
    needs_values: ClassVar[bool] = False

    def begin(self, problems: Sequence[AnyProblem]) -> None:
        """Prepare for problems to be minimised one after the other, all from the iterate."""

    def first(self, problem: AnyProblem) -> Vector:
        """Return the direction of the first step, of any length; after :meth:`begin`."""
        return problem.slope

    @abstractmethod
    def minimise(self, problem: AnyProblem, allowance: Allowance) -> Found:
        """Take the steps, which together are no longer than the allowance.

        Args:
            problem: What to minimise.
            allowance: How far the steps may lead.

        Returns:
            Where they lead.
        """

    def commit(self) -> None:
        """Keep what outlives the iteration: the proposal has been judged."""

    def relayout(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Follow a change of the parameters that are trained.

        Args:
            sources: For each new block, the old one with exactly the same parameters, or ``None``.
            layout: The new blocks.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what later steps depend on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
