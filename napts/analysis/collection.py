"""All runs under a records folder, arranged in sections of comparable runs."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from napts.analysis.frames import epochs_frame, runs_frame
from napts.analysis.tuning import Tuning, tunings_of
from napts.analysis.versions import apart_by_version
from napts.records import Damage, RecordError, RunRecord, read_runs
from napts.records.layout import Kind, kind_by_name
from napts.records.metric import Metric

_Key = tuple[str, str, Kind, Metric]
"""Experiment, workload, kind and metric of a section."""


@dataclass(frozen=True)
class Section:
    """Runs that belong in one table: one experiment on one workload, of one kind.

    All of them are compared by the same metric.

    Attributes:
        experiment: Name of the experiment.
        workload: Name of the workload.
        slug: Short name for files: the workload, preceded by the experiment if the same workload
            occurs in several experiments and the experiment has another name. For tuning and
        calibration: the experiment, preceded by the kind if the name does not show it. If two
            sections would have the same name, the metric is appended.
        records: The runs.
    """

    experiment: str
    workload: str
    slug: str
    records: tuple[RunRecord, ...]

    @property
    def kind(self) -> Kind:
        """What the runs are for."""
        return self.records[0].kind

    @property
    def metric(self) -> Metric:
        """The metric used to compare them."""
        return self.records[0].primary

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row per run and epoch; see `epochs_frame`."""
        return epochs_frame(self.records)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per run; see `runs_frame`."""
        return runs_frame(self.records, self.epochs)

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change whenever a number or a setting of a run does."""
        return records_digest(self.records)


@dataclass(frozen=True, eq=False)
class Collection:
    """Every run under one records folder; two collections are equal only if they are one object.

    Attributes:
        root: The folder as given.
        sections: Experiments and workloads, sorted by slug.
        damages: The runs that were left out because their records are damaged.
    """

    root: Path
    sections: tuple[Section, ...]
    damages: tuple[Damage, ...] = ()

    @property
    def records(self) -> list[RunRecord]:
        """The runs of all sections."""
        return [run for section in self.sections for run in section.records]

    def of_kind(self, kind: Kind) -> list[Section]:
        """Return the sections of one kind; see `Section.kind`."""
        return [section for section in self.sections if section.kind == kind]

    @cached_property
    def tunings(self) -> list[Tuning]:
        """The tuning studies."""
        return [t for section in self.of_kind("tuning") for t in tunings_of(section.records)]

    def tuned(self, workload: str, metric: Metric | None = None) -> dict[str, dict[str, Any]]:
        """Return, for each method, the options that tuning chose on a workload.

        Args:
            workload: Its name.
            metric: What was tuned for; may be omitted if the studies agree.

        Raises:
            ValueError: No metric is given, and methods were tuned for several.
        """
        found = [tuning for tuning in self.tunings if tuning.workload == workload]
        measures = dict.fromkeys(tuning.measure for tuning in found)
        if metric is None and len(measures) > 1:
            names = ", ".join(f"{measure.name} ({measure.goal})" for measure in measures)
            raise ValueError(f"{workload} is tuned for several metrics: {names}")
        return {t.method: t.best.options for t in found if metric in (None, t.measure)}


def load_collection(root: str | Path) -> Collection:
    """Read every run directory and every file of packed runs under a records folder.

    Args:
        root: A records folder, one experiment in it, one run directory, or one packed file.

    Returns:
        The runs in sections, and what is wrong with those that could not be read. Runs of versions
        whose results differ have different labels; see `napts.analysis.versions`.

    Raises:
        RecordError: There is no run under ``root``, or none that can be read.
    """
    runs, damages = read_runs(root)
    if not runs and damages:
        more = f" among {len(damages)}" if len(damages) > 1 else ""
        raise RecordError(f"{root}: no run that can be read{more}: {damages[0]}")
    if not runs:
        raise RecordError(f"{root}: no run directories here (a run directory holds a spec.json)")
    groups: dict[_Key, list[RunRecord]] = defaultdict(list)
    for run in apart_by_version(runs):
        groups[run.experiment, run.workload, run.kind, run.primary].append(run)
    names = _slugs(list(groups))
    sections = [Section(*key[:2], names[key], tuple(runs)) for key, runs in groups.items()]
    sections.sort(key=lambda section: section.slug)
    return Collection(Path(root), tuple(sections), tuple(damages))


def _slugs(keys: Sequence[_Key]) -> dict[_Key, str]:
    """Return a unique name for every section."""
    plain = {key: _slug(key, keys) for key in keys}
    shared = list(plain.values())
    names: dict[_Key, str] = {}
    for key, name in plain.items():
        metric = key[-1]
        unique = name if shared.count(name) == 1 else f"{name}-{metric.name}"
        number = list(names.values()).count(unique)
        names[key] = f"{unique}-{number + 1}" if number else unique
    return names


def _slug(key: _Key, keys: Sequence[_Key]) -> str:
    experiment, workload, kind, _ = key
    if kind == "comparison":
        compared = {(other, w) for other, w, its, _ in keys if its == kind}
        alone = [w for _, w in compared].count(workload) == 1 or experiment == workload
        name = workload if alone else f"{experiment}-{workload}"
    else:
        name = experiment if kind_by_name(experiment) == kind else f"{kind}-{experiment}"
        others = {
            other for its_name, other, its, _ in keys if (its_name, its) == (experiment, kind)
        }
        name = name if len(others) == 1 else f"{name}-{workload}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def records_digest(runs: Sequence[RunRecord]) -> str:
    """Return a digest of the records' contents, whatever folder they are in.

    Args:
        runs: The runs, in any order.

    Returns:
        Twelve hexadecimal digits of SHA-256 over specs, epochs, states and final values.
    """
    contents = sorted(
        json.dumps(
            [run.experiment, run.run_key, run.label, run.spec, run.epochs, run.state, run.final],
            sort_keys=True,
        )
        for run in runs
    )
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:12]
