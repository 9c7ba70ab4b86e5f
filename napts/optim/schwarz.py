"""The additive Schwarz preconditioner: all subdomains propose at once, independently."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.local_solver import Allowance, LocalProblem, LocalSolver
from napts.optim.objective import Objective, Point
from napts.optim.precision import LocalPrecision, reduced
from napts.optim.preconditioner import Preconditioner, Proposal
from napts.optim.subdomains import CaptureAgainError, Decomposition, Part, share_of_radius
from napts.optim.vectors import Layout, Vector

Shares = Literal["equal", "joint"]


@dataclass(frozen=True, slots=True)
class AdditiveSchwarz(Preconditioner):
    """Proposes the sum of the subdomains' local steps, NAPTS Algorithm 1, lines 6 to 9.

    Attributes:
        decomposition: The subdomains, with boundary data frozen at the current iterate.
        solver: What each subdomain runs.
        last_block_exact: Let the last subdomain follow the loss itself rather than its frozen
            downstream gradient. The paper freezes it; the authors' code of IAPTS does not.
        shares: How the subdomains share the radius: the same length for each (``"equal"``, the
            paper), or in proportion to the lengths of their first directions, which together are
            scaled to the radius (``"joint"``, ours; one more collective on several ranks).
        fraction: Share of the cached batch that each local step after the first uses.
        precision: Precision in which those local steps compute their gradients.
    """

    has_values: ClassVar[bool] = False

    decomposition: Decomposition
    solver: LocalSolver[LocalProblem]
    last_block_exact: bool = False
    shares: Shares = "equal"
    fraction: float = 1.0
    precision: LocalPrecision = "full"

    def __post_init__(self) -> None:
        """Check the solver, and prepare the decomposition."""
        self.check()
        if self.fraction < 1.0:
            self.decomposition.ask_for_parts()

    @property
    def captured(self) -> Decomposition | None:
        """The decomposition, if any local step needs more than the global gradient."""
        return self.decomposition if self.solver.steps > 1 else None

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local solver on every subdomain, starting from the iterate.

        Costs ``T - 1`` local passes; no subdomain sees the new weights of another.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius for the whole proposal.

        Returns:
            The proposed parameters ``theta_k + sum_d R_d^T s^(d)``, eq. (4); the global model
            computes what they promise.
        """
        gradient = point.model.gradient
        terms = self._first_order_terms(objective, gradient)
        problems = [
            _Block(self, objective, block, slope, terms.get(block))
            for block, slope in enumerate(gradient)
        ]
        self.solver.begin(problems)
        allowance = self._allowance(objective, problems, radius)
        for problem in problems:
            self.solver.minimise(problem, allowance)
        self.decomposition.release()
        objective.counts.local_passes += max(problem.turns for problem in problems)
        return Proposal(objective.layout.read())

    def _allowance(
        self, objective: Objective, problems: Sequence["_Block"], radius: float
    ) -> Allowance:
        """Return how far each subdomain of this rank may go."""
        if self.shares == "equal":
            return Allowance(share_of_radius(objective.norm, radius, self.decomposition.total))
        whole = objective.length([d for each in problems for d in self.solver.first(each)])
        return Allowance.shared(radius, whole)

    def _first_order_terms(self, objective: Objective, gradient: Vector) -> dict[int, Tensor]:
        """Return the terms that make local gradients agree with the global one at the iterate.

        These are the frozen terms ``R_d g - g_d(theta_k)`` of the local objective (APTS, 2025,
        section on first-order consistency) where they are not zero: where the loss has terms
        besides those that pass through a subdomain's outputs, or where a comparison shows a
        difference.
        """
        if self.solver.steps == 1:
            return {}
        while True:
            try:
                return self._compare(objective, gradient)
            except CaptureAgainError:
                objective.capture_again(self.decomposition)

    def _compare(self, objective: Objective, gradient: Vector) -> dict[int, Tensor]:
        compared = set(self.decomposition.compared())
        if not compared:
            return {}
        scale, terms = torch.as_tensor(vectors.norm(gradient, "l2")), {}
        for block, subdomain in enumerate(objective.layout.subdomains):
            if subdomain in compared:
                local = self._local_gradient(objective, block, at_iterate=True)
                term = self.decomposition.remainder(subdomain, local, gradient[block], scale)
                if term is not None:
                    terms[block] = term
        if any(map(self.decomposition.lacks, compared)):
            objective.counts.local_passes += 1
        else:
            objective.counts.checks += 1
        return terms

    def _local_gradient(
        self, objective: Objective, block: int, turn: int = 0, *, at_iterate: bool = False
    ) -> Tensor:
        """Return the flat gradient of a subdomain at its current weights.

        Args:
            objective: The batch loss.
            block: The subdomain's block in the layout.
            turn: Number of the local pass in its iteration, from 0.
            at_iterate: Whether the weights are still those of the iterate, where it is compared
                on the whole batch and in full precision.
        """
        layout, decomposition = objective.layout, self.decomposition
        subdomain = layout.subdomains[block]
        in_part = self.fraction < 1.0 and not at_iterate
        part = Part(self.fraction, turn) if in_part else None
        precision = "full" if at_iterate else self.precision
        with objective.local_pass(), reduced(precision, layout.blocks[block][0].device):
            if self.last_block_exact and self._is_last(layout, subdomain):
                found = decomposition.exact_gradient_of_last(objective.batch)
            else:
                found = decomposition.local_gradient(subdomain, part, at_iterate=at_iterate)
        return objective.over_group(layout.flatten_block(objective.with_decay(block, found)))

    def _is_last(self, layout: Layout, subdomain: int) -> bool:
        return self.decomposition.holds_last and subdomain == layout.last_subdomain


class _Block(LocalProblem):
    """A subdomain with frozen boundary data; its variables stay where its steps lead.

    Attributes:
        turns: Local gradients so far.
    """

    def __init__(
        self,
        schwarz: AdditiveSchwarz,
        objective: Objective,
        block: int,
        slope: Tensor,
        term: Tensor | None,
    ) -> None:
        self.norm = objective.norm
        self.slope = [slope]
        self.turns = 0
        self._scratch = [objective.layout.buffer(block)]
        self._schwarz, self._objective, self._block, self._term = schwarz, objective, block, term

    def scratch(self) -> Vector:
        return self._scratch

    def move(self, factor: float | Tensor) -> None:
        self._objective.layout.shift(self._block, factor)

    def gradient(self) -> Vector:
        found = self._schwarz._local_gradient(self._objective, self._block, self.turns)
        self.turns += 1
        return [found if self._term is None else found + self._term]
