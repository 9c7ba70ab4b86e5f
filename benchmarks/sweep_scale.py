"""How long `napts sweep plan` and `status` take for a sweep of a thousand runs.

    python -m benchmarks.sweep_scale [--runs 1000] [--repeat 5]

Half of the runs are done. Each command is a process of its own, as a person starts it: the time is
wall time from its start to its end.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.made_runs import write_run
from napts.launch.sweepfile import load_sweep
from napts.records.layout import run_directory

_SWEEP = """
experiment = "scale"
seeds = {seeds}
[workload]
name = "mnist-fcnn"
[budget]
epochs = 50
[[methods]]
method = "NAPTS"
[methods.grid]
window = [0, 1, 2, 5, 10]
local_steps = [1, 5]
"""


def prepare(folder: Path, runs: int) -> Path:
    """Write a sweep of so many runs, half of which are done, and return its file."""
    file = folder / "sweep.toml"
    file.write_text(_SWEEP.format(seeds=list(range(runs // 10))))
    for spec in load_sweep(file).runs()[::2]:
        written = write_run(folder / "made", method="NAPTS", seed=spec.seed, epochs=50)
        target = run_directory(folder / "records", "scale", spec.run_key)
        target.parent.mkdir(parents=True, exist_ok=True)
        written.rename(target)
    return file


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="napts-sweep-") as folder:
        file = prepare(Path(folder), given.runs)
        print("| command | runs | n | seconds, median | smallest | largest |")
        print("|---|---:|---:|---:|---:|---:|")
        for command in ("plan", "status"):
            seconds = [_run(command, file) for _ in range(given.repeat)]
            numbers = (statistics.median(seconds), min(seconds), max(seconds))
            cells = " | ".join(f"{number:.2f}" for number in numbers)
            print(f"| {command} | {given.runs} | {given.repeat} | {cells} |")


def _run(command: str, file: Path) -> float:
    start = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "napts.cli", "sweep", command, str(file)),
            *("--records", str(file.parent / "records")),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
