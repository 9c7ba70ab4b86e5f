"""A claim of a paper: what it says, where, and how it is tested."""

import math
from dataclasses import dataclass

from napts.analysis import Section
from napts.claims.rules import Rule


@dataclass(frozen=True)
class Claim:
    """A checkable statement.

    Attributes:
        name: Short name, for example ``"N3"``.
        statement: What is claimed.
        source: Paper and place.
        rules: What is measured and where it must lie, declared beforehand; all must hold. A rule
            without a region is only told. Empty if the package does not test the claim.
        needs: What a test would need, where there are no rules.
        on: The workloads it speaks of: those whose names begin with this.
        least_batch: It speaks of batches of at least so many samples.
    """

    name: str
    statement: str
    source: str
    rules: tuple[Rule, ...] = ()
    needs: str = ""
    on: str = ""
    least_batch: int = 1

    def speaks_of(self, section: Section) -> bool:
        """Tell whether a section is on what the claim is about."""
        sizes = (run.spec["budget"]["batch_size"] for run in section.records)
        least = min(math.inf if size == "full" else size for size in sizes)
        return section.workload.startswith(self.on) and least >= self.least_batch
