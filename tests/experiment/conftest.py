"""Small specs, and real processes that train and can be killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from napts.experiment import RunSpec, parse_spec

ROOT = Path(__file__).parents[2]
SpecMaker = Callable[..., RunSpec]


def make_spec(method: str = "Adam", workload: str = "synthetic-blobs", **other: Any) -> RunSpec:
    options = other.pop("options", {})
    execution = {"checkpoint_every_s": 1000.0, **other.pop("execution", {})}
    data: dict[str, Any] = {
        "experiment": "tests",
        "workload": {"name": workload},
        "optimizer": {"method": method, **options},
        "budget": {"epochs": other.pop("epochs", 2)},
        "execution": execution,
        **other,
    }
    spec = parse_spec(data)
    assert isinstance(spec, RunSpec)
    return spec


@pytest.fixture
def spec_of() -> SpecMaker:
    return make_spec


class Launcher:
    """A process that has imported everything and forks one child per run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.experiment.launcher"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._count = 0

    def start(self, spec: RunSpec, root: Path, *, die_at: str = "", mode: str = "cached") -> int:
        """Start a run in a child and return its process number."""
        self._count += 1
        path = self._folder / f"spec-{self._count}.json"
        path.write_text(spec.model_dump_json())
        return int(self._ask(f"start\t{path}\t{root}\t{mode}\t{die_at}"))

    def wait(self, pid: int) -> int:
        """Wait for a child and return its exit status, negative for a signal."""
        return int(self._ask(f"wait\t{pid}"))

    def ended(self, pid: int) -> int | None:
        """Return the exit status of a child, or None while it runs."""
        answer = self._ask(f"poll\t{pid}")
        return None if answer == "running" else int(answer)

    def wait_for(self, path: Path, pid: int) -> None:
        """Wait until a file is there."""
        while not path.exists():
            assert self.ended(pid) is None, "the run ended too early"
            time.sleep(0.002)

    def kill(self, pid: int) -> int:
        """Kill a child with SIGKILL and return its exit status."""
        os.kill(pid, signal.SIGKILL)
        return self.wait(pid)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("launcher"))
    yield launcher
    launcher.close()
