"""The effect of repeated tries at the smallest radius: the same runs with them and without."""

from collections.abc import Mapping
from dataclasses import dataclass

from napts.analysis import Collection, Section, Table
from napts.analysis.columns import floats
from napts.analysis.labels import grouped
from napts.analysis.statistics import summarise
from napts.analysis.tables import over_runs, two_places
from napts.papers.claims.evidence import Evidence, Who
from napts.papers.claims.rules import Ratio
from napts.papers.claims.tables import interval
from napts.papers.claims.times import ModelledTime
from napts.papers.cost_model import FOUR_DEVICES, counted, fit, of_the_paper
from napts.papers.epoch_times import PAPER_SECONDS
from napts.papers.repeated_tries import repeats
from napts.records import RunRecord

PAIRS = (("NAPTS", "APTS"), ("APTSA", "APTS"), ("NAPTS", "APTSA"))
"""Methods whose modelled times are compared: N2, N8 and N9."""

_COURSE = ("train_loss", "val_loss", "radius", "backwards", "accepted")


@dataclass(frozen=True)
class Twins:
    """Comparisons that differ only in the repeats.

    Attributes:
        repeated: Methods that try again at the smallest radius.
        once: The same methods without that.
    """

    repeated: Section
    once: Section

    @property
    def alike(self) -> bool:
        """Whether both took the same path, to the last bit."""
        return _courses(self.repeated) == _courses(self.once)


def twins(collection: Collection) -> list[Twins]:
    """Return the comparisons of the paper's five methods that were run both ways."""
    found = [(s, settings) for s in collection.of_kind("comparison") if (settings := _settings(s))]
    return [
        Twins(one, other)
        for one, settings in found
        if all(map(repeats, _own(one)))
        for other, others in found
        if others == settings and not any(map(repeats, _own(other)))
    ]


def _own(section: Section) -> list[RunRecord]:
    return [run for run in section.records if run.label in PAPER_SECONDS]


def _settings(section: Section) -> Mapping[str, object]:
    """Return what identifies the five methods' runs, except the floor; empty if one is missing."""
    found = {
        f"{run.label} {run.seed}": {
            **{name: run.spec[name] for name in ("workload", "budget")},
            "optimizer": {k: v for k, v in run.spec["optimizer"].items() if k != "radius_floor"},
        }
        for run in _own(section)
    }
    methods = {name.split()[0] for name in found}
    return found if methods == set(PAPER_SECONDS) else {}


def _courses(section: Section) -> dict[tuple[str, int], list[list[object]]]:
    return {
        (run.label, run.seed): [[row.get(name) for name in _COURSE] for row in run.epochs]
        for run in _own(section)
    }


def repeats_table(collection: Collection) -> Table | None:
    """Set runs with repeats beside the same runs without, or return None if there are none."""
    rows = [
        row
        for pair in twins(collection)
        for way, section in (("repeated", pair.repeated), ("once", pair.once))
        for row in [_row(pair, section, way)]
    ]
    if not rows:
        return None
    ratios = [f"time {of} / {to}" for of, to in PAIRS]
    return Table(
        "Tries at the smallest radius: repeated, and once",
        ["problem", "tries there", "rejections per batch", "error", *ratios, "N3", "n", "same way"],
        rows,
        [
            f"Rejections: {' / '.join(PAPER_SECONDS)}, mean [min, max] over n seeds. Error: of the "
            "five modelled times beside the printed ones. Times: modelled on four devices, [95 % "
            "interval] over seeds. N3: rejections NAPTS / APTS. Same way: whether losses, radii, "
            "backwards and accepted steps of all epochs are those of the other row, bit by bit.",
        ],
        words=("rejections per batch",),
    )


def _row(pair: Twins, section: Section, way: str) -> list[str]:
    evidence = Evidence(section)
    rejections = {
        label: summarise(floats(rows, "rejections_per_batch").tolist())
        for _, label, rows in grouped(section.runs)
    }
    costs = {name: FOUR_DEVICES.cost(p) for name, p in of_the_paper(counted(section)).items()}
    times = [ModelledTime("", Who(of), Who(to), None).estimate(evidence) for of, to in PAIRS]
    fewer = Ratio("rejections_per_batch", Who("NAPTS"), Who("APTS"), None).estimate(evidence)
    return [
        section.slug,
        way,
        " / ".join(over_runs(rejections[name], two_places) for name in PAPER_SECONDS),
        f"{fit(costs).error:.3f}",
        *map(interval, times),
        interval(fewer),
        str(times[0].n),
        "yes" if pair.alike else "no",
    ]
