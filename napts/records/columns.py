"""Every column of a run's files, in one table: writers, frames, MLflow and the docs read it.

A column with ``<metric>`` in its name represents one column per metric of the problem.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from napts.records import layout
from napts.records.metric import NAME_PATTERN

Type = Literal["integer", "number", "flag", "text", "table"]

METRIC = "<metric>"
"""Represents the name of a metric in the table."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its name.
        file: The file it belongs to.
        type: What it holds. "table" is a JSON object. Every column may also be null, if there is no
            such value.
        unit: Unit of numbers; empty if they have none.
        meaning: What it means.
        since: First version of the package that writes it.
        per_batch: Name of the mean over the batches of an epoch, if it is a total.
        measured: Whether it differs between two runs with the same numbers.
        optional: Whether only runs of some methods write it.
    """

    name: str
    file: str
    type: Type
    unit: str
    meaning: str
    since: str = "0.1"
    per_batch: str | None = None
    measured: bool = False
    optional: bool = False

    def describes(self, name: str) -> bool:
        """Tell whether it is the column with that name; losses have columns of their own."""
        before, found, _ = self.name.partition(METRIC)
        if not found or name == f"{before}loss":
            return self.name == name
        return re.fullmatch(f"{re.escape(before)}{NAME_PATTERN}", name) is not None


_TOTAL = "per epoch"


def _epochs() -> Iterator[Column]:
    file = layout.EPOCHS
    yield Column("attempt", file, "integer", "", "attempt that wrote the row", measured=True)
    yield Column("epoch", file, "integer", "", "epochs finished; 0 is the evaluation before them")
    yield Column("batches", file, "integer", _TOTAL, "steps taken; 0 before training")
    yield Column("samples", file, "integer", _TOTAL, "samples in their batches", since="0.2")
    yield Column("train_loss", file, "number", "", "mean over the samples of the epoch's steps")
    yield Column("val_loss", file, "number", "", "mean loss on the validation samples")
    yield Column(f"val_{METRIC}", file, "number", "", "the metric on the validation samples")
    for part, doing in (
        ("train", "training"),
        ("eval", "evaluation"),
        ("checkpoint", "the checkpoint before"),
        ("logging", "writing rows"),
    ):
        yield Column(f"{part}_seconds", file, "number", "s", f"wall time of {doing}", measured=True)
    yield Column("cpu_seconds", file, "number", "s", "CPU time of training", measured=True)
    yield Column("wall_seconds", file, "number", "s", "wall time of the epoch", measured=True)
    yield Column("elapsed_seconds", file, "number", "s", "wall time so far", measured=True)
    yield from _work(file)
    yield from _sums(file, _TOTAL)
    yield from _quasi_newton(file, _TOTAL)
    yield from _levels(file, _TOTAL)
    merged = "thinned copies: epochs that the row stands for, it and those before it"
    yield Column(layout.MERGED, file, "integer", "", merged, since="0.2", optional=True)
    yield Column("radius", file, "number", "", "trust-region radius at the end of the epoch")
    yield Column("peak_memory_mb", file, "number", "MB", "peak memory so far", measured=True)
    yield Column("time", file, "number", "unix s", "when the row was written", measured=True)


def _work(file: str) -> Iterator[Column]:
    """Totals over an epoch that are shown per batch."""
    for name, meaning, per_batch in (
        ("rejections", "rejected trial steps", "rejections_per_batch"),
        ("rejections_proposal", "of these proposals", "rejections_proposal_per_batch"),
        ("rejections_correction", "of these corrections", "rejections_correction_per_batch"),
        ("rejections_global", "of these global steps", "rejections_global_per_batch"),
        ("forwards", "forward passes of the whole network", "forwards_per_batch"),
        ("backwards", "backward passes of the whole network", "backwards_per_batch"),
        (
            "local_passes",
            "local forward and backward passes, all subdomains together counting once",
            "local_passes_per_batch",
        ),
        ("accepted", "batches with an accepted step", "acceptance_rate"),
        ("nonmonotone", "batches accepted by the memory alone", "nonmonotone_rate"),
    ):
        yield Column(name, file, "number", _TOTAL, meaning, per_batch=per_batch)


def _sums(file: str, unit: str) -> Iterator[Column]:
    """What only methods for finite sums count, each by its share of the samples."""
    for name, meaning in (
        ("hessians", "finite sums: Hessians set up, by their share of the samples"),
        ("hessian_products", "finite sums: products of Hessians with vectors, likewise"),
        ("cg_iterations", "finite sums: iterations of conjugate gradients"),
    ):
        yield Column(name, file, "number", unit, meaning, since="0.2", optional=True)
    meaning = "finite sums: share of the samples in the smallest subset, at the end"
    yield Column("sample_fraction", file, "number", "", meaning, since="0.2", optional=True)


def _quasi_newton(file: str, unit: str) -> Iterator[Column]:
    """What only quasi-Newton methods count; all gradients are backward passes."""
    for name, meaning in (
        ("gradients_published", "quasi-Newton: gradients except those of line searches"),
        ("gradients_concurrent", "quasi-Newton: gradients, with simultaneous ones counted once"),
        ("update_cost", "quasi-Newton: vector work, in two-loop recursions over all parameters"),
    ):
        yield Column(name, file, "number", unit, meaning, since="0.2", optional=True)


def _levels(file: str, unit: str) -> Iterator[Column]:
    """What only methods with networks of several depths count."""
    meaning = "levels: gradients of the batch, weighted by their network's share of the blocks"
    yield Column("work_units", file, "number", unit, meaning, since="0.2", optional=True)
    for level in range(1, 7):
        which = "the coarsest network" if level == 1 else f"network {level}, if there are that many"
        meaning = f"levels: the same for {which}"
        yield Column(f"work_level_{level}", file, "number", unit, meaning, "0.2", optional=True)


def _steps() -> Iterator[Column]:
    file = layout.STEPS
    yield Column("attempt", file, "integer", "", "attempt that wrote the row", measured=True)
    yield Column("epoch", file, "integer", "", "running epoch, from 1")
    yield Column("step", file, "integer", "", "step within the epoch, from 1")
    yield Column("loss", file, "number", "", "loss on the batch before the step")
    yield Column("trial_loss", file, "number", "", "loss on the batch at the decisive trial")
    yield Column("predicted_reduction", file, "number", "", "what the local model promised")
    yield Column("actual_reduction", file, "number", "", "what the decisive trial brought")
    yield Column("ratio_current", file, "number", "", "actual over predicted, current loss")
    yield Column("ratio_history", file, "number", "", "the same, reference of the memory")
    yield Column("radius_before", file, "number", "", "trust-region radius before the step")
    yield Column("radius_after", file, "number", "", "trust-region radius after it")
    yield Column("step_norm", file, "number", "", "length of the decisive step, the region's norm")
    yield Column("accepted", file, "flag", "", "some trial was accepted")
    yield Column("nonmonotone", file, "flag", "", "the memory alone accepted it")
    yield Column("phase", file, "text", "", "phase of the decisive trial")
    yield Column("coefficient", file, "number", "", "weight of eq. (10) used")
    for phase in ("proposal", "correction", "global"):
        yield Column(f"rejections_{phase}", file, "integer", "", f"rejected trials, {phase} phase")
    yield Column("forwards", file, "number", "", "forward passes of the whole network")
    yield Column("backwards", file, "number", "", "backward passes of the whole network")
    yield Column("local_passes", file, "integer", "", "local passes, all subdomains counting once")
    yield from _sums(file, "")
    yield from _quasi_newton(file, "")
    yield from _levels(file, "")


def _status() -> Iterator[Column]:
    file = layout.STATUS
    yield Column("state", file, "text", "", "running, done, failed, diverged or interrupted")
    yield Column("updated", file, "number", "unix s", "when this was written", measured=True)
    yield Column("attempt", file, "integer", "", "number of the attempt", measured=True)
    yield Column("epoch", file, "integer", "", "epochs finished")
    yield Column("epochs", file, "integer", "", "planned number of epochs, if there is one")
    yield Column("final", file, "table", "", "losses and metrics at the end of a finished run")
    yield Column("error", file, "text", "", "what went wrong, in one line")
    yield Column("pid", file, "integer", "", "process that wrote it", measured=True)
    yield Column("hostname", file, "text", "", "its machine", measured=True)
    ended = "limit of the budget that ended a finished run, or target"
    yield Column("ended_by", file, "text", "", ended, since="0.2")
    target = "how near the run came to its target, and the cost up to that point"
    yield Column("target", file, "table", "", target, since="0.2")


FINAL = "status.json: final"
"""The file of the columns of the table ``final`` in ``status.json``."""


def _final() -> Iterator[Column]:
    yield Column("train_loss", FINAL, "number", "", "that of the last epoch")
    yield Column("val_loss", FINAL, "number", "", "that of the last epoch")
    yield Column(f"val_{METRIC}", FINAL, "number", "", "that of the last epoch")
    yield Column("test_loss", FINAL, "number", "", "mean loss on the test samples, once at the end")
    yield Column(f"test_{METRIC}", FINAL, "number", "", "the metric on the test samples")


TARGET = "status.json: target"
"""The file of the columns of the table ``target`` in ``status.json``."""


def _target() -> Iterator[Column]:
    rows: tuple[tuple[str, Type, str, str], ...] = (
        ("metric", "text", "", "column that should reach the value"),
        ("value", "number", "", "value to reach"),
        ("goal", "text", "", "max or min"),
        ("reached", "flag", "", "whether it was reached; the run then ended there"),
        ("found", "number", "", "value that reached it, or the best one so far"),
        ("epoch", "integer", "", "epoch with that value; the costs are up to its end"),
        ("steps", "integer", "", "steps"),
        ("samples", "integer", "", "training samples in their batches"),
        ("passes", "number", "", "forward-backward passes of the whole network"),
        ("train_seconds", "number", "s", "wall time of training"),
        ("cpu_seconds", "number", "s", "CPU time of training"),
    )
    for name, kind, unit, meaning in rows:
        measured = name.endswith("_seconds")
        yield Column(name, TARGET, kind, unit, meaning, since="0.2", measured=measured)


def _restarts() -> Iterator[Column]:
    file = layout.RESTARTS
    yield Column("attempt", file, "integer", "", "number of the attempt, from 1")
    yield Column("time", file, "number", "unix s", "when it began", measured=True)
    yield Column("pid", file, "integer", "", "its process", measured=True)
    yield Column("hostname", file, "text", "", "its machine", measured=True)
    yield Column("git_revision", file, "text", "", "revision of the program", measured=True)
    yield Column("resumed_from_epoch", file, "integer", "", "epochs finished when it resumed")
    yield Column("resumed_from_step", file, "integer", "", "steps done in the next one")
    yield Column("reason", file, "text", "", "reason for this attempt, in words")
    recorded = "whether it wrote a row for each of its steps"
    yield Column("record_steps", file, "flag", "", recorded, since="0.2")


COLUMNS: tuple[Column, ...] = (
    *_epochs(),
    *_steps(),
    *_status(),
    *_final(),
    *_target(),
    *_restarts(),
)
"""The table, by file and in reading order."""


REQUIRED: Mapping[str, tuple[str, ...]] = {
    layout.EPOCHS: ("attempt", "epoch", "time"),
    layout.STEPS: ("attempt", "epoch", "step"),
    layout.RESTARTS: ("attempt", "time"),
    layout.STATUS: ("state",),
    TARGET: ("metric", "value", "reached", "epoch", "steps", "train_seconds"),
}
"""The columns that a row must have, by file; any other missing one counts as null."""


def columns_of(file: str) -> tuple[Column, ...]:
    """Return the columns of one file.

    Args:
        file: Its name (see `napts.records.layout`), or `FINAL`.
    """
    return tuple(column for column in COLUMNS if column.file == file)


def adds_up(name: str) -> bool:
    """Tell whether values of a column of ``epochs.jsonl`` are totals, so that epochs add up."""
    described = column(layout.EPOCHS, name)
    if described is None:
        return False
    return described.unit == _TOTAL or (described.unit == "s" and name != "elapsed_seconds")


@lru_cache(maxsize=4096)  # asked for each number of each row
def column(file: str, name: str) -> Column | None:
    """Return the description of a column in a file; None if the table does not have it.

    Args:
        file: As for `columns_of`.
        name: Name as in the file, for example ``"val_rmse"``.
    """
    return next((each for each in columns_of(file) if each.describes(name)), None)


def unknown(file: str, names: Iterable[str]) -> list[str]:
    """Return the names that the table does not have, in order."""
    return [name for name in names if column(file, name) is None]


def metrics_in(rows: Iterable[Mapping[str, Any]], part: str = "val") -> list[str]:
    """Return the names of the metrics that rows have values for, in order.

    Args:
        rows: Rows of ``epochs.jsonl``, or tables ``final``.
        part: ``"val"`` or ``"test"``.
    """
    prefix = f"{part}_"
    found = (name for row in rows for name in row if name.startswith(prefix))
    names = (name.removeprefix(prefix) for name in dict.fromkeys(found))
    return [name for name in names if name != "loss" and re.fullmatch(NAME_PATTERN, name)]


PER_BATCH: Mapping[str, str] = {
    each.name: each.per_batch for each in columns_of(layout.EPOCHS) if each.per_batch
}
"""Totals over an epoch, and the names of the same per batch."""

TRAINING_COSTS = ("train_seconds", "cpu_seconds")
"""Costs of training; in the row before training they are 0 and not measured."""
