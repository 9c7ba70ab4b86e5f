"""Real processes: the cases of cases.py on one, two and four ranks, each number once a session."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.parallel.cases import SIZES, Results

HERE = Path(__file__).parent


def torchrun(size: int, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script on some ranks of this machine and wait for it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    return subprocess.run(
        [*command, "--nproc-per-node", str(size), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def once(
    name: str, program: Path, sizes: Sequence[int], factory: pytest.TempPathFactory, worker: str
) -> Path:
    """Run a program on so many ranks each, and return the folder that it was given.

    With several test workers one does it and the others wait.
    """
    base = factory.getbasetemp()
    folder = (base if worker == "master" else base.parent) / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            for size in sizes:
                ended = torchrun(size, str(program), str(folder))
                assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Results:
    """Train all cases."""
    folder = once("ranks", HERE / "cases.py", SIZES, tmp_path_factory, worker_id)
    return {
        size: [
            json.loads((folder / f"rank-{rank}-of-{size}.json").read_text()) for rank in range(size)
        ]
        for size in SIZES
    }
