"""The submitted jobs of a sweep, in order of submission."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napts.records.files import RowFile
from napts.records.layout import check_name
from napts.records.rows import Misshapen, read_rows
from napts.text import shown

_FOLDER = ".launch"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was submitted.

    Attributes:
        job_id: Slurm's number, with that of the array element (``"17_3"``); for a local job, the
            number of its process.
        kind: "slurm" or "local".
        run_keys: Runs that it does.
        log: File of its output; for several ranks, that of the first.
        time: When it was submitted, in unix seconds.
        revision: Name of the code that it runs.
        started: For a local job, when its process was created, which distinguishes it from a later
            one with the same number.
    """

    job_id: str
    kind: str
    run_keys: tuple[str, ...]
    log: str
    time: float
    revision: str
    started: float | None = None


class SubmittedJobs:
    """Where the jobs of one experiment are recorded.

    Args:
        records_root: Folder of all records.
        experiment: Name of the experiment.

    Attributes:
        folder: Folder for logs, code and the list of the jobs.
    """

    def __init__(self, records_root: str | Path, experiment: str) -> None:
        self.folder = Path(records_root).absolute() / _FOLDER / check_name(experiment)
        self._path = self.folder / "ledger.jsonl"

    def jobs(self) -> list[Job]:
        """Return all jobs, oldest first.

        Raises:
            DamagedRun: The list is damaged.
        """
        return [Job(**fields) for fields in read_rows(self._path, _job)]

    def latest(self) -> dict[str, Job]:
        """Return the latest submitted job for each run key."""
        return {key: job for job in self.jobs() for key in job.run_keys}

    def add(self, jobs: Iterable[Job]) -> None:
        """Record jobs; they are on the disk afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = RowFile(self._path)
        try:
            file.append(asdict(job) for job in jobs)
            file.sync()
        finally:
            file.close()


def _job(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a job.

    Raises:
        Misshapen: A field is missing or has another type.
    """
    fields = {name: row.get(name) for name in _FIELDS}
    for name, value in fields.items():
        types = _FIELDS[name]
        if not isinstance(value, types) or isinstance(value, bool):
            raise Misshapen(f"{name}: found {shown(value)}, which no job can have")
    keys = row["run_keys"]
    if not all(isinstance(key, str) for key in keys):
        raise Misshapen(f"run_keys: found {shown(keys)}, allowed: a list of text")
    return {**fields, "run_keys": tuple(keys)}


_FIELDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("job_id", "kind", "log", "revision"), (str,)),
    "run_keys": (list,),
    "time": (int, float),
    "started": (int, float, type(None)),
}
"""What the rows of the list hold."""
