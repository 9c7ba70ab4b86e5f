"""The training loop: epochs, evaluation, rows and checkpoints of one attempt."""

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn

import torch

from napts.exits import contained, each
from napts.experiment.checkpoint import save_checkpoint
from napts.experiment.clock import Clock, Times
from napts.experiment.methods.scheduled import Scheduled
from napts.experiment.observer import Observer
from napts.experiment.progress import Progress
from napts.experiment.seeding import random_state
from napts.experiment.setup import Setup
from napts.experiment.spending import limit_reached, note_target, share_spent
from napts.optim import StepRecord
from napts.problems import evaluation_mode, samples_in
from napts.records.kept import write_kept
from napts.records.write import RunWriter


class Diverged(Exception):
    """The loss is no longer finite."""


class Interrupted(Exception):
    """The run was asked to stop; a checkpoint is written."""


class Trainer:
    """Trains from the current progress to the end of the budget.

    Args:
        setup: What is trained.
        writer: Where rows and status go; None on a rank that leaves this to another.
        progress: Where to begin.
        times: Time that an earlier process has spent on the current epoch.
        observer: Watches the run.
        stop: Returns the name of the signal that asks for the end, or None.
    """

    def __init__(
        self,
        setup: Setup,
        writer: RunWriter | None,
        progress: Progress,
        times: Times,
        observer: Observer,
        stop: Callable[[], str | None],
    ) -> None:
        self.setup = setup
        self.progress = progress
        self._writer = writer
        self._observer = observer
        self._stop = stop
        self._clock = Clock(setup.device)
        self._clock.add(times)
        self._pending: list[tuple[int, int, StepRecord]] = []
        self._saved_at = time.monotonic()
        self._limits = setup.spec.budget.limits()
        self._batches = setup.batches_per_epoch

    def train(self) -> dict[str, float | None]:
        """Train, and evaluate on the test samples once at the end.

        Returns:
            ``train_loss`` (mean over the steps of the last epoch), and ``val_`` and ``test_`` with
            the loss and each metric of the problem, of the final parameters.

        Raises:
            Diverged: The loss became infinite or undefined.
            Interrupted: The run was asked to end; it can be resumed.
            RecordWriteError: A file could not be written, for example because the disk is full.
        """
        spec, progress = self.setup.spec, self.progress
        self._observer.on_run_start(spec, spec.budget.epochs, self._batches)
        if progress.epoch < 0:
            self._finish_epoch()
        # Within an epoch a checkpoint may know already that the budget is used up.
        while progress.step or not self._ended():
            self._train_epoch()
            self._finish_epoch()
        self._clock.switch("evaluation")
        with contained:
            test = self.setup.network.evaluate(self.setup.splits.test)
            if self._writer is not None:
                self._keep(self._writer)
        return {**progress.latest, **_named("test", test)}

    def _keep(self, writer: RunWriter) -> None:
        """Write what the problem wants to keep of the network."""
        if self.setup.spec.pipeline is None:
            module = self.setup.network.module
            with evaluation_mode(module):
                arrays = self.setup.problem.keepsake(module)
            if arrays:
                write_kept(writer.directory, arrays)

    def flush(self) -> None:
        """Write the rows of the steps taken since the last checkpoint."""
        if self.setup.spec.execution.record_steps and self._writer is not None:
            self._writer.steps(
                {"epoch": epoch, "step": step, **record.as_dict(), "loss": record.loss}
                for epoch, step, record in self._pending
            )
        self._pending.clear()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds; on several ranks, all must call this."""
        with contained:
            held = self.setup.network.state(self.setup.optimizer)
        return {
            "data_digest": self.setup.splits.digest,
            "progress": self.progress.as_dict(),
            "times": asdict(self._clock.so_far()),
            **held,
            "random": random_state(),
        }

    def _ended(self) -> bool:
        """Return whether training is complete, between two epochs."""
        progress, epochs = self.progress, self.setup.spec.budget.epochs
        # Checkpoints of older versions do not say so, but count the epochs.
        if progress.ended_by is None and epochs is not None and progress.epoch >= epochs:
            progress.ended_by = "epochs"
        return progress.ended_by is not None

    def _train_epoch(self) -> None:
        """Train to the end of the current epoch, or of the budget."""
        setup, progress = self.setup, self.progress
        if progress.ended_by is not None:
            return
        epoch = progress.epoch + 1
        self._clock.switch("train")
        with contained:
            setup.network.module.train()
            setup.optimizer.train_mode()
        for batch in each(setup.batches(epoch, progress.step)):
            record = self._step(batch)
            progress.step += 1
            progress.tally.add(record, samples_in(batch))
            self._pending.append((epoch, progress.step, record))
            limit = self._limit()
            self._observer.on_step(record, epoch, progress.step)
            if not math.isfinite(record.loss):
                self._diverge(f"training loss {record.loss} in epoch {epoch}, step {progress.step}")
            self._pause_if_needed(limit)
            if progress.ended_by is not None:
                return

    def _limit(self) -> str | None:
        """Return the limit of the budget that has been reached."""
        progress, setup = self.progress, self.setup
        epochs = progress.finished + progress.step / self._batches
        spent: dict[str, float] = {"epochs": epochs}
        if self._limits.keys() != spent.keys():
            so_far = progress.so_far(self._clock.reading("train"))
            spent = so_far.limited(epochs, setup.local_fraction)
        self._observer.on_progress(share_spent(self._limits, spent))
        return limit_reached(self._limits, spent)

    def _step(self, batch: Any) -> StepRecord:
        setup = self.setup
        with contained:
            setup.optimizer.step(setup.network.batch(batch))
        record = setup.optimizer.last_step
        assert record is not None  # every step leaves its record
        return record

    def _pause_if_needed(self, limit: str | None) -> None:
        """Agree with the other ranks whether to continue, and whether to save.

        Args:
            limit: The limit of the budget that has been reached here.
        """
        signal_name = self._stop()
        waited = time.monotonic() - self._saved_at
        due = waited >= self.setup.spec.execution.checkpoint_every_s
        wishes = (signal_name is not None, due, limit is not None)
        stop, save, over = self.setup.network.agree(*wishes)
        if over:
            # All limits but the time are reached everywhere at once.
            self.progress.ended_by = limit or "seconds"
        if stop:
            self._save()
            raise Interrupted(f"stopped by {signal_name or 'a signal to another rank'}")
        if save:
            self._save()
            self._clock.switch("train")

    def _diverge(self, message: str) -> NoReturn:
        self.flush()
        raise Diverged(message)

    def _finish_epoch(self) -> None:
        """Evaluate, write the epoch's row, then save.

        The row comes before the checkpoint: after a kill between the two, the epoch is repeated and
        its row superseded, never lost. So the time of this checkpoint belongs to the next row.
        """
        setup, progress = self.setup, self.progress
        self._clock.switch("evaluation")
        with contained:
            setup.optimizer.eval_mode()
            validation = _named("val", setup.network.evaluate(setup.splits.validation))
            if isinstance(setup.optimizer, Scheduled) and progress.epoch >= 0:
                setup.optimizer.finish_epoch(validation["val_loss"])
        setup.late.check()
        self._clock.switch("logging")
        self.flush()
        row = {**progress.tally.as_row(), **validation}
        times = self._clock.lap()
        latest = {"train_loss": row["train_loss"], **validation}
        cpu_seconds, memory = setup.network.costs(times.cpu_seconds, peak_memory_mb(setup.device))
        progress.finish_epoch(latest, times, cpu_seconds)
        row = {"epoch": progress.epoch, **row, **self._costs(times, cpu_seconds, memory)}
        if self._writer is not None:
            self._writer.epoch(row)
            self._writer.status("running", progress.epoch)
        self._observer.on_epoch(row)
        if not math.isfinite(validation["val_loss"]):
            message = f"validation loss {validation['val_loss']} after epoch {progress.epoch}"
            self._diverge(message)
        self._look_at_target(row)
        self._save()

    def _look_at_target(self, row: dict[str, Any]) -> None:
        progress, target = self.progress, self.setup.spec.budget.target
        if target is None:
            return
        fraction = self.setup.local_fraction
        progress.target = note_target(target, row, progress.spent, fraction, progress.target)
        if progress.target["reached"]:
            progress.ended_by = "target"

    def _costs(self, times: Times, cpu_seconds: float, memory_mb: float) -> dict[str, float]:
        """Return the costs: wall times of this rank, CPU time of all, memory of the largest."""
        return {
            "train_seconds": times.seconds("train"),
            "eval_seconds": times.seconds("evaluation"),
            "checkpoint_seconds": times.seconds("checkpoint"),
            "logging_seconds": times.seconds("logging"),
            "cpu_seconds": cpu_seconds,
            "wall_seconds": times.wall_seconds,
            "elapsed_seconds": self.progress.elapsed_ns / 1e9,
            "peak_memory_mb": memory_mb,
        }

    def _save(self) -> None:
        self._clock.switch("logging")
        self.flush()
        # What the checkpoint takes for granted has to outlive a loss of power, as it does itself.
        if self._writer is not None:
            self._writer.sync()
        self._clock.switch("checkpoint")
        state = self.state()
        if self._writer is not None:
            save_checkpoint(self._writer.directory, self.setup.spec.run_key, state)
        self._clock.switch("logging")
        self._saved_at = time.monotonic()


def _named(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics under the names of the records."""
    return {f"{prefix}_{name}": value for name, value in metrics.items()}


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory of this process so far, in units of 10^6 bytes.

    Args:
        device: On CUDA, the memory of tensors on the device counts; otherwise resident main memory.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
