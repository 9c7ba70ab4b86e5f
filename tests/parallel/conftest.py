"""Real processes: the cases of cases.py on one, two and four ranks, each number once a session."""

import json
import os
import subprocess
import sys
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


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Results:
    """Train all cases; with several test workers one does it and the others wait."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "ranks"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            for size in SIZES:
                ended = torchrun(size, str(HERE / "cases.py"), str(folder))
                assert ended.returncode == 0, ended.stderr
    return {
        size: [
            json.loads((folder / f"rank-{rank}-of-{size}.json").read_text()) for rank in range(size)
        ]
        for size in SIZES
    }
