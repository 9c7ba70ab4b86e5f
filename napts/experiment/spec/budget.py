"""How much training a run gets: its limits, and the target at which it may stop earlier."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from napts.experiment.spec_table import Epochs, Samples, Seconds, SpecTable
from napts.quantity import Unit
from napts.records.metric import Goal, Metric
from napts.text import shown

LIMITS = ("epochs", "passes", "samples", "seconds")
"""What a budget may limit; the first limit reached ends the run."""

_LEFT_OUT_IF_NONE = (*LIMITS, "target")  # older specs and keys had no such fields

_LARGEST = 2**53
"""Samples per batch; a batch is never larger than the data."""


class Target(SpecTable):
    """A value of a metric at which a run stops, checked at the end of every epoch.

    Attributes:
        metric: ``train_loss``, ``val_loss`` or ``val_`` and a metric of the problem.
        value: The value to reach.
        goal: "max" if larger values are better, "min" if smaller ones are. By default that of the
            problem's own metric, and "min" for losses; required for other metrics.
    """

    metric: str
    value: float
    goal: Goal | None = None

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric != "train_loss" and not metric.startswith("val_"):
            raise ValueError(f"found {shown(metric)}, allowed: train_loss, val_loss or val_METRIC")
        return metric

    def resolved(self, primary: Metric) -> "Target":
        """Return the target with its goal.

        Args:
            primary: The problem's own metric.

        Raises:
            ValueError: The goal of some other metric is not given.
        """
        if self.goal is not None:
            return self
        if self.metric in ("train_loss", "val_loss"):
            return self.model_copy(update={"goal": "min"})
        if self.metric == primary.column("val"):
            return self.model_copy(update={"goal": primary.goal})
        raise ValueError(
            "budget.target.goal: missing, allowed: max or min (only losses and "
            f"{primary.column('val')} have a default)"
        )

    def met(self, value: float | None) -> bool:
        """Return whether a value is as good as the target; a missing or undefined one is not."""
        return value is not None and self._metric.reaches(value, self.value)

    def better(self, value: float | None, than: float | None) -> bool:
        """Return whether a value is nearer to the target than another one."""
        undefined = float("nan")
        value = undefined if value is None else value
        return self._metric.better(value, undefined if than is None else than)

    @property
    def _metric(self) -> Metric:
        assert self.goal is not None  # set by resolved
        return Metric(self.metric, self.goal)


class Budget(SpecTable):
    """How much training: at least one limit; the first one reached ends the run.

    Limits are checked after every step. An epoch that is unfinished at that point is evaluated and
    recorded like the others, with the batches that it had.

    Attributes:
        epochs: Passes over the training samples.
        passes: Forward-backward passes of the whole network over a batch, with local passes and
            forward passes counted by their share; see `napts.records.costs`.
        samples: Training samples in the batches of all steps.
        seconds: Wall time of the training part, without evaluation and checkpoints; time before
            an interruption counts as far as a checkpoint covers it.
        batch_size: Samples per batch, or "full" for all of them; None for the problem's default.
        overlap: Share of the batch size that every batch also takes from every other one.
        target: Where to stop earlier.
    """

    epochs: Epochs | None = None
    passes: Annotated[float, Field(gt=0.0, le=2**53), Unit("passes")] | None = None
    samples: Samples | None = None
    seconds: Seconds | None = None
    batch_size: int | Literal["full"] | None = None
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    target: Target | None = None

    @field_validator("batch_size", mode="before")
    @classmethod
    def _size(cls, size: object) -> object:
        whole = isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _LARGEST
        if size is None or size == "full" or whole:
            return size
        raise ValueError(f"found {shown(size)}, allowed: integer >= 1 (samples), or full")

    @model_validator(mode="after")
    def _limited(self) -> "Budget":
        if not self.limits():
            raise ValueError(f"found no limit, allowed: one or more of {', '.join(LIMITS)}")
        return self

    @model_serializer(mode="wrap")
    def _told(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told = serialize(self)
        return {k: v for k, v in told.items() if v is not None or k not in _LEFT_OUT_IF_NONE}

    def limits(self) -> Mapping[str, float]:
        """Return the limits that are given, by name."""
        values = {name: getattr(self, name) for name in LIMITS}
        return {name: value for name, value in values.items() if value is not None}

    def resolved(self, batch_size: int | Literal["full"], primary: Metric) -> "Budget":
        """Return the budget with the problem's defaults filled in.

        Args:
            batch_size: The problem's batch size.
            primary: The problem's own metric.

        Raises:
            ValueError: The target needs a goal.
        """
        update: dict[str, Any] = {}
        if self.batch_size is None:
            update["batch_size"] = batch_size
        if self.target is not None:
            update["target"] = self.target.resolved(primary)
        return self.model_copy(update=update)
