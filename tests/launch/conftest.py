"""Small sweeps, and the command line in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SWEEP = """
experiment = "tests"
seeds = {seeds}
[workload]
name = "synthetic-blobs"
[budget]
epochs = {epochs}
[execution]
checkpoint_every_s = 0.2
{more}
[[methods]]
method = "NTR"
[methods.grid]
window = {windows}
"""


@dataclass
class Bench:
    """A folder with a sweep file and records."""

    folder: Path

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def sweep_file(self) -> Path:
        return self.folder / "sweep.toml"

    def write(
        self,
        *,
        seeds: str = "[0]",
        windows: str = "[0, 5]",
        epochs: int = 2,
        more: str = "",
        parallel: int = 2,
    ) -> None:
        text = SWEEP.format(seeds=seeds, windows=windows, epochs=epochs, more=more)
        self.sweep_file.write_text(text)
        (self.folder / "local.toml").write_text(f'kind = "local"\nparallel = {parallel}\n')

    def command(self, name: str, *more: str) -> list[str]:
        cluster = ["--cluster", str(self.folder / "local.toml")] if name == "submit" else []
        dirty = ["--allow-dirty"] if name == "submit" else []
        return [
            *(sys.executable, "-m", "napts.cli", "sweep", name, str(self.sweep_file)),
            *(*cluster, *dirty, "--records", str(self.records), *more),
        ]

    def napts(self, name: str, *more: str, code: int = 0) -> str:
        ended = subprocess.run(
            self.command(name, *more),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout

    def submit(self, *more: str, code: int = 0) -> int:
        """Submit and return how many runs were."""
        told = json.loads(self.napts("submit", "--json", *more, code=code))
        return sum(len(job["runs"]) for job in told["submitted"])

    def counts(self) -> dict[str, int]:
        told: dict[str, Any] = json.loads(self.napts("plan", "--json"))
        return {state: number for state, number in told["counts"].items() if number}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
