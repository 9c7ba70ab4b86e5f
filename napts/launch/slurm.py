"""Slurm, through submitit and a few of its own commands."""

import os
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from napts.extras import need

need("submitit")

from submitit.slurm.slurm import SlurmExecutor

from napts.launch.cluster import SlurmCluster, SlurmUnavailable
from napts.launch.job import SweepJob
from napts.launch.packs import Array, Shape
from napts.launch.snapshot import Snapshot
from napts.launch.submitted import Job, SubmittedJobs
from napts.text import one_line

_ANSWER_S = 30.0
_DEFAULT_ARRAY_SIZE = 1001


class _Executor(SlurmExecutor):
    """Submitit's executor; its text can be shown without Slurm."""

    @classmethod
    def affinity(cls) -> int:
        return 2


def submit_array(
    array: Array,
    jobs: Sequence[SweepJob],
    cluster: SlurmCluster,
    known_jobs: SubmittedJobs,
    snapshot: Snapshot,
) -> list[Job]:
    """Submit the jobs of one array and record them.

    Args:
        array: What the jobs ask for, and their runs.
        jobs: The jobs, in the same order.
        cluster: The profile.
        known_jobs: Where they are recorded.
        snapshot: The code that they run.

    Returns:
        The jobs as submitted.

    Raises:
        SlurmUnavailable: Slurm refused them.
    """
    # A folder of its own: a fresh cluster counts its jobs from 1 again, and an old job's files
    # would be taken for the new one's.
    folder = known_jobs.folder / "jobs" / uuid.uuid4().hex[:12]
    executor = _executor(array.shape, cluster, folder, snapshot, known_jobs.folder.name)
    try:
        with executor.batch():
            submitted = [executor.submit(job) for job in jobs]
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        raise SlurmUnavailable(f"sbatch: {_last_line(str(error), type(error).__name__)}") from error
    now = time.time()
    written = [
        Job(
            job_id=job.job_id,
            kind="slurm",
            run_keys=tuple(run.planned.spec.run_key for run in runs),
            log=str(job.paths.stderr),
            time=now,
            revision=snapshot.name,
        )
        for job, runs in zip(submitted, array.jobs, strict=True)
    ]
    known_jobs.add(written)
    return written


def sbatch_text(
    array: Array, cluster: SlurmCluster, folder: Path, snapshot: Snapshot, name: str
) -> str:
    """Return what sbatch would be given for an array; change nothing.

    Args:
        array: What the jobs ask for, and their runs.
        cluster: The profile.
        folder: Folder of the jobs' files.
        snapshot: The code that they would run.
        name: Name of the jobs.
    """
    executor = _executor(array.shape, cluster, folder, snapshot, name)
    if len(array.jobs) > 1:
        executor.parameters["map_count"] = len(array.jobs)
    return executor._make_submission_file_text(executor._submitit_command_str, "")


def _executor(
    shape: Shape, cluster: SlurmCluster, folder: Path, snapshot: Snapshot, name: str
) -> SlurmExecutor:
    executor = _Executor(
        folder, max_num_timeout=cluster.max_timeouts, python=shlex.quote(cluster.interpreter)
    )
    optional = {
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "mem": f"{shape.memory_gb * 1024:.0f}MB" if shape.memory_gb else None,
        "gpus_per_node": cluster.gpus_per_rank * shape.ranks if shape.cuda else None,
        "srun_args": list(cluster.srun_args) or None,
        "additional_parameters": _additional(cluster),
    }
    executor.update_parameters(
        job_name=f"napts-{name}",
        time=shape.timeout_min,
        nodes=1,
        ntasks_per_node=shape.ranks,
        cpus_per_task=shape.threads,
        signal_delay_s=cluster.signal_delay_s,
        array_parallelism=cluster.array_parallelism,
        setup=_setup(shape, cluster, snapshot),
        **{key: value for key, value in optional.items() if value is not None},
    )
    return executor


def _additional(cluster: SlurmCluster) -> dict[str, Any]:
    settings = {"requeue": True, **cluster.additional}
    return {name: value for name, value in settings.items() if value is not False}


def _setup(shape: Shape, cluster: SlurmCluster, snapshot: Snapshot) -> list[str]:
    variables = {
        **snapshot.variables(),
        "OMP_NUM_THREADS": str(shape.threads),
        # Since Slurm 22.05 srun does not take over sbatch's --cpus-per-task.
        "SRUN_CPUS_PER_TASK": str(shape.threads),
    }
    if "NAPTS_DATA" in os.environ:
        variables["NAPTS_DATA"] = str(Path(os.environ["NAPTS_DATA"]).absolute())
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return [*cluster.setup, *exports]


def max_array_size(cluster: SlurmCluster) -> int:
    """Return how many jobs an array may have, by the profile or by Slurm.

    Args:
        cluster: The profile.
    """
    if cluster.max_array_size is not None:
        return cluster.max_array_size
    try:
        lines = _ask("scontrol", "show", "config").splitlines()
    except SlurmUnavailable:
        return _DEFAULT_ARRAY_SIZE - 1
    sizes = [line.partition("=")[2] for line in lines if line.startswith("MaxArraySize")]
    # Slurm's limit is one above the largest index.
    return max(int(sizes[0]) - 1, 1) if sizes else _DEFAULT_ARRAY_SIZE - 1


def job_states(jobs: Iterable[Job]) -> dict[Job, str]:
    """Return what Slurm says of jobs.

    Accounting is asked as well, where the cluster has it: the queue forgets jobs that have ended.

    Args:
        jobs: Submitted jobs.

    Returns:
        The state of each job that it knows, such as ``"RUNNING"`` or ``"TIMEOUT"``.

    Raises:
        SlurmUnavailable: The queue does not answer.
    """
    wanted = _Wanted(jobs)
    if not wanted:
        return {}
    # The queue last: it knows the elements of an array before they start, and is up to date.
    rows = [*_accounted(wanted), *_queued("--states=all")]
    # sacct says who cancelled a job: "CANCELLED by 0".
    found = ((wanted.job(number, command), state.split()) for number, state, command in rows)
    return {job: words[0] for job, words in found if job is not None and words}


def cancel(jobs: Iterable[Job]) -> list[Job]:
    """End the jobs that are waiting or running.

    Args:
        jobs: Submitted jobs.

    Returns:
        The jobs that were waiting or running.

    Raises:
        SlurmUnavailable: Slurm does not answer.
    """
    wanted = _Wanted(jobs)
    found = (wanted.job(number, command) for number, _, command in _queued())
    there = [job for job in found if job is not None]
    if there:
        _ask("scancel", *(job.job_id for job in there))
    return there


class _Wanted:
    """Submitted jobs, distinguished from other people's jobs with the same numbers.

    A fresh cluster counts its jobs from 1 again. A job is identified by the folder of its
    submission, which is part of the path of its script.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        mine = [job for job in jobs if job.kind == "slurm"]
        self._jobs = {(job.job_id, Path(job.log).parent.name): job for job in mine}

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def job(self, number: str, command: str) -> Job | None:
        """Return the job that has this number and was submitted by this command."""
        return self._jobs.get((number, Path(command).parent.name))

    @property
    def numbers(self) -> list[str]:
        """The numbers, those of arrays without their elements."""
        return sorted({number.partition("_")[0] for number, _ in self._jobs})


def _queued(*options: str) -> list[tuple[str, str, str]]:
    """Return number, state and script of all jobs in the queue."""
    return _rows(_ask("squeue", "--array", "--noheader", *options, "--format=%i|%T|%o"))


def _accounted(wanted: _Wanted) -> list[tuple[str, str, str]]:
    """Return number, state and command of the jobs; nothing if there is no accounting."""
    try:
        text = _ask(
            *("sacct", "--allocations", "--noheader", "--parsable2"),
            *("--format=JobID,State,SubmitLine", f"--jobs={','.join(wanted.numbers)}"),
        )
    except SlurmUnavailable:
        return []
    return _rows(text)


def _rows(text: str) -> list[tuple[str, str, str]]:
    parts = [line.split("|", 2) for line in text.splitlines()]
    return [
        (number, state, command) for number, state, command in (p for p in parts if len(p) == 3)
    ]


def _ask(*command: str) -> str:
    try:
        # Among what is told are paths of other people's, which may be in any encoding.
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_ANSWER_S
        )
    except FileNotFoundError:
        raise SlurmUnavailable(f"{command[0]}: not found; is this a Slurm cluster?") from None
    except OSError as error:
        raise SlurmUnavailable(f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SlurmUnavailable(f"{command[0]}: no answer within {_ANSWER_S:.0f} s") from None
    if result.returncode:
        raise SlurmUnavailable(f"{command[0]}: {_last_line(result.stderr, 'failed')}")
    return result.stdout


def _last_line(text: str, otherwise: str) -> str:
    return one_line((text.strip().splitlines() or [otherwise])[-1], 160)
