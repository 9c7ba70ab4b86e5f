"""Profiles: where the runs of a sweep are executed, and which resources its jobs get."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from napts.experiment.spec.reading import read_toml, spec_error, validated
from napts.experiment.spec_table import SpecTable
from napts.launch.bounds import (
    ArraySize,
    Devices,
    MemoryGb,
    Parallel,
    Requeues,
    RunsPerJob,
    SignalDelayS,
    TimeoutMin,
)
from napts.launch.script_text import Line, Settings, Word
from napts.text import shown

Lines = Annotated[tuple[Line, ...], Field(strict=False)]


class SlurmUnavailable(RuntimeError):
    """A Slurm command is missing or failed."""


class LocalCluster(SpecTable):
    """This machine, several runs at a time.

    Attributes:
        kind: "local".
        parallel: Jobs at a time.
        gpus: Numbers of the GPUs to use, one for each rank of a run on CUDA.
    """

    kind: Literal["local"]
    parallel: Parallel = 1
    gpus: Annotated[tuple[Devices, ...], Field(strict=False)] = ()


class SlurmCluster(SpecTable):
    """A Slurm cluster; settings that are None are left to Slurm.

    Attributes:
        kind: "slurm".
        partition: Partition of the jobs.
        account: Account that pays for them.
        qos: Quality of service.
        constraint: Features that their nodes must have.
        timeout_min: Wall time of a job in minutes, unless the sweep sets it.
        memory_gb: Memory of a job in GB, likewise.
        gpus_per_rank: GPUs of every rank of a run on CUDA.
        runs_per_job: Runs that one job does one after the other, unless the sweep sets it.
        array_parallelism: Jobs of an array that run at a time.
        max_array_size: Largest number of jobs in one array; None asks Slurm.
        signal_delay_s: Seconds before the time limit at which a job is told to write its
            checkpoint and is requeued.
        max_timeouts: How often a job is requeued after its time limit. Submitit takes any end of a
            job of ten minutes or less for a time limit, so this is not a small number.
        setup: Shell lines that a job begins with, such as ``module load ...``, each on its own.
        srun_args: Arguments of srun.
        additional: Further ``#SBATCH`` settings; those that are true take no value, those that are
            false are left out, including ``requeue``.
        python: Python of the jobs; None for the submitting one.
    """

    kind: Literal["slurm"]
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    timeout_min: TimeoutMin = 60
    memory_gb: MemoryGb | None = None
    gpus_per_rank: Devices = 1
    runs_per_job: RunsPerJob = 1
    array_parallelism: Parallel = 32
    max_array_size: ArraySize | None = None
    signal_delay_s: SignalDelayS = 90
    max_timeouts: Requeues = 1000
    setup: Lines = ()
    srun_args: Lines = ()
    additional: Settings = Field(default_factory=dict)
    python: Annotated[Line, Field(min_length=1)] | None = None

    @property
    def interpreter(self) -> str:
        """Python of the jobs."""
        return self.python or sys.executable


Cluster = LocalCluster | SlurmCluster

_KINDS: dict[str, type[LocalCluster] | type[SlurmCluster]] = {
    "local": LocalCluster,
    "slurm": SlurmCluster,
}


def load_cluster(path: str | Path) -> Cluster:
    """Read a profile from a TOML file.

    Raises:
        SpecError: The file is missing, is not TOML, or is not a profile.
    """
    data = read_toml(Path(path))
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise spec_error(path, f"kind: found {shown(kind)}, allowed: {', '.join(_KINDS)}")
    return validated(_KINDS[kind], data, str(path))
