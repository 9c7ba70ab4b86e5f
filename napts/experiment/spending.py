"""What training has cost so far, and whether the budget is used up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from napts.experiment.spec.budget import Target
from napts.records.costs import pass_equivalents

_ROUNDING = 1e-9  # thirds of passes add up to whole ones up to that


@dataclass(slots=True)
class Spent:
    """Sums over the epochs that have ended.

    Attributes:
        steps: Steps taken.
        samples: Training samples in their batches.
        forwards: Forward passes of the whole network.
        backwards: Backward passes of the whole network.
        local_passes: Local passes.
        hessian_products: Products of Hessians with vectors, by their share of the samples.
        train_ns: Wall time of the training part, in nanoseconds.
        cpu_seconds: CPU time of the training part, of all ranks.
    """

    steps: int = 0
    samples: int = 0
    forwards: float = 0.0
    backwards: float = 0.0
    local_passes: int = 0
    hessian_products: float = 0.0
    train_ns: int = 0
    cpu_seconds: float = 0.0

    def passes(self, local_fraction: float) -> float:
        """Return the passes in forward-backward passes of the whole network.

        Args:
            local_fraction: Share of the batch that a local pass uses.
        """
        return pass_equivalents(
            self.forwards,
            self.backwards,
            self.local_passes,
            local_fraction,
            self.hessian_products,
        )

    def limited(self, epochs: float, local_fraction: float) -> dict[str, float]:
        """Return what is spent of each limit of a budget.

        Args:
            epochs: Epochs, including the part of the current one.
            local_fraction: Share of the batch that a local pass uses.
        """
        return {
            "epochs": epochs,
            "passes": self.passes(local_fraction),
            "samples": self.samples,
            "seconds": self.train_ns / 1e9,
        }


def limit_reached(limits: Mapping[str, float], spent: Mapping[str, float]) -> str | None:
    """Return the limit that has been reached, or None.

    Args:
        limits: The limits of a budget, by name.
        spent: What is spent of each limit.
    """
    for name, limit in limits.items():
        if spent[name] >= (limit * (1.0 - _ROUNDING) if name == "passes" else limit):
            return name
    return None


def share_spent(limits: Mapping[str, float], spent: Mapping[str, float]) -> float:
    """Return how much of a budget is spent, in [0, 1], by the nearest limit.

    Args:
        limits: The limits of a budget, by name.
        spent: What is spent of each limit.
    """
    return min(1.0, max(spent[name] / limit for name, limit in limits.items()))


class TargetNote(TypedDict):
    """How near a run came to its target, as in its status.

    Attributes:
        metric: The metric.
        value: The value to reach.
        goal: "max" or "min".
        reached: Whether it was reached; the run then ended there.
        found: The value that reached it, or the best one so far; None if there was none.
        epoch: The epoch with that value, 0 for the network before training.
        steps: Steps up to the end of that epoch.
        samples: Training samples in their batches.
        passes: Forward-backward passes of the whole network over a batch.
        train_seconds: Wall time of the training part.
        cpu_seconds: CPU time of the training part, of all ranks.
    """

    metric: str
    value: float
    goal: str | None
    reached: bool
    found: float | None
    epoch: int
    steps: int
    samples: int
    passes: float
    train_seconds: float
    cpu_seconds: float


def note_target(
    target: Target,
    row: Mapping[str, Any],
    spent: Spent,
    local_fraction: float,
    before: TargetNote | None,
) -> TargetNote:
    """Check whether an epoch has reached the target, or come nearer than those before it.

    Args:
        target: The target.
        row: The epoch's row.
        spent: What was spent up to its end.
        local_fraction: Share of the batch that a local pass uses.
        before: The note after the epoch before it.

    Raises:
        ValueError: The problem has no such metric.
    """
    if target.metric not in row:
        known = [name for name in row if name == "train_loss" or name.startswith("val_")]
        raise ValueError(
            f"budget.target.metric: found {target.metric}, allowed: {', '.join(known)}"
        )
    found = row[target.metric]
    if before is not None and not target.better(found, before["found"]):
        return before
    return TargetNote(
        metric=target.metric,
        value=target.value,
        goal=target.goal,
        reached=target.met(found),
        found=found,
        epoch=row["epoch"],
        steps=spent.steps,
        samples=spent.samples,
        passes=spent.passes(local_fraction),
        train_seconds=spent.train_ns / 1e9,
        cpu_seconds=spent.cpu_seconds,
    )
