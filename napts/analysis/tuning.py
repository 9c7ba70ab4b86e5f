"""Tuning studies: the best setting, the cost of the search, the result with fewer settings."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napts.analysis.labels import flat_science, suffixes
from napts.records import RunRecord
from napts.records.layout import TUNING_PREFIX
from napts.records.metric import LOSS, Metric
from napts.records.read import ENDED

LOSSES = ("val_loss", "train_loss")
"""What may be tuned for besides the metric used to compare runs."""


def experiment_name(workload: str, method: str) -> str:
    """Return the name of a tuning study's experiment."""
    return f"{TUNING_PREFIX}{workload}-{method}"


def measure_of(column: str | None, primary: Metric) -> tuple[str, Metric]:
    """Return what is tuned for.

    Args:
        column: The metric used to compare runs, on validation data, or one of `LOSSES`; None for
            the former.
        primary: The metric used to compare runs.

    Returns:
        The column, and the metric that it holds.

    Raises:
        ValueError: It is any other column.
    """
    own = primary.column("val")
    if column is None or column == own:
        return own, primary
    if column in LOSSES:
        return column, LOSS
    allowed = ", ".join(dict.fromkeys((own, *LOSSES)))
    raise ValueError(f"metric: found {column}, allowed: {allowed}")


@dataclass(frozen=True)
class Setting:
    """One setting and its results.

    Attributes:
        options: The method's options.
        scores: Final value by seed, larger being better; minus infinity for a run that failed or
            diverged.
        cpu_seconds: CPU time of training, over its runs.
        seconds: Wall time of training, over its runs.
        beside: What else differs from other settings of the study, such as ``" [epochs=20]"``.
    """

    options: dict[str, Any]
    scores: dict[int, float]
    cpu_seconds: float
    seconds: float
    beside: str = ""

    @property
    def mean(self) -> float:
        """Mean score over its seeds."""
        return float(np.mean(list(self.scores.values())))


@dataclass(frozen=True)
class Tuning:
    """A tuning study.

    Attributes:
        workload: The problem.
        method: The method.
        metric: What was tuned for; see `measure_of`.
        measure: The metric that this column holds.
        settings: One entry per setting, with only the runs that have ended.
    """

    workload: str
    method: str
    metric: str
    measure: Metric
    settings: tuple[Setting, ...]
    varied: tuple[str, ...] = field(default=())

    @property
    def finalists(self) -> list[Setting]:
        """The settings that were tried with every seed, best first."""
        most = max(len(setting.scores) for setting in self.settings)
        full = [setting for setting in self.settings if len(setting.scores) == most]
        return sorted(full, key=lambda setting: setting.mean, reverse=True)

    @property
    def best(self) -> Setting:
        """The setting with the best mean over all seeds."""
        return self.finalists[0]

    @property
    def runs(self) -> int:
        """Number of runs."""
        return sum(len(setting.scores) for setting in self.settings)

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all runs."""
        return sum(setting.cpu_seconds for setting in self.settings)

    def screened(self, seed: int) -> list[Setting]:
        """Return the settings by their score with one seed, best first."""
        with_seed = [setting for setting in self.settings if seed in setting.scores]
        return sorted(with_seed, key=lambda setting: setting.scores[seed], reverse=True)

    def value(self, score: float) -> float:
        """Return a score as the metric."""
        return self.measure.score(score)

    def expected_best(self) -> list[float]:
        """Return the metric that the best of k randomly drawn settings would have had.

        Over the first seed, for k = 1 to the number of settings: Dodge et al., *Show Your Work*
        (2019), the estimate with replacement. Failed settings count as the worst value seen.
        """
        seed = min(min(setting.scores) for setting in self.settings)
        scores = np.array([setting.scores[seed] for setting in self.screened(seed)][::-1])
        finite = scores[np.isfinite(scores)]
        if not len(finite):
            return [math.nan] * len(scores)
        scores = np.where(np.isfinite(scores), scores, finite.min())
        ranks = np.arange(len(scores) + 1) / len(scores)
        return [
            self.value(float(scores @ np.diff(ranks**draws))) for draws in range(1, len(scores) + 1)
        ]


def tunings_of(runs: Sequence[RunRecord]) -> list[Tuning]:
    """Gather the runs of tuning studies on one workload: one study for each method.

    Args:
        runs: The runs; methods without a run that has ended are left out.
    """
    methods: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        methods[run.method].append(run)
    return [tuning_of(own) for own in methods.values() if any(r.state in ENDED for r in own)]


def tuning_of(runs: Sequence[RunRecord], metric: str | None = None) -> Tuning:
    """Gather the runs of a tuning study.

    Args:
        runs: Runs of one method on one workload; those that have not ended are left out.
        metric: What is tuned for (see `measure_of`); by default what the runs are compared by.

    Raises:
        ValueError: No run has ended, or tuning for this metric is not possible.
    """
    ended = [run for run in runs if run.state in ENDED]
    if not ended:
        raise ValueError("no run of the tuning study has ended")
    groups: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    beside = suffixes([surroundings(run.spec) for run in ended])
    for run, text in zip(ended, beside, strict=True):
        groups[json.dumps(run.spec["optimizer"], sort_keys=True), text].append(run)
    column, measure = measure_of(metric, ended[0].primary)
    settings = [_setting(group, column, measure, beside) for (_, beside), group in groups.items()]
    names = dict.fromkeys(name for setting in settings for name in setting.options)
    varied = [n for n in names if len({json.dumps(t.options.get(n)) for t in settings}) > 1]
    first = ended[0]
    names = tuple(varied)
    return Tuning(first.workload, first.method, column, measure, tuple(settings), names)


def surroundings(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the part of a spec that all settings of a study must share: budget, data, code.

    Args:
        spec: The validated spec of a run; keys that older ones lack are left out of all.

    Returns:
        For example ``{"budget.epochs": "5"}``.
    """
    found = flat_science(spec, "optimizer")
    absent = {("budget.overlap", "0.0"), ("execution.autocast", "none")}
    rounding = ("execution.channels_last", "execution.compile")
    found = {name: value for name, value in found.items() if name not in rounding}
    return {k: v for k, v in found.items() if v != "null" and (k, v) not in absent}


def _setting(runs: Sequence[RunRecord], column: str, measure: Metric, beside: str) -> Setting:
    trained = [row for run in runs for row in run.epochs if row["epoch"] > 0]
    return Setting(
        options=runs[0].spec["optimizer"],
        scores={run.seed: _score(run, column, measure) for run in runs},
        cpu_seconds=sum(row.get("cpu_seconds") or 0.0 for row in trained),
        seconds=sum(row.get("train_seconds") or 0.0 for row in trained),
        beside=beside,
    )


def _score(run: RunRecord, column: str, measure: Metric) -> float:
    value = (run.final or {}).get(column) if run.state == "done" else None
    if value is None or not math.isfinite(value):
        return -math.inf
    return measure.score(value)
