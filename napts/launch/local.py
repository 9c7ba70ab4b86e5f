"""The runs of a sweep on this machine, several processes at a time."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import psutil

from napts import lifeline
from napts.launch.cluster import LocalCluster
from napts.launch.job import SweepJob
from napts.launch.packs import Array, Shape
from napts.launch.plan import RunView
from napts.launch.snapshot import Snapshot
from napts.launch.submitted import Job, SubmittedJobs

_POLL_S = 0.05

_MODULE = "napts.launch.job"
"""What a job's process runs, with the job's file as its only argument."""

Tell = Callable[[RunView, int, Path], None]
"""Called when a job has ended, with: its first run, its exit code, its log."""


@dataclass(slots=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    runs: tuple[RunView, ...]
    log: Path
    gpus: tuple[int, ...]


class LocalRunner:
    """Runs jobs in the foreground, a limited number at a time.

    Every job is a process (or, for several ranks, one process each) in a session of its own, so
    Ctrl-C reaches it only as the SIGTERM that is passed on: it writes a checkpoint and ends. It
    does the same when this process ends in any other way.

    Args:
        cluster: How many at a time, and on which GPUs.
        known_jobs: Where jobs are recorded.
        snapshot: The code that they run.
        tell: Called for every job that has ended.
    """

    def __init__(
        self, cluster: LocalCluster, known_jobs: SubmittedJobs, snapshot: Snapshot, tell: Tell
    ) -> None:
        self._cluster, self._known_jobs, self._snapshot, self._tell = (
            cluster,
            known_jobs,
            snapshot,
            tell,
        )
        self._folder = known_jobs.folder / "jobs" / uuid.uuid4().hex[:12]
        self._free_gpus = list(cluster.gpus)
        self._running: list[_Running] = []
        self._stopped = False

    def run(self, arrays: Sequence[Array], jobs: Sequence[Sequence[SweepJob]]) -> list[int]:
        """Run all jobs; returns when the last has ended, or after an interruption.

        Args:
            arrays: What the jobs ask for, and their runs.
            jobs: The jobs of each array.

        Returns:
            The exit codes of the jobs that were started.

        Raises:
            ValueError: A run needs more GPUs than there are.
        """
        waiting = [
            (array.shape, runs, job)
            for array, members in zip(arrays, jobs, strict=True)
            for runs, job in zip(array.jobs, members, strict=True)
        ]
        for shape, runs, _ in waiting:
            self._check(shape, runs[0])
        codes: list[int] = []
        self._folder.mkdir(parents=True)
        with self._passing_signals_on():
            while self._running or (waiting and not self._stopped):
                while waiting and self._has_room(waiting[0][0]) and not self._stopped:
                    self._start(*waiting.pop(0))
                codes += self._reap()
                time.sleep(_POLL_S)
        return codes

    @property
    def stopped(self) -> bool:
        """Whether the end was asked for."""
        return self._stopped

    def _check(self, shape: Shape, run: RunView) -> None:
        if shape.cuda and self._cluster.gpus and shape.ranks > len(self._cluster.gpus):
            raise ValueError(
                f"{run.planned.name}: found {shape.ranks} ranks on CUDA, allowed: "
                f"{len(self._cluster.gpus)}, the number of GPUs in the cluster's profile"
            )

    def _has_room(self, shape: Shape) -> bool:
        needed = shape.ranks if shape.cuda and self._cluster.gpus else 0
        return len(self._running) < self._cluster.parallel and needed <= len(self._free_gpus)

    def _start(self, shape: Shape, runs: tuple[RunView, ...], job: SweepJob) -> None:
        name = runs[0].planned.spec.run_key
        file, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
        file.write_text(json.dumps(asdict(job)), encoding="utf-8")
        gpus = tuple(self._take_gpus(shape))
        with log.open("ab") as output:
            process = lifeline.start(
                [sys.executable, "-m", *_module(shape), str(file)],
                "in good order",
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(shape, gpus),
            )
        self._running.append(_Running(process, runs, log, gpus))
        keys = tuple(run.planned.spec.run_key for run in runs)
        started = psutil.Process(process.pid).create_time()
        about = (str(process.pid), "local", keys, str(log), time.time(), self._snapshot.name)
        self._known_jobs.add([Job(*about, started)])

    def _take_gpus(self, shape: Shape) -> Iterator[int]:
        if shape.cuda and self._cluster.gpus:
            for _ in range(shape.ranks):
                yield self._free_gpus.pop(0)

    def _environment(self, shape: Shape, gpus: tuple[int, ...]) -> dict[str, str]:
        environment = {
            **os.environ,
            **self._snapshot.variables(),
            "OMP_NUM_THREADS": str(shape.threads),
        }
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        return environment

    def _reap(self) -> list[int]:
        """Return the exit codes of the jobs that have ended, and report them."""
        ended = [running for running in self._running if running.process.poll() is not None]
        for running in ended:
            self._running.remove(running)
            lifeline.let_go(running.process)
            self._free_gpus += running.gpus
            self._tell(running.runs[0], running.process.returncode, running.log)
        return [running.process.returncode for running in ended]

    @contextmanager
    def _passing_signals_on(self) -> Iterator[None]:
        def pass_on(number: int, frame: FrameType | None) -> None:
            self._stopped = True
            for running in self._running:
                _signal(running.process.pid, signal.SIGTERM)

        previous = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def cancel_local(jobs: Sequence[Job]) -> list[Job]:
    """Ask the processes of local jobs that still run to write a checkpoint and end.

    Args:
        jobs: Submitted jobs.

    Returns:
        The jobs that were still running.
    """
    there = [job for job in jobs if job.kind == "local" and _is_there(job)]
    for job in there:
        _signal(int(job.job_id), signal.SIGTERM)
    return there


def _is_there(job: Job) -> bool:
    """Tell whether a job still runs: a process with its number and start does this job."""
    if not job.job_id.isdecimal():
        return False
    try:
        process = psutil.Process(int(job.job_id))
        if process.create_time() != job.started or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.cmdline()[-2:] == [_MODULE, str(Path(job.log).with_suffix(".json"))]
    except (psutil.Error, OverflowError):
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a job; with several ranks its launcher passes it on to them."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _module(shape: Shape) -> list[str]:
    return [_MODULE] if shape.ranks == 1 else ["napts.parallel.launch", str(shape.ranks), _MODULE]
