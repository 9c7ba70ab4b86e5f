"""How much jobs may ask for: more than any cluster has is a slip, or is misread."""

from typing import Annotated

from pydantic import Field

from napts.quantity import Unit

TimeoutMin = Annotated[int, Field(ge=1, le=5_256_000), Unit("minutes")]
"""Wall time of a job in minutes; ten years at most."""

MemoryGb = Annotated[float, Field(ge=0.001, le=1_000_000), Unit("GB")]
"""Memory of a job in GB. Below half a megabyte Slurm would be asked for 0, which means all."""

RunsPerJob = Annotated[int, Field(ge=1, le=1_000_000), Unit("runs")]
"""Runs that one job does one after the other."""

Parallel = Annotated[int, Field(ge=1, le=1_000_000), Unit("jobs at a time")]
"""Jobs at a time."""

ArraySize = Annotated[int, Field(ge=1, le=4_000_000), Unit("jobs")]
"""Jobs of one array; Slurm's own limit is 4,000,001."""

Devices = Annotated[int, Field(ge=0, le=1024), Unit("GPUs")]
"""GPUs of a rank, or the number of one of them."""

SignalDelayS = Annotated[int, Field(ge=1, le=65_535), Unit("seconds")]
"""Largest number of seconds before the time limit at which a job is warned, as in sbatch."""

Requeues = Annotated[int, Field(ge=0, le=1_000_000_000), Unit("times")]
"""How often a job is requeued."""
