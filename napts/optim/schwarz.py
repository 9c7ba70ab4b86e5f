"""The additive Schwarz preconditioner: subdomains propose, each on its own, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from napts.optim import vectors
from napts.optim.cadam import SHORTEST, CAdam
from napts.optim.moments import Moments, ResetMoments
from napts.optim.objective import Objective, Point
from napts.optim.precision import LocalPrecision, reduced
from napts.optim.preconditioner import Proposal
from napts.optim.subdomains import CaptureAgainError, Decomposition, Part
from napts.optim.vectors import Layout, Vector

Shares = Literal["equal", "joint"]


@dataclass(frozen=True, slots=True)
class AdditiveSchwarz:
    """Proposes the sum of the subdomains' local steps, NAPTS Algorithm 1, lines 6 to 9.

    Attributes:
        decomposition: The subdomains, with boundary data frozen at the current iterate.
        solver: What each subdomain runs.
        last_block_exact: Let the last subdomain follow the loss itself rather than its frozen
            downstream gradient. The paper freezes it; the authors' code of IAPTS does not.
        moments: Whether the solver's moments outlive the iteration.
        shares: How the subdomains share the radius: the same length for each (``"equal"``, the
            paper), or the length that each first direction has in all of them together, scaled
            to the radius (``"joint"``, ours; one more collective on several ranks).
        fraction: Share of the cached batch that a local step after the first one uses.
        precision: In which precision those local steps compute their gradients.
    """

    decomposition: Decomposition
    solver: CAdam
    last_block_exact: bool = False
    moments: ResetMoments = field(default_factory=ResetMoments)
    shares: Shares = "equal"
    fraction: float = 1.0
    precision: LocalPrecision = "full"

    def __post_init__(self) -> None:
        """Tell the decomposition what is coming."""
        if self.fraction < 1.0:
            self.decomposition.ask_for_parts()

    @property
    def captured(self) -> Decomposition | None:
        """The decomposition, if any local step needs more than the global gradient."""
        return self.decomposition if self.solver.steps > 1 else None

    @property
    def parts(self) -> int:
        """The whole batch is evaluated."""
        return 0

    def commit(self) -> None:
        """Keep the moments, if they outlive the iteration."""
        self.moments.commit()

    def follow(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Keep the moments of the blocks that are as they were."""
        self.moments.follow(sources, layout)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments."""
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved moments."""
        self.moments.load_state_dict(state)

    def propose(self, objective: Objective, point: Point, radius: float) -> Proposal:
        """Run the local solver on every subdomain, starting from the iterate.

        Costs ``T - 1`` local passes; no subdomain sees another one's new weights.

        Args:
            objective: The batch loss; its parameters are moved.
            point: The iterate with its gradient.
            radius: Trust-region radius that the whole proposal keeps to.

        Returns:
            The proposed parameters ``theta_k + sum_d R_d^T s^(d)``, eq. (4); what they promise is
            left to the global model.
        """
        gradient = point.model.gradient
        terms = self._first_order_terms(objective, gradient)
        moments = self.moments.begin(gradient)
        for block, slope in enumerate(gradient):
            self.solver.direction(moments[block], slope, objective.layout.buffer(block))
        lengths = self._lengths(objective, radius, len(gradient))
        moments = self.moments.propose(moments)
        for block, length in enumerate(lengths):
            self._solve(objective, block, moments[block], length, terms.get(block))
        self.decomposition.release()
        objective.counts.local_passes += self.solver.steps - 1
        return Proposal(objective.layout.read())

    def _lengths(self, objective: Objective, radius: float, here: int) -> list[float | Tensor]:
        """Return the longest step of each subdomain that is here."""
        if self.shares == "equal":
            return [self.solver.equal_share(radius, self.decomposition.total)] * here
        directions = [objective.layout.buffer(subdomain) for subdomain in range(here)]
        whole = objective.length(directions)
        if isinstance(whole, float) and whole == 0.0:
            return [0.0] * here  # nothing moves anyway
        if isinstance(whole, Tensor):
            whole = whole.clamp_min(SHORTEST)  # likewise
        scale = radius / self.solver.steps / whole
        return [scale * self.solver.length(direction) for direction in directions]

    def _first_order_terms(self, objective: Objective, gradient: Vector) -> dict[int, Tensor]:
        """Return what makes local gradients agree with the global one at the iterate.

        The frozen term ``R_d g - g_d(theta_k)`` of the local objective (APTS, 2025, section on
        first-order consistency), where it is not zero: where the loss has terms besides those that
        pass through a subdomain's outputs, or where that is what a comparison shows.
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

    def _solve(
        self,
        objective: Objective,
        block: int,
        moments: Moments,
        length: float | Tensor,
        term: Tensor | None,
    ) -> None:
        """Take the local steps of one subdomain; the first direction is in its buffer."""
        layout, direction = objective.layout, objective.layout.buffer(block)
        layout.shift(block, self.solver.truncate(direction, length))
        for turn in range(self.solver.steps - 1):
            gradient = self._local_gradient(objective, block, turn)
            if term is not None:
                gradient = gradient + term
            self.solver.direction(moments, gradient, direction)
            layout.shift(block, self.solver.truncate(direction, length))

    def _local_gradient(
        self, objective: Objective, block: int, turn: int = 0, *, at_iterate: bool = False
    ) -> Tensor:
        """Return the flat gradient of a subdomain at its present weights.

        Args:
            objective: The batch loss.
            block: The subdomain's block in the layout.
            turn: Number of the local pass in its iteration, from 0.
            at_iterate: The weights are still those of the iterate, where it is compared: on the
                whole batch and in full precision.
        """
        layout, decomposition = objective.layout, self.decomposition
        subdomain = layout.subdomains[block]
        last = decomposition.holds_last and subdomain == layout.last_subdomain
        in_part = self.fraction < 1.0 and not at_iterate
        part = Part(self.fraction, turn) if in_part else None
        precision = "full" if at_iterate else self.precision
        with objective.local_pass(), reduced(precision, layout.blocks[block][0].device):
            if self.last_block_exact and last:
                found = decomposition.exact_gradient_of_last(objective.batch)
            else:
                found = decomposition.local_gradient(subdomain, part, at_iterate=at_iterate)
        return objective.over_group(layout.flatten_block(objective.with_decay(block, found)))
