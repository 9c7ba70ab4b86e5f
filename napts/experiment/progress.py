"""Position of a run and the sums of its current epoch; all of it survives an interruption."""

from dataclasses import asdict, dataclass, field
from typing import Any

from napts.experiment.clock import Times
from napts.experiment.spending import Spent, TargetNote
from napts.optim import StepRecord
from napts.optim.record import OPTIONAL_COUNTS, OPTIONAL_FIELDS


@dataclass(slots=True)
class Tally:
    """Sums over the steps of an epoch.

    Attributes:
        batches: Steps taken.
        samples: Samples seen.
        loss_sum: Sum over the steps of mean batch loss times batch size.
        optional: What only some methods count, by name in `OPTIONAL_FIELDS`.
    """

    batches: int = 0
    samples: int = 0
    loss_sum: float = 0.0
    rejections_proposal: int = 0
    rejections_correction: int = 0
    rejections_global: int = 0
    forwards: float = 0
    backwards: float = 0
    local_passes: int = 0
    accepted: int = 0
    nonmonotone: int = 0
    radius: float | None = None
    optional: dict[str, float] = field(default_factory=dict)

    def add(self, record: StepRecord, samples: int) -> None:
        """Count a step on a batch of ``samples``."""
        self.batches += 1
        self.samples += samples
        self.loss_sum += record.loss * samples
        self.rejections_proposal += record.rejections_proposal
        self.rejections_correction += record.rejections_correction
        self.rejections_global += record.rejections_global
        self.forwards += record.forwards
        self.backwards += record.backwards
        self.local_passes += record.local_passes
        self.accepted += record.accepted
        self.nonmonotone += record.nonmonotone
        self.radius = record.radius_after
        for name in OPTIONAL_FIELDS:
            found = getattr(record, name)
            if found is not None:
                before = self.optional.get(name, 0) if name in OPTIONAL_COUNTS else 0
                self.optional[name] = before + found

    def as_row(self) -> dict[str, Any]:
        """Return the sums under the names of ``epochs.jsonl``."""
        row = asdict(self)
        loss_sum, optional = row.pop("loss_sum"), row.pop("optional")
        by_phase = (self.rejections_proposal, self.rejections_correction, self.rejections_global)
        return {
            "train_loss": loss_sum / self.samples if self.samples else None,
            "rejections": sum(by_phase),
            **row,
            **{name: optional[name] for name in OPTIONAL_FIELDS if name in optional},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Tally":
        """Return the sums of a checkpoint; older versions store them side by side."""
        flat = {name: data[name] for name in OPTIONAL_FIELDS if data.get(name) is not None}
        others = {name: value for name, value in data.items() if name not in OPTIONAL_FIELDS}
        return cls(**{"optional": flat, **others})


@dataclass(slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        epoch: Epochs finished; -1 before the evaluation that counts as epoch 0.
        step: Steps done in the epoch after that.
        tally: Sums over those steps.
        elapsed_ns: Wall time of the finished epochs in nanoseconds.
        latest: ``train_loss`` and the ``val_`` metrics of the latest finished epoch.
        spent: What the finished epochs have cost.
        ended_by: The limit of the budget that was reached, or "target"; None until then.
        target: How near the run came to its target; see `napts.experiment.spending.TargetNote`.
    """

    epoch: int = -1
    step: int = 0
    tally: Tally = field(default_factory=Tally)
    elapsed_ns: int = 0
    latest: dict[str, float | None] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    ended_by: str | None = None
    target: TargetNote | None = None

    @property
    def finished(self) -> int:
        """Finished epochs of training."""
        return max(self.epoch, 0)

    def so_far(self, train_ns: int) -> Spent:
        """Return what is spent, including the current epoch but without its CPU time.

        Args:
            train_ns: Wall time of the training part of the current epoch, in nanoseconds.
        """
        spent, tally = self.spent, self.tally
        return Spent(
            steps=spent.steps + tally.batches,
            samples=spent.samples + tally.samples,
            forwards=spent.forwards + tally.forwards,
            backwards=spent.backwards + tally.backwards,
            local_passes=spent.local_passes + tally.local_passes,
            hessian_products=spent.hessian_products + tally.optional.get("hessian_products", 0.0),
            train_ns=spent.train_ns + train_ns,
            cpu_seconds=spent.cpu_seconds,
        )

    def finish_epoch(
        self, latest: dict[str, float | None], times: Times, cpu_seconds: float
    ) -> None:
        """Move to the beginning of the next epoch.

        Args:
            latest: The metrics of the ending epoch.
            times: Its times.
            cpu_seconds: CPU time of its training part, of all ranks.
        """
        if self.epoch >= 0:
            self.spent = self.so_far(times.wall_ns["train"])
            self.spent.cpu_seconds += cpu_seconds
        self.epoch += 1
        self.step = 0
        self.tally = Tally()
        self.elapsed_ns += times.total_ns
        self.latest = latest

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Progress":
        """Return the progress that `as_dict` described."""
        spent = Spent(**data.get("spent", {}))  # checkpoints of older versions tell none
        return cls(**{**data, "tally": Tally.from_dict(data["tally"]), "spent": spent})
