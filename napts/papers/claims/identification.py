"""Which regime the NAPTS paper's numbers come from: cells judged by what it prints.

A cell is a set of options that the paper does not print; all five methods run with it, with global
steps tried again at the smallest radius. The criteria were declared before the first run
(docs/results/identification.md): the printed times, an order of the accuracies, and N1 to N10.
With the few seeds of a calibration, intervals are worthless; a cell *meets* a claim if each of the
claim's numbers lies where it must.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from napts.analysis import Section
from napts.analysis.columns import floats
from napts.analysis.statistics import Summary, summarise
from napts.papers.claims.calibration import SCORED, Change, calibration_cells
from napts.papers.claims.catalogue import CLAIMS
from napts.papers.claims.claim import Claim
from napts.papers.claims.evidence import Evidence, MissingError, Who
from napts.papers.cost_model import FOUR_DEVICES, Fit, Passes, counted, fit, of_the_paper
from napts.papers.epoch_times import PAPER_SECONDS
from napts.papers.repeated_tries import reaches_the_floor, repeats, with_tries

ERROR = 0.05
"""Largest root mean square of the log deviations of the five times that counts as a fit."""

DEVIATION = 0.1
"""Largest log deviation of a single time that counts as a fit."""

ORDER = tuple(
    (below, above)
    for below, higher in (
        ("TR", ("NTR", "APTS", "APTSA", "NAPTS")),
        ("NTR", ("APTS", "APTSA", "NAPTS")),
    )
    for above in higher
)
"""Pairs of methods of which the first ends below the second after equal epochs, according to the
paper: NTR is better than TR (N4), and both stay below the methods with subdomains (N5, N7). The
paper does not order these three, except that NAPTS keeps the accuracy of APTS (N1)."""

TRIES = (4, 5, 6, 8)
"""Limits of tries for which every cell is counted."""


@dataclass(frozen=True)
class Regime:
    """A cell with a limit of tries, and its results.

    Attributes:
        change: What it changes.
        tries: Its limit of tries.
        section: Its runs, counted with that limit, labelled by method.
    """

    change: Change
    tries: int
    section: Section

    @property
    def name(self) -> str:
        """What it changes, in one line."""
        return " ".join(f"{name}={value}" for name, value in self.change) or "centre"

    @cached_property
    def passes(self) -> dict[str, Passes]:
        """Passes of a batch by method."""
        return of_the_paper(counted(self.section))

    @cached_property
    def fit(self) -> Fit:
        """Its modelled times beside the printed ones."""
        return fit({name: FOUR_DEVICES.cost(passes) for name, passes in self.passes.items()})

    @property
    def local_steps(self) -> int | None:
        """Its local steps; None if methods differ in them."""
        found = {
            run.spec["optimizer"]["local_steps"]
            for run in self.section.records
            if "local_steps" in run.spec["optimizer"]
        }
        return found.pop() if len(found) == 1 else None

    def with_local_steps(self, steps: int) -> dict[str, Passes]:
        """Return its passes as if it had another number of local steps and rejected as often.

        Args:
            steps: The other number.

        Raises:
            ValueError: Its methods differ in their local steps, or have one, which counts no pass.
        """
        if self.local_steps in (None, 1):
            raise ValueError(
                f"{self.name}: found {self.local_steps} local steps, allowed: 2 or more"
            )
        factor = (steps - 1) / (self.local_steps - 1)
        return {
            name: passes._replace(local=factor * passes.local)
            for name, passes in self.passes.items()
        }

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len({run.seed for run in self.section.records})

    @cached_property
    def rejections(self) -> dict[str, Summary]:
        """Rejections of a batch by method, over seeds."""
        by_label = self.section.runs.groupby("label", sort=False)
        found = {
            str(label): summarise(floats(rows, "rejections_per_batch").tolist())
            for label, rows in by_label
        }
        return {method: found[method] for method in PAPER_SECONDS}

    @cached_property
    def accuracies(self) -> dict[str, Summary]:
        """Validation accuracy after equal epochs by method, over seeds."""
        evidence = Evidence(self.section)
        who = [Who(method) for method in PAPER_SECONDS]
        shared = min(map(evidence.epochs_of, who))
        return {
            each.method: summarise([*evidence.at_epoch(each, "val_accuracy", shared).values()])
            for each in who
        }

    @cached_property
    def met(self) -> tuple[str, ...]:
        """The claims of N1 to N10 that it meets."""
        evidence = Evidence(self.section)
        claims = [claim for claim in CLAIMS if claim.name in SCORED]
        return tuple(claim.name for claim in claims if _is_met(claim, evidence))

    @cached_property
    def in_order(self) -> int:
        """How many pairs of `ORDER` agree with the paper."""
        return len(ORDER) - len(self._disordered())

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not reproduce the paper; empty if it does."""
        return (*self._off(), *self._disordered(), *self._unmet())

    @property
    def fits(self) -> bool:
        """Whether the five times agree."""
        return not self._off()

    @property
    def reproduces(self) -> bool:
        """Whether the times, the order of the accuracies and the claims agree."""
        return not self.reasons

    def _off(self) -> tuple[str, ...]:
        found = [f"error of the times {self.fit.error:.3f}"] if self.fit.error > ERROR else []
        for method, deviation in self.fit.deviations.items():
            if abs(deviation) > DEVIATION:
                found.append(f"time of {method} {100 * math.expm1(deviation):+.0f} %")
        return tuple(found)

    def _disordered(self) -> tuple[str, ...]:
        mean = {method: found.mean for method, found in self.accuracies.items()}
        return tuple(f"{low} not below {high}" for low, high in ORDER if not mean[low] < mean[high])

    def _unmet(self) -> tuple[str, ...]:
        missed = [name for name in SCORED if name not in self.met]
        return (f"not met: {', '.join(missed)}",) if missed else ()

    def rank(self) -> tuple[bool, bool, int, int, float]:
        """Return the sort key of regimes, the best first.

        First come those that reproduce the paper, then those whose times fit; then by claims met,
        by pairs in order, and by the error of the times.
        """
        error = self.fit.error
        return not self.reproduces, not self.fits, -len(self.met), -self.in_order, error


def _is_met(claim: Claim, evidence: Evidence) -> bool:
    """Tell whether every number of a claim lies where it must, whatever its interval."""
    for rule in claim.rules:
        if rule.region is None:
            continue
        try:
            value = rule.estimate(evidence).value
        except MissingError:
            return False
        if not rule.region.holds(value):
            return False
    return True


def is_identification(section: Section) -> bool:
    """Tell whether a calibration is one whose methods try again at the smallest radius."""
    own = [run for run in section.records if run.method in PAPER_SECONDS]
    return bool(own) and all(map(repeats, own))


def regimes(section: Section) -> list[Regime]:
    """Return every cell of a calibration with the limit of tries that suits it best, best first.

    Cells with fewer seeds than others come after them.

    Args:
        section: The calibration. For each cell, only the seeds with which all five methods reached
            the end are used; cells without such seeds are left out.
    """
    limited = (with_limits(cell) for cell in _complete(section))
    best = [min(found, key=Regime.rank) for found in limited if found]
    return sorted(best, key=lambda regime: (-regime.seeds, regime.rank()))


def _complete(section: Section) -> list[Section]:
    """Return the cells with the seeds with which all five methods reached the end."""
    found = []
    for cell in calibration_cells(section):
        done = [run for run in cell.records if run.state == "done"]
        seeds = [{run.seed for run in done if run.method == name} for name in PAPER_SECONDS]
        records = tuple(run for run in done if run.seed in set.intersection(*seeds))
        complete = replace(cell, records=records)
        if records and of_the_paper(counted(complete)):
            found.append(complete)
    return found


def with_limits(cell: Section) -> list[Regime]:
    """Return a cell with the limit of tries of its runs, and with the other possible ones."""
    ran = {run.spec["optimizer"]["max_tries"] for run in cell.records}
    borne = {t for t in TRIES if all(reaches_the_floor(run, t) for run in cell.records)}
    limits = ran | borne if len(ran) == 1 else borne
    return [_limited(cell, tries) for tries in sorted(limits)]


def _limited(cell: Section, tries: int) -> Regime:
    parts = (part.partition("=") for part in cell.slug.split())
    change = tuple((name, value) for name, _, value in parts if name != "max_tries")
    records = tuple(with_tries(run, tries) for run in cell.records)
    return Regime(change, tries, replace(cell, records=records))
