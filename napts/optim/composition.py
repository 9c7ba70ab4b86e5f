"""A method as a choice from four small families, and of how its radius moves."""

from dataclasses import dataclass, replace
from typing import Literal

from napts.optim.acceptance import RadiusRule
from napts.optim.correction import Correction
from napts.optim.history import History
from napts.optim.local_model import LocalModels
from napts.optim.preconditioner import Preconditioner
from napts.optim.tracking.tracker import Tracker

GlobalStep = Literal["always", "on_failure", "never"]


@dataclass(frozen=True, slots=True)
class Composition:
    """A method, as a choice from the four families and the rules they share.

    Attributes:
        local_model: What a step promises.
        radius_rule: How the radius follows the ratios; holds the acceptance threshold.
        max_tries: Tries of the global step on one batch.
        global_history: The memory with which the global step is judged.
        proposal_history: The memory with which proposals and corrections are judged. ``None``
            accepts every proposal that has a finite loss and leaves the radius alone.
        forced_decrease: Whether proposals and corrections are accepted if the loss does not grow,
            without memory or predicted reduction; they then leave the radius alone.
        preconditioner: Where the proposal comes from; ``None`` for the plain trust region.
        correction: What is tried when the proposal fails.
        global_step: When the global step follows the preconditioned phase: ``"always"`` (the
            paper), after a failed phase (``"on_failure"``), or ``"never"``.
        shared_radius: Whether proposals and global steps have one radius; otherwise each phase has
            its own, and both start at the same value.
        reevaluate: Measure the reference on the current batch.
        forget: Clear the memories at every new batch.
        tracker: What moves the radius from batch to batch; single trials then only shrink it.
            ``None`` leaves it to the ratios of trials alone.
    """

    local_model: LocalModels
    radius_rule: RadiusRule
    max_tries: int
    global_history: History
    proposal_history: History | None = None
    forced_decrease: bool = False
    preconditioner: Preconditioner | None = None
    correction: Correction | None = None
    global_step: GlobalStep = "always"
    shared_radius: bool = True
    reevaluate: bool = False
    forget: bool = False
    tracker: Tracker | None = None

    @property
    def trial_rule(self) -> RadiusRule:
        """How the radius follows single trials."""
        return self.radius_rule if self.tracker is None else replace(self.radius_rule, grow=1.0)

    @property
    def histories(self) -> list[History]:
        """The distinct memories, in a fixed order."""
        pair = [self.global_history, self.proposal_history]
        return list({id(history): history for history in pair if history is not None}.values())
