"""STTR and TTR, with one set of options each, beside rivals that were tuned or need no tuning.

Its experiments are called ``untuned-<problem>``. What decides was declared before they were run:
docs/results/untuned.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from napts.analysis import Collection, Section, Table
from napts.analysis.columns import floats
from napts.analysis.labels import distinct_labels, grouped
from napts.analysis.measured import named
from napts.analysis.outcome import by_outcome
from napts.analysis.statistics import Ratio, Summary, paired_difference, paired_ratio, summarise
from napts.analysis.tables import bracketed, form_of, number, over_runs
from napts.records.metric import Metric

PREFIX = "untuned-"
METHODS = ("STTR", "TTR")
"""Ours, which have one set of options for all problems."""

REFERENCE = "Adam, tuned"
"""The label whose passes are the unit."""

LONGER = ", 1.5 budgets"
"""End of the labels of runs that are longer, for the profile alone: what tunes itself may be."""

SENSITIVITY = {"STTR": f"{PREFIX}sensitivity-spectral-", "TTR": f"{PREFIX}sensitivity-"}
"""How the experiments begin in which the options of a method are varied one by one."""

_RULE = (
    "Test data, the network at the end. The rival is the one with the best mean over the same "
    "seeds, of those that are not ours. Difference: ours less the rival, paired by seed, with its "
    "95 % interval (t), positive if ours is better; ahead or behind if the interval lies on one "
    "side of 0, else level. Passes: forward and backward passes of the network, of ours over tuned "
    "Adam's."
)


@dataclass(frozen=True)
class Standing:
    """How a method of ours stands on one problem.

    Attributes:
        section: The runs.
        method: Its label.
        values: Final test values of the metric, by label and seed.
        rival: Label of the best other method.
        difference: Ours less the rival by seed, positive if ours is better.
        passes: Passes of ours over those of tuned Adam.
    """

    section: Section
    method: str
    values: dict[str, dict[int, float]]
    rival: str
    difference: Summary
    passes: Ratio

    @property
    def problem(self) -> str:
        """Name of the problem."""
        return self.section.experiment.removeprefix(PREFIX)

    @property
    def verdict(self) -> str:
        """`verdict_of` the difference."""
        return verdict_of(self.difference)

    def over(self, label: str) -> Summary:
        """Return ours less another method by seed, positive if ours is better."""
        metric = self.section.metric
        own, other = self.values[self.method], self.values[label]
        return paired_difference(_scores(own, metric), _scores(other, metric))


def verdict_of(difference: Summary) -> str:
    """Return ``"ahead"``, ``"level"`` or ``"behind"``; ``"open"`` with fewer than two seeds."""
    if not np.isfinite([difference.low, difference.high]).all():
        return "open"
    if difference.low > 0.0:
        return "ahead"
    return "behind" if difference.high < 0.0 else "level"


@lru_cache(maxsize=len(METHODS))
def standings(collection: Collection, method: str) -> list[Standing]:
    """Return how a method of ours stands on each problem on which it has rivals."""
    found = []
    for section in collection.of_kind("comparison"):
        varied = section.experiment.startswith(tuple(SENSITIVITY.values()))
        if section.experiment.startswith(PREFIX) and not varied:
            values = finals(section)
            if method in values and any(not is_ours(label) for label in values):
                found.append(_standing(section, method, values))
    return sorted(found, key=lambda standing: standing.problem)


def all_standings(collection: Collection) -> list[list[Standing]]:
    """Return the standings of each method of ours that has any."""
    found = [standings(collection, method) for method in METHODS]
    return [of_one for of_one in found if of_one]


def sensitivities(collection: Collection, method: str) -> list[Section]:
    """Return the sections in which the options of a method are varied one by one."""
    return [
        section
        for section in collection.of_kind("comparison")
        if section.experiment.startswith(SENSITIVITY[method])
        and method in distinct_labels(section.records)
    ]


def is_ours(label: str) -> bool:
    """Tell whether a label is that of a method of ours, or of a variant of one."""
    return label.partition(",")[0] in METHODS


def finals(section: Section) -> dict[str, dict[int, float]]:
    """Return the final test value of the metric by label and seed, as outcomes."""
    quantity = f"final_test_{section.metric.name}"
    return {
        label: dict(zip(group["seed"].tolist(), by_outcome(group, quantity), strict=True))
        for _, label, group in grouped(section.runs)
        if not label.endswith(LONGER)
    }


def _standing(section: Section, method: str, values: dict[str, dict[int, float]]) -> Standing:
    metric = section.metric
    own = values[method]
    rivals = {label: by for label, by in values.items() if not is_ours(label)}
    means = {
        label: metric.score(float(np.mean([by[s] for s in own if s in by] or [metric.worst])))
        for label, by in rivals.items()
    }
    rival = max(means, key=means.__getitem__)
    difference = paired_difference(_scores(own, metric), _scores(rivals[rival], metric))
    return Standing(section, method, values, rival, difference, _passes(section, method))


def _scores(values: dict[int, float], metric: Metric) -> dict[int, float]:
    return {seed: metric.score(value) for seed, value in values.items()}


def _passes(section: Section, method: str) -> Ratio:
    last = section.epochs.groupby(["label", "seed"], sort=False).tail(1)
    by = {
        label: dict(zip(g["seed"].tolist(), floats(g, "pass_equivalents_total"), strict=True))
        for _, label, g in grouped(last)
    }
    return paired_ratio(by[method], by.get(REFERENCE, {}))


def untuned_tables(collection: Collection) -> list[Table]:
    """Return the verdicts on every problem, and the final values of every method."""
    found = all_standings(collection)
    if not found:
        return []
    verdicts, differences = map(_verdicts, found), map(_differences, found)
    return [*verdicts, _values(max(found, key=len)), *differences]


def _verdicts(found: Sequence[Standing]) -> Table:
    rows, method = [], found[0].method
    for one in found:
        form = form_of(one.section.metric)
        seeds, rivals = one.values[method], one.values[one.rival]
        difference, passes = one.difference, one.passes
        rows.append(
            [
                one.problem,
                named(one.section.metric),
                f"{difference.n}",
                form(summarise(list(seeds.values())).mean),
                one.rival,
                form(summarise([v for s, v in rivals.items() if s in seeds]).mean),
                bracketed(difference.mean, difference.low, difference.high, form),
                one.verdict,
                bracketed(passes.value, passes.low, passes.high, lambda x: number(x, 3)),
            ]
        )
    counts = [one.verdict for one in found]
    told = ", ".join(f"{word} on {counts.count(word)}" for word in ("ahead", "level", "behind"))
    return Table(
        f"{method} beside the best rival of each problem",
        [
            "problem",
            "metric",
            "n",
            method,
            "best rival",
            "its value",
            "difference",
            "verdict",
            "passes",
        ],
        rows,
        (f"{method} is {told}, of {len(found)} problems.", _RULE),
    )


def _values(found: Sequence[Standing]) -> Table:
    labels, rows = _labels(found), []
    for one in found:
        form = form_of(one.section.metric)
        cells = [
            over_runs(summarise(list(one.values[label].values())), form)
            if label in one.values
            else "–"
            for label in labels
        ]
        rows.append([one.problem, named(one.section.metric), *cells])
    return Table(
        "Final test values",
        ["problem", "metric", *labels],
        rows,
        ("Mean [smallest, largest] over the seeds.",),
    )


def _differences(found: Sequence[Standing]) -> Table:
    method, rows = found[0].method, []
    labels = [label for label in _labels(found) if label != method]
    verdicts: dict[str, list[str]] = {label: [] for label in labels}
    for one in found:
        form, cells = form_of(one.section.metric), []
        for label in labels:
            if label not in one.values:
                cells.append("–")
                continue
            own = one.over(label)
            verdicts[label].append(verdict_of(own))
            cells.append(bracketed(own.mean, own.low, own.high, form))
        rows.append([one.problem, named(one.section.metric), *cells])
    told = [
        f"{label}: "
        + ", ".join(f"{word} {by.count(word)}" for word in ("ahead", "level", "behind"))
        for label, by in verdicts.items()
    ]
    return Table(
        f"{method} less each of the others",
        ["problem", "metric", *labels],
        rows,
        (
            f"Paired by seed, with 95 % intervals (t); positive if {method} is better.",
            f"{method} against {'; '.join(told)}.",
        ),
    )


def _labels(found: Sequence[Standing]) -> list[str]:
    return list(dict.fromkeys(label for one in found for label in one.values))
