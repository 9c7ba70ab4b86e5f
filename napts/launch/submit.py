"""Submitting what is left of a sweep."""

import fcntl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from napts.experiment.methods.foreign import check
from napts.experiment.plugins.loading import plugins_of
from napts.launch.cluster import Cluster, LocalCluster, SlurmCluster
from napts.launch.job import SweepJob
from napts.launch.local import LocalRunner, Tell
from napts.launch.packs import Array, job_of, make_arrays
from napts.launch.plan import Plan, RunView, make_plan
from napts.launch.script_text import check_place
from napts.launch.snapshot import Snapshot, take_snapshot
from napts.launch.submitted import Job, SubmittedJobs
from napts.launch.sweepfile import Sweep
from napts.records.files import open_plainly, refuse_links


class SubmissionBusy(RuntimeError):
    """Another process is submitting the same sweep."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What was submitted, or would be.

    Attributes:
        plan: The sweep as it was found.
        arrays: The jobs, by array; empty if nothing is left to do.
        jobs: The jobs as recorded; empty after a dry run.
        codes: Exit codes of local jobs.
        stopped: Whether local jobs were interrupted.
    """

    plan: Plan
    arrays: list[Array]
    jobs: list[Job]
    codes: tuple[int, ...] = ()
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Submitter:
    """Submits sweeps to a cluster.

    Attributes:
        cluster: Its profile.
        records_root: Folder of all records.
        data_root: Folder of the data sets, or None.
        retry_failed: Submit failed and diverged runs too.
        allow_dirty: Let jobs run uncommitted code.
        tell: Called for every local job that has ended.
    """

    cluster: Cluster
    records_root: Path
    data_root: Path | None = None
    retry_failed: bool = False
    allow_dirty: bool = False
    tell: Tell = lambda run, code, log: None

    def look(self, sweep: Sweep) -> Plan:
        """Return the state of a sweep; ask Slurm if it is the cluster.

        Raises:
            SlurmUnavailable: Slurm does not answer.
        """
        queue = None
        if isinstance(self.cluster, SlurmCluster):
            from napts.launch.slurm import job_states

            queue = job_states(SubmittedJobs(self.records_root, sweep.experiment).jobs())
        return make_plan(sweep, self.records_root, queue)

    def arrays(self, plan: Plan) -> list[Array]:
        """Return the jobs that a submission would submit."""
        return make_arrays(
            plan.left(retry_failed=self.retry_failed), self.cluster, self._max_size()
        )

    def sbatch_texts(self, sweep: Sweep, arrays: Sequence[Array]) -> list[str]:
        """Return what sbatch would be given; change nothing.

        Args:
            sweep: The sweep.
            arrays: The arrays.

        Raises:
            SpecError: Jobs cannot keep their files where the records are.
        """
        from napts.launch.slurm import sbatch_text

        assert isinstance(self.cluster, SlurmCluster)
        check_place(self.records_root, slurm=True)
        folder = SubmittedJobs(self.records_root, sweep.experiment).folder
        snapshot = Snapshot(folder / "code" / "REVISION", "REVISION")
        jobs = folder / "jobs" / "SUBMISSION"
        return [sbatch_text(a, self.cluster, jobs, snapshot, sweep.experiment) for a in arrays]

    def submit(self, sweep: Sweep) -> Submission:
        """Submit what is left of a sweep; on a local cluster it has been run when this returns.

        Raises:
            SpecError: The code has uncommitted changes, or jobs cannot keep their files where the
                records are.
            SubmissionBusy: Another process is submitting the same sweep.
            SlurmUnavailable: Slurm does not answer or refuses.
            RecordError: The folder for logs and code is a symbolic link or holds one.
            ValueError: A run cannot be carried out on this cluster.
        """
        check_place(self.records_root, slurm=isinstance(self.cluster, SlurmCluster))
        known_jobs = SubmittedJobs(self.records_root, sweep.experiment)
        refuse_links(self.records_root, known_jobs.folder)
        with _one_at_a_time(known_jobs.folder):
            plan = self.look(sweep)
            arrays = self.arrays(plan)
            if not arrays:
                return Submission(plan, [], [])
            check_methods(run for array in arrays for runs in array.jobs for run in runs)
            snapshot = take_snapshot(
                known_jobs.folder / "code",
                allow_dirty=self.allow_dirty,
                plugins=plugins_of(m for run in plan.runs for m in run.planned.spec.modules),
            )
            jobs = [[self._job(runs, snapshot) for runs in array.jobs] for array in arrays]
            if isinstance(self.cluster, LocalCluster):
                return self._run_here(self.cluster, plan, arrays, jobs, known_jobs, snapshot)
            written = self._submit(self.cluster, arrays, jobs, known_jobs, snapshot)
        return Submission(plan, arrays, written)

    def _run_here(
        self,
        cluster: LocalCluster,
        plan: Plan,
        arrays: list[Array],
        jobs: list[list[SweepJob]],
        known_jobs: SubmittedJobs,
        snapshot: Snapshot,
    ) -> Submission:
        before = len(known_jobs.jobs())
        runner = LocalRunner(cluster, known_jobs, snapshot, self.tell)
        codes = runner.run(arrays, jobs)
        return Submission(plan, arrays, known_jobs.jobs()[before:], tuple(codes), runner.stopped)

    def _submit(
        self,
        cluster: SlurmCluster,
        arrays: list[Array],
        jobs: list[list[SweepJob]],
        known_jobs: SubmittedJobs,
        snapshot: Snapshot,
    ) -> list[Job]:
        from napts.launch.slurm import submit_array

        pairs = zip(arrays, jobs, strict=True)
        return [job for a, j in pairs for job in submit_array(a, j, cluster, known_jobs, snapshot)]

    def _job(self, runs: Sequence[RunView], snapshot: Snapshot) -> SweepJob:
        return job_of(
            runs,
            self.records_root,
            self.data_root,
            retry_failed=self.retry_failed,
            imports=snapshot.imports,
        )

    def _max_size(self) -> int:
        if isinstance(self.cluster, LocalCluster):
            return 1_000_000
        from napts.launch.slurm import max_array_size

        return max_array_size(self.cluster)


def check_methods(runs: Iterable[RunView]) -> None:
    """Import the optimizers that runs name by path, and check their arguments.

    Args:
        runs: The runs; nothing happens for methods named in other ways.

    Raises:
        ValueError: One of them is not installed, is not an optimizer, or refuses its arguments.
    """
    tried: set[str] = set()
    for run in runs:
        options = run.planned.spec.optimizer
        text = options.model_dump_json()
        if text in tried:
            continue
        tried.add(text)
        try:
            check(options)
        except ValueError as error:
            raise ValueError(f"{run.planned.name}: {error}") from error


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the sweep's lock, which is released when the process that holds it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", opener=open_plainly) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SubmissionBusy(f"{folder}: another process is submitting this sweep") from None
        yield
