"""How long a thousand run directories take to find, to read, to merge and to sync into MLflow.

    python -m benchmarks.records_scale [--runs 1000] [--epochs 50] [--repeat 3]

Makes run directories of known contents in a temporary folder ("write"), merges them into another
one and syncs them into a SQLite store beside them. "scan" is what the status of a sweep needs:
finding all directories and reading the two small files of each.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.made_runs import write_run
from napts.records import find_runs, load_run, merge, read_status
from napts.tracking import sync

METHODS = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "Adam", "SGD", "LBFGS")


@dataclass(frozen=True)
class Measured:
    """One line of the table.

    Attributes:
        what: What was done to all run directories.
        runs: Number of run directories.
        repeats: How often it was measured.
        seconds: Median wall time of doing it once.
        rate: Run directories per second.
    """

    what: str
    runs: int
    repeats: int
    seconds: float
    rate: float


def write_records(root: Path, runs: int, epochs: int) -> None:
    """Write finished runs of eight methods in turn, each with its own seed."""
    for number in range(runs):
        method = METHODS[number % len(METHODS)]
        write_run(root, method=method, seed=number, experiment="scale", epochs=epochs)


def scan(root: Path) -> int:
    """Read header and status of every run; return how many are done."""
    return sum(read_status(path).state == "done" for path in find_runs(root))


def first_sync(root: Path) -> None:
    """Sync into a new store, which is thrown away."""
    # At another address each time: MLflow keeps a database open under its address, also a deleted.
    with tempfile.TemporaryDirectory(prefix="napts-store-") as folder:
        _sync(root, f"sqlite:///{folder}/mlflow.db", created=len(find_runs(root)))


def second_sync(root: Path) -> None:
    """Sync where there is nothing to do, into the store in the folder."""
    _sync(root, None, created=0)


def _sync(root: Path, tracking_uri: str | None, created: int) -> None:
    report = sync(root, tracking_uri)
    if report.failed or report.created != created:
        raise RuntimeError(f"expected {created} runs to be created, found {report}")


def _time(what: str, runs: int, repeats: int, action: Callable[[], object]) -> Measured:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    return Measured(what, runs, repeats, median, runs / median)


def measure(root: Path, runs: int, epochs: int, repeats: int) -> list[Measured]:
    """Measure everything on a fresh set of run directories.

    Args:
        root: An empty folder.
        runs: Number of run directories.
        epochs: Epochs of each.
        repeats: How often the quick parts are measured; writing and the first sync once.
    """

    def read_all() -> None:
        for path in find_runs(root):
            load_run(path)

    def collect() -> None:
        if not merge([root], root.with_name("collected")).clean:
            raise RuntimeError("not all runs could be merged")

    return [
        _time("write", runs, 1, lambda: write_records(root, runs, epochs)),
        _time("scan", runs, repeats, lambda: scan(root)),
        _time("read all rows", runs, repeats, read_all),
        _time("first merge", runs, 1, collect),
        _time("second merge", runs, repeats, collect),
        _time("first sync", runs, 1, lambda: _sync(root, None, created=runs)),
        _time("second sync", runs, repeats, lambda: second_sync(root)),
    ]


class RecordsScale:
    """asv: the same on 200 run directories of 50 epochs (lower is better)."""

    timeout = 600
    number = 1
    runs = 200

    def setup_cache(self) -> str:
        root = Path("records").resolve()  # in a folder that asv removes
        write_records(root, self.runs, 50)
        _sync(root, None, created=self.runs)
        return str(root)

    def time_scan(self, root: str) -> None:
        scan(Path(root))

    def time_sync_again(self, root: str) -> None:
        second_sync(Path(root))

    def track_first_sync(self, root: str) -> float:
        start = time.perf_counter()
        first_sync(Path(root))
        return 1e3 * (time.perf_counter() - start) / self.runs

    track_first_sync.unit = "ms/run"  # type: ignore[attr-defined]


def main() -> None:
    """Print the table, as text or as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="napts-records-") as folder:
        table = measure(Path(folder) / "records", given.runs, given.epochs, given.repeat)
    if given.json:
        print(json.dumps([asdict(line) for line in table]))
        return
    print(f"{given.runs} runs of {given.epochs} epochs, median of n")
    for line in table:
        print(f"{line.what:14} n={line.repeats} {line.seconds:9.2f} s {line.rate:10.0f} runs/s")


if __name__ == "__main__":
    main()
