"""Position of a run and the sums of its running epoch; all of it survives an interruption."""

from dataclasses import asdict, dataclass, field
from typing import Any

from napts.experiment.clock import Times
from napts.optim import StepRecord


@dataclass(slots=True)
class Tally:
    """Sums over the steps of an epoch.

    Attributes:
        batches: Steps taken.
        samples: Samples seen.
        loss_sum: Sum over the steps of mean batch loss times batch size.
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

    def as_row(self) -> dict[str, Any]:
        """Return the sums under the names of ``epochs.jsonl``."""
        row = asdict(self)
        samples, loss_sum = row.pop("samples"), row.pop("loss_sum")
        by_phase = (self.rejections_proposal, self.rejections_correction, self.rejections_global)
        return {
            "train_loss": loss_sum / samples if samples else None,
            "rejections": sum(by_phase),
            **row,
        }


@dataclass(slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        epoch: Epochs finished; -1 before the evaluation that counts as epoch 0.
        step: Steps done in the epoch after that.
        tally: Sums over those steps.
        elapsed_ns: Wall time of the finished epochs in nanoseconds.
        latest: ``train_loss``, ``val_loss`` and ``val_accuracy`` of the latest finished epoch.
    """

    epoch: int = -1
    step: int = 0
    tally: Tally = field(default_factory=Tally)
    elapsed_ns: int = 0
    latest: dict[str, float | None] = field(default_factory=dict)

    @property
    def finished(self) -> int:
        """Epochs of training that are finished."""
        return max(self.epoch, 0)

    def finish_epoch(self, latest: dict[str, float | None], times: Times) -> None:
        """Move to the beginning of the next epoch."""
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
        return cls(**{**data, "tally": Tally(**data["tally"])})
