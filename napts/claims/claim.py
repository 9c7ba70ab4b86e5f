"""A claim of a paper: what it says, where, and how it is tested."""

from dataclasses import dataclass

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
    """

    name: str
    statement: str
    source: str
    rules: tuple[Rule, ...] = ()
    needs: str = ""
    on: str = ""
