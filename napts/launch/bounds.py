"""How much jobs may ask for: what no cluster has is a slip, or is read as something else."""

from typing import Annotated

from pydantic import Field

TimeoutMin = Annotated[int, Field(ge=1, le=5_256_000)]
"""Wall time of a job in minutes; ten years at most."""

MemoryGb = Annotated[float, Field(ge=0.001, le=1_000_000)]
"""Memory of a job in GB. Below half a megabyte Slurm would be asked for 0, which means all."""

RunsPerJob = Annotated[int, Field(ge=1, le=1_000_000)]
"""Runs that one job does one after the other."""

Parallel = Annotated[int, Field(ge=1, le=1_000_000)]
"""Jobs at a time."""

ArraySize = Annotated[int, Field(ge=1, le=4_000_000)]
"""Jobs of one array; Slurm's own limit is 4,000,001."""

Devices = Annotated[int, Field(ge=0, le=1024)]
"""GPUs of a rank, or the number of one of them."""

SignalDelayS = Annotated[int, Field(ge=1, le=65_535)]
"""Seconds before the time limit at which a job is told; sbatch takes no more."""

Requeues = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""How often a job is requeued."""
