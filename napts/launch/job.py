"""What a job does: a few runs, one after the other, that survive whatever happens to the job.

``python -m napts.launch.job JOBFILE`` is the process of a local job.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from napts import lifeline
from napts.experiment.observer import RunOutcome
from napts.experiment.plugins.loading import load
from napts.experiment.runner import Mode
from napts.experiment.series import run_all
from napts.experiment.spec.run_spec import RunSpec
from napts.records.damage import DamagedRun
from napts.records.environment import capture_environment
from napts.records.files import refuse_links
from napts.records.layout import TRACEBACK, run_directory
from napts.records.read import NoRun, load_run
from napts.records.run_lock import RunLock
from napts.records.write import record_failure
from napts.text import one_line

_TERMINATED = 128 + signal.SIGTERM
_WAIT_VARIABLE = "NAPTS_TERMINATION_WAIT_S"
_WAIT_S = 120.0


class RunsFailed(RuntimeError):
    """Some runs of a job have failed; their records say why."""


@dataclass(frozen=True)
class SweepJob:
    """Runs some specs; submitit pickles this object and calls it in the job.

    The runs write checkpoints and resume from them on their own, so that a job may be killed or
    started again at any time. When SIGUSR2 says that its time is ending, it writes a checkpoint and
    lets submitit requeue it. When SIGTERM says that it is preempted or cancelled, it writes a
    checkpoint and waits to be killed: a job that then ended by itself would count as completed.

    Attributes:
        specs: The runs, as plain data.
        records_root: Folder of all records, absolute.
        data_root: Folder of the data sets, or None.
        mode: "cached", or "retry" to repeat failed runs.
        imports: Files and modules that are imported first.
        headers: For each run, what ``spec.json`` will hold, to record runs that cannot even begin
            because an import fails; empty without imports.
    """

    specs: tuple[dict[str, Any], ...]
    records_root: str
    data_root: str | None = None
    mode: Mode = "cached"
    imports: tuple[str, ...] = ()
    headers: tuple[dict[str, Any], ...] = ()

    def __call__(self) -> list[dict[str, Any]]:
        """Run the specs on this process, or on all ranks of the job.

        Returns:
            How each run ended.

        Raises:
            RunsFailed: Some of them failed; the others have still been run.
        """
        from napts.console import ConsoleObserver
        from napts.experiment.followers import joined

        specs = self._read()
        _find_other_ranks()
        with joined(specs) as ranks, ConsoleObserver(len(specs)) as observer:
            if ranks is None:
                return []
            outcomes = run_all(
                specs,
                self.records_root,
                mode=self.mode,
                data_root=self.data_root,
                observer=observer,
                ranks=ranks,
            )
        if outcomes and outcomes[-1].state == "interrupted":
            _give_way(outcomes[-1])
        _tell_failures(outcomes)
        return [{"run_key": o.run_key, "state": o.state, "error": o.error} for o in outcomes]

    def _read(self) -> list[RunSpec]:
        """Import what the specs need, and read them."""
        try:
            load(self.imports, print)
            return [RunSpec.model_validate_json(json.dumps(fields)) for fields in self.specs]
        except ValueError as error:
            traceback.print_exc()
            line = _line(error)
            environment = capture_environment(torch.device("cpu"), data_digest="")
            for header in self.headers:
                self._record(header, environment, error, line)
            raise RunsFailed(line) from error

    def _record(
        self,
        header: Mapping[str, Any],
        environment: Mapping[str, Any],
        error: ValueError,
        line: str,
    ) -> None:
        """Record that a run of the job could not be read, unless it has ended well."""
        directory = run_directory(self.records_root, header["experiment"], header["run_key"])
        refuse_links(Path(self.records_root), directory)
        directory.mkdir(parents=True, exist_ok=True)
        with RunLock(directory):
            if not _has_result(directory):
                record_failure(directory, header, environment, error, line)

    def checkpoint(self) -> Any:
        """Return what submitit starts when the job is requeued; failed runs stay failed."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self, mode="cached"))


def _has_result(directory: Path) -> bool:
    try:
        return load_run(directory).state in ("done", "diverged")
    except (DamagedRun, NoRun):
        return False


def _line(error: ValueError) -> str:
    """Return what an error says in one line."""
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return str(error).splitlines()[0]


def _find_other_ranks() -> None:
    """In a Slurm job of several tasks, set the variables through which ranks find one another."""
    if int(os.environ.get("SLURM_NTASKS", "1")) == 1 or "SUBMITIT_EXECUTOR" not in os.environ:
        return
    from submitit.helpers import TorchDistributedEnvironment

    environment = TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    if environment.local_world_size == environment.world_size:
        # On one node nobody else has to reach the ranks, nor resolve the node's name.
        os.environ["MASTER_ADDR"] = "127.0.0.1"


def _give_way(outcome: RunOutcome) -> None:
    """End the process as expected by whatever interrupted the run; returns only outside Slurm."""
    name = (outcome.error or "").rpartition(" ")[2]
    if name == "SIGUSR2" and callable(signal.getsignal(signal.SIGUSR2)):
        # Submitit's handler: it requeues the job and exits.
        os.kill(os.getpid(), signal.SIGUSR2)
    if "SLURM_JOB_ID" in os.environ:
        time.sleep(float(os.environ.get(_WAIT_VARIABLE, _WAIT_S)))
    sys.exit(_TERMINATED)


def _tell_failures(outcomes: Sequence[RunOutcome]) -> None:
    """Put the tracebacks into the log of the job, and let it end as failed."""
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        file = outcome.path / TRACEBACK
        if outcome.ran and file.exists():
            name = f"{outcome.label} {outcome.run_key}"
            print(f"{name} failed at {file.read_text()}", file=sys.stderr)
    if failed:
        first = f"{failed[0].label}: {failed[0].error}"
        raise RunsFailed(f"{len(failed)} of {len(outcomes)} runs failed, the first {first}")


def main(path: str) -> int:
    """Run the job that a file describes.

    Args:
        path: A JSON file with the fields of a :class:`SweepJob`.

    Returns:
        Exit code.
    """
    fields = json.loads(Path(path).read_text(encoding="utf-8"))
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    job = SweepJob(**values)
    try:
        job()
    except RunsFailed as error:
        print(one_line(f"napts: {error}"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    lifeline.follow()
    sys.exit(main(sys.argv[1]))
