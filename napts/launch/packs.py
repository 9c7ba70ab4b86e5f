"""From runs to jobs: which runs go into one job, and which jobs into one array."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from napts.launch.cluster import Cluster, LocalCluster, SlurmCluster
from napts.launch.job import SweepJob
from napts.launch.plan import RunView

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a job asks for; jobs of one shape can share an array.

    Attributes:
        ranks: Processes of each run.
        threads: Processors of each of them.
        cuda: Whether they compute on GPUs.
        timeout_min: Wall time in minutes.
        memory_gb: Memory in GB, or None.
        runs_per_job: Runs done one after the other.
    """

    ranks: int
    threads: int
    cuda: bool
    timeout_min: int
    memory_gb: float | None
    runs_per_job: int

    def __str__(self) -> str:
        many = "s" if self.ranks * self.threads > 1 else ""
        parts = [
            f"{self.ranks} x {self.threads} processor{many}",
            "GPUs" if self.cuda else "",
            f"{self.timeout_min} min",
            "" if self.memory_gb is None else f"{self.memory_gb:g} GB",
            f"{self.runs_per_job} runs a job" if self.runs_per_job > 1 else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Array:
    """Jobs that are submitted together.

    Attributes:
        shape: What each of them asks for.
        jobs: For each job its runs.
    """

    shape: Shape
    jobs: list[tuple[RunView, ...]]


def make_arrays(runs: Sequence[RunView], cluster: Cluster, max_size: int) -> list[Array]:
    """Divide runs into jobs and arrays.

    Args:
        runs: The runs, in the order in which they should begin.
        cluster: The profile, which decides what the sweep leaves open.
        max_size: Largest number of jobs in one array.

    Returns:
        The arrays: one per shape, or several if there are more jobs than ``max_size``.
    """
    by_shape: dict[Shape, list[RunView]] = {}
    for run in runs:
        by_shape.setdefault(shape_of(run, cluster), []).append(run)
    return [
        Array(shape, list(jobs))
        for shape, members in by_shape.items()
        for jobs in _batched(_batched(members, shape.runs_per_job), max_size)
    ]


def shape_of(run: RunView, cluster: Cluster) -> Shape:
    """Return what a run's job asks for: the sweep's resources first, then the profile's."""
    spec, wanted = run.planned.spec, run.planned.resources
    slurm = cluster if isinstance(cluster, SlurmCluster) else SlurmCluster(kind="slurm")
    return Shape(
        ranks=spec.execution.ranks,
        threads=spec.execution.threads,
        cuda=spec.execution.device != "cpu",
        timeout_min=wanted.timeout_min or slurm.timeout_min,
        memory_gb=wanted.memory_gb or slurm.memory_gb,
        runs_per_job=1
        if isinstance(cluster, LocalCluster)
        else wanted.runs_per_job or slurm.runs_per_job,
    )


def job_of(
    runs: Sequence[RunView],
    records_root: str | Path,
    data_root: str | Path | None,
    *,
    retry_failed: bool,
    imports: Sequence[str] = (),
) -> SweepJob:
    """Return the job that does some runs.

    Args:
        runs: The runs.
        records_root: Folder of all records.
        data_root: Folder of the data sets, or None.
        retry_failed: Repeat failed and diverged runs.
        imports: Files and modules that it imports first.
    """
    return SweepJob(
        tuple(run.planned.spec.as_dict() for run in runs),
        str(Path(records_root).absolute()),
        None if data_root is None else str(Path(data_root).absolute()),
        "retry" if retry_failed else "cached",
        tuple(imports),
        tuple(run.planned.spec.header() for run in runs) if imports else (),
    )


def _batched(items: Sequence[_T], size: int) -> list[tuple[_T, ...]]:
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
