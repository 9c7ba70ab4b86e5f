"""The numbers by seed that one section of the records has on a method.

A run that failed or diverged counts as the worst possible value in every number, including its
costs: a method that does not get to the end is not cheap. A run that has not ended has no number
yet; see `napts.analysis.outcome`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import pandas as pd

from napts.analysis import Section
from napts.analysis.columns import floats, rows_where, texts
from napts.analysis.labels import distinct_labels
from napts.analysis.outcome import by_outcome, outcome, seeds_ended_badly
from napts.analysis.sharing import TIMES, sharing
from napts.records import RunRecord

BySeed = dict[int, float]


class Extreme(Enum):
    """A value of an option that depends on what the section holds."""

    LEAST = "fewest"
    MOST = "most"

    def __str__(self) -> str:
        """Return it in words."""
        return self.value

    def of(self, values: Iterable[float]) -> float:
        """Return the extreme one."""
        return min(values) if self is Extreme.LEAST else max(values)


LEAST, MOST = Extreme.LEAST, Extreme.MOST


class MissingError(Exception):
    """The records do not hold what a claim is about; the message says what it would need."""


class NotReachedError(MissingError):
    """No run has reached the target whose cost is compared."""


@dataclass(frozen=True)
class Who:
    """The method that a claim is about.

    Attributes:
        method: Name of the method.
        options: Options that its runs must have; empty for the method with its defaults. An
            `Extreme` represents the least or largest value that some run of the method has.
        name: Name in tables; the method's own by default.
        tuned: Whether its options must be those that a tuning study on the same workload chose.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    tuned: bool = False

    def __str__(self) -> str:
        """Return the name."""
        tuned = "tuned " if self.tuned else ""
        return tuned + (self.name or self.method)


@dataclass(frozen=True)
class Evidence:
    """The runs of one section, and the tuned settings of its workload.

    Attributes:
        section: The runs.
        tuned: For each method, the options that tuning chose on this workload.
    """

    section: Section
    tuned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def _labelled(self) -> list[tuple[RunRecord, str]]:
        records = self.section.records
        return list(zip(records, distinct_labels(records), strict=True))

    def label_of(self, who: Who) -> str:
        """Return the label of a method in the section.

        Raises:
            MissingError: There are no such runs, or several settings fit.
        """
        wanted = dict(who.options)
        if who.tuned:
            if who.method not in self.tuned:
                raise MissingError(f"a tuning study of {who.method} on this workload")
            wanted |= self.tuned[who.method]
        wanted = self._resolved(who, wanted)
        labels = {
            label
            for run, label in self._labelled
            if run.method == who.method and _has(run.spec["optimizer"], wanted)
        }
        if not labels:
            raise MissingError(f"runs of {who}")
        if len(labels) > 1 and who.method in labels and not wanted:
            return who.method
        if len(labels) > 1:
            raise MissingError(f"one setting of {who}, found {', '.join(sorted(labels))}")
        return labels.pop()

    def _resolved(self, who: Who, wanted: dict[str, Any]) -> dict[str, Any]:
        """Replace the extremes among wanted options by the values that the runs have.

        Raises:
            MissingError: There are fewer than two values.
        """
        runs = [run.spec["optimizer"] for run in self.section.records if run.method == who.method]
        resolved = dict(wanted)
        for name, value in wanted.items():
            if isinstance(value, Extreme):
                found = {run[name] for run in runs if name in run}
                if len(found) < 2:
                    raise MissingError(f"runs of {who.method} with several values of {name}")
                resolved[name] = value.of(found)
        return resolved

    def labels_by(self, who: Who, option: str) -> dict[Any, str]:
        """Return the labels of a method's runs by the value of an option.

        Raises:
            MissingError: There are fewer than two values.
        """
        found = {
            run.spec["optimizer"].get(option): label
            for run, label in self._labelled
            if run.method == who.method and _has(run.spec["optimizer"], who.options)
        }
        if len(found) < 2:
            raise MissingError(f"runs of {who} with several values of {option}")
        return found

    def epochs_of(self, who: Who) -> int:
        """Return the planned number of epochs of a method's runs."""
        planned = floats(self._runs(self.label_of(who)), "epochs_planned")
        if not all(map(math.isfinite, planned)):
            raise MissingError(f"runs of {who} with a number of epochs")
        return int(planned.max())

    def rate(self, who: Who, column: str) -> BySeed:
        """Return a column of the runs frame by seed, as outcomes."""
        return self.rate_of(self.label_of(who), column)

    def rate_of(self, label: str, column: str) -> BySeed:
        """Return a column of the runs frame by seed, as outcomes, for a label.

        Raises:
            MissingError: It is a time, and runs shared their GPU with others.
        """
        runs = self._runs(label)
        if column in TIMES:
            self.refuse_shared(label)
        return dict(zip(runs["seed"].tolist(), by_outcome(runs, column), strict=True))

    def records_of(self, label: str) -> list[RunRecord]:
        """Return the records of a label's runs."""
        return [run for run, name in self._labelled if name == label]

    def refuse_shared(self, label: str) -> None:
        """Refuse to use the seconds of runs that shared their GPU with others as times.

        Args:
            label: Label of the runs.

        Raises:
            MissingError: Some of them did.
        """
        if sharing(self._runs(label)):
            raise MissingError(f"runs of {label} that had the GPU to themselves")

    def at_epoch(self, who: Who, column: str, epoch: int) -> BySeed:
        """Return a column of the epochs frame by seed, as outcomes.

        A run that ended badly counts as the worst at every epoch, even at one that it passed: its
        value there was not a result.
        """
        rows = self.rows(who)
        there = rows_where(rows, floats(rows, "epoch") == epoch)
        found = dict(zip(there["seed"].tolist(), floats(there, column).tolist(), strict=True))
        return {
            seed: outcome(found.get(seed, math.nan), state, column, self.section.metric)
            for seed, state in self.states(who).items()
        }

    def rows(self, who: Who) -> pd.DataFrame:
        """Return a method's rows of the epochs frame, including epoch 0; none before the first."""
        none = self.section.epochs.head(0)
        return self._epochs_by_label.get(self.label_of(who), none)

    def states(self, who: Who) -> dict[int, str]:
        """Return how a method's runs ended, by seed."""
        runs = self._runs(self.label_of(who))
        return dict(zip(runs["seed"].tolist(), texts(runs, "state"), strict=True))

    def ended_badly(self, *somebody: Who) -> set[int]:
        """Return the seeds with which a run of one of the methods failed or diverged."""
        return self.badly_ended(map(self.label_of, somebody))

    def badly_ended(self, labels: Iterable[str]) -> set[int]:
        """Return the seeds with which a run of one of the labels failed or diverged."""
        return set().union(*(seeds_ended_badly(self._runs(label)) for label in labels))

    def _runs(self, label: str) -> pd.DataFrame:
        return self._runs_by_label[label]

    @cached_property
    def _runs_by_label(self) -> dict[str, pd.DataFrame]:
        return _by_label(self.section.runs)

    @cached_property
    def _epochs_by_label(self) -> dict[str, pd.DataFrame]:
        return _by_label(self.section.epochs)


def _by_label(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(label): rows for label, rows in frame.groupby("label", sort=False)}


def _has(options: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_plain(options.get(name)) == _plain(value) for name, value in wanted.items())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
