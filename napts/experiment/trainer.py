"""The training loop: epochs, evaluation, rows and checkpoints of one attempt."""

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from napts.experiment.checkpoint import save_checkpoint
from napts.experiment.clock import Clock, Times
from napts.experiment.method import StepOptimizer
from napts.experiment.methods import build_optimizer
from napts.experiment.network import Network, network_of
from napts.experiment.observer import Observer
from napts.experiment.progress import Progress
from napts.experiment.seeding import random_state, restore_random_state, seed_everything
from napts.experiment.spec import RunSpec
from napts.optim import StepRecord
from napts.parallel.ranks import ALONE, Ranks, local_rank
from napts.problems import DataSplits, Problem, samples_in
from napts.records.write import RunWriter

_EXAMPLES = 2
"""Inputs shown to the partition of the network; batch normalisation needs more than one."""


class Diverged(Exception):
    """The loss is no longer finite."""


class Interrupted(Exception):
    """Somebody asked the run to stop; a checkpoint is written."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is trained: everything that follows from the spec and the data alone.

    Attributes:
        spec: The run.
        problem: What is solved.
        splits: Its data, on the device.
        device: Where it computes.
        network: The network, initialised from the seed, and who holds it.
        optimizer: The method.
        ranks: Who shares the run.
    """

    spec: RunSpec
    problem: Problem
    splits: DataSplits
    device: torch.device
    network: Network
    optimizer: StepOptimizer
    ranks: Ranks

    @classmethod
    def of(cls, spec: RunSpec, data_root: Path | None, ranks: Ranks = ALONE) -> "Setup":
        """Load the data, build network and method, and seed all generators.

        Args:
            spec: The run.
            data_root: Folder of the data sets, or None.
            ranks: Who shares the run.

        Raises:
            DataMissing: The data set is not there.
            ValueError: The device is not there, or the network cannot be cut as asked for.
        """
        device = spec.execution.torch_device(local_rank() if ranks.size > 1 else None)
        problem = spec.workload.build()
        splits = problem.load(data_root, device=device, dtype=spec.dtype)
        model = problem.build_model(spec.seed).to(device=device, dtype=spec.dtype)
        if spec.execution.channels_last and spec.method.capabilities.channels_last_ok:
            model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        splits.train.check(spec.batch_size, spec.budget.overlap)
        examples = problem.example_inputs(splits.train.first(_EXAMPLES))
        network = network_of(spec)(spec, problem, model, examples, ranks)
        optimizer = build_optimizer(
            spec.optimizer, network.stages, example_inputs=examples, seed=spec.seed
        )
        seed_everything(spec.seed)
        return cls(spec, problem, splits, device, network, optimizer, ranks)

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch, the smaller last one included."""
        return self.splits.train.check(self.spec.batch_size, self.spec.budget.overlap)

    def batches(self, epoch: int, start: int) -> Iterator[Any]:
        """Return the batches of an epoch from the one of that number on."""
        spec = self.spec
        return self.problem.training_batches(
            self.splits.train,
            spec.batch_size,
            spec.seed,
            epoch,
            start=start,
            overlap=spec.budget.overlap,
        )

    def restore(self, state: dict[str, Any]) -> Progress:
        """Put network, method and generators into the state of a checkpoint.

        Args:
            state: What `Trainer.state` returned.

        Returns:
            How far the run had come.
        """
        self.network.restore(state, self.optimizer)
        restore_random_state(state["random"])
        return Progress.from_dict(state["progress"])


class Trainer:
    """Trains from wherever the progress stands to the end of the budget.

    Args:
        setup: What is trained.
        writer: Where rows and status go; None on a rank that leaves that to another.
        progress: Where to begin.
        times: Times of the running epoch that an earlier process has spent.
        observer: Who watches.
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

    def train(self) -> dict[str, float | None]:
        """Train, and evaluate on the test samples once at the end.

        Returns:
            ``train_loss`` (mean over the steps of the last epoch), ``val_loss``, ``test_loss``, and
            ``val_`` and ``test_`` of every metric, of the final parameters.

        Raises:
            Diverged: The loss became infinite or undefined.
            Interrupted: The end was asked for; the run can be resumed.
            RecordWriteError: A file could not be written, for example because the disk is full.
        """
        spec, progress = self.setup.spec, self.progress
        self._observer.on_run_start(spec, spec.budget.epochs, self.setup.batches_per_epoch)
        if progress.epoch < 0:
            self._finish_epoch()
        while progress.epoch < spec.budget.epochs:
            self._train_epoch()
            self._finish_epoch()
        self._clock.switch("evaluation")
        test = self.setup.network.evaluate(self.setup.splits.test)
        return {**progress.latest, **{f"test_{name}": value for name, value in test.items()}}

    def flush(self) -> None:
        """Write the rows of the steps taken since the last checkpoint."""
        if self.setup.spec.execution.record_steps and self._writer is not None:
            self._writer.steps(
                {"epoch": epoch, "step": step, **record.as_dict(), "loss": record.loss}
                for epoch, step, record in self._pending
            )
        self._pending.clear()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds; on several ranks all of them have to ask."""
        return {
            "data_digest": self.setup.splits.digest,
            "progress": self.progress.as_dict(),
            "times": asdict(self._clock.so_far()),
            **self.setup.network.state(self.setup.optimizer),
            "random": random_state(),
        }

    def _train_epoch(self) -> None:
        setup, progress = self.setup, self.progress
        epoch = progress.epoch + 1
        self._clock.switch("train")
        setup.network.module.train()
        for batch in setup.batches(epoch, progress.step):
            record = self._step(batch)
            progress.step += 1
            progress.tally.add(record, samples_in(batch))
            self._pending.append((epoch, progress.step, record))
            self._observer.on_step(record, epoch, progress.step)
            if not math.isfinite(record.loss):
                self._diverge(f"training loss {record.loss} in epoch {epoch}, step {progress.step}")
            self._pause_if_needed()

    def _step(self, batch: Any) -> StepRecord:
        setup = self.setup
        setup.optimizer.step(setup.network.batch(batch))
        record = setup.optimizer.last_step
        assert record is not None  # every step leaves its record
        return record

    def _pause_if_needed(self) -> None:
        signal_name = self._stop()
        waited = time.monotonic() - self._saved_at
        due = waited >= self.setup.spec.execution.checkpoint_every_s
        stop, save = self.setup.network.agree(signal_name is not None, due)
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

        The row comes before the checkpoint: a kill between the two makes the epoch be repeated and
        its row superseded, never lost. So the time of this checkpoint belongs to the next row.
        """
        setup, progress = self.setup, self.progress
        self._clock.switch("evaluation")
        validation = setup.network.evaluate(setup.splits.validation)
        self._clock.switch("logging")
        self.flush()
        row = progress.tally.as_row()
        found = {f"val_{name}": value for name, value in validation.items()}
        row |= found
        times = self._clock.lap()
        latest = {"train_loss": row["train_loss"], **found}
        progress.finish_epoch(latest, times)
        row = {"epoch": progress.epoch, **row, **self._costs(times)}
        if self._writer is not None:
            self._writer.epoch(row)
            self._writer.status("running", progress.epoch)
        self._observer.on_epoch(row)
        if not math.isfinite(validation.loss):
            self._diverge(f"validation loss {validation.loss} after epoch {progress.epoch}")
        self._save()

    def _costs(self, times: Times) -> dict[str, float]:
        """Return the costs: wall times of this rank, CPU time of all, memory of the largest."""
        memory = peak_memory_mb(self.setup.device)
        cpu_seconds, memory = self.setup.network.costs(times.cpu_seconds, memory)
        return {
            "train_seconds": times.seconds("train"),
            "eval_seconds": times.seconds("evaluation"),
            "checkpoint_seconds": times.seconds("checkpoint"),
            "logging_seconds": times.seconds("logging"),
            "cpu_seconds": cpu_seconds,
            "wall_seconds": times.wall_seconds,
            "elapsed_seconds": self.progress.elapsed_ns / 1e9,
            "peak_memory_mb": memory,
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


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory of this process so far, in units of 10^6 bytes.

    Args:
        device: On CUDA the memory of tensors on the device counts, else resident main memory.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
