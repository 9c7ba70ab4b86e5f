"""The tutorials and guides, each from an empty folder: files are written, commands run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from napts.records.read import find_runs, load_run
from tests.helpers.installed import clean_environment
from tests.helpers.pages import ROOT, blocks

pytestmark = pytest.mark.journey


def follow(page: str, folder: Path, programs: Path) -> None:
    """Do what a page says, in its order."""
    for block in blocks(page, "python", "toml", "sh"):
        if block.reason is not None:
            continue
        if block.language == "sh":
            shell(block.text, folder, programs)
        elif block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def shell(commands: str, folder: Path, programs: Path) -> str:
    """Run lines as a shell does that stops at the first that fails."""
    environment = {
        **clean_environment(),
        "PATH": os.pathsep.join((str(programs), os.environ["PATH"])),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def states(records: Path) -> list[str]:
    """How the runs below a folder ended."""
    return [load_run(path).status["state"] for path in find_runs(records)]


def test_faster_passes(tmp_path: Path, programs: Path) -> None:
    follow("howto/faster_passes.md", tmp_path, programs)
    assert states(tmp_path / "records") == ["done"] * 2


def test_first_study(tmp_path: Path, programs: Path) -> None:
    follow("tutorials/first_study.md", tmp_path, programs)
    assert states(tmp_path / "records") == ["done"] * 12
    assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "records" / "mlflow.db").exists()


def test_first_pinn(tmp_path: Path, programs: Path) -> None:
    follow("tutorials/first_pinn.md", tmp_path, programs)
    assert states(tmp_path / "records") == ["done"] * 8
    assert (tmp_path / "out" / "report.html").exists()


def test_a_sweep_on_this_machine(tmp_path: Path, programs: Path) -> None:
    follow("howto/slurm.md", tmp_path, programs)
    assert states(tmp_path / "all") == ["done"] * 6


def test_ranks(tmp_path: Path, programs: Path) -> None:
    follow("howto/ranks.md", tmp_path, programs)
    (run,) = find_runs(tmp_path / "records")
    assert load_run(run).environment["ranks"] == 2


def test_mlflow(tmp_path: Path, programs: Path) -> None:
    follow("howto/mlflow.md", tmp_path, programs)
    assert set(states(tmp_path / "records")) == {"done"}


def test_tuning(tmp_path: Path, programs: Path) -> None:
    follow("howto/tuning.md", tmp_path, programs)
    names = {path.name for path in (tmp_path / "tuned").iterdir()}
    assert "digits-cnn-torch.optim.AdamW.toml" in names


def test_a_method(tmp_path: Path, programs: Path) -> None:
    shutil.copy(ROOT / "tests" / "experiment" / "own_method.py", tmp_path)
    follow("howto/new_method.md", tmp_path, programs)
    assert states(tmp_path / "records") == ["done"] * 4


def test_the_gate_in_another_repository(tmp_path: Path, programs: Path) -> None:
    """With the two files that the page says, and its benchmark."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    for name in ("gate.py", "worker.py"):
        shutil.copy(ROOT / "benchmarks" / name, tmp_path / "benchmarks")
    (benchmark,) = blocks("howto/ci.md", "python")
    (tmp_path / "benchmarks" / "steps.py").write_text(benchmark.text)
    git = "git -c user.name=a -c user.email=a@example.org"
    start = f"git init -q -b main && git add . && {git} commit -q -m first"
    shell(
        f"{start} && git switch -q -c work && {git} commit -q --allow-empty -m s",
        tmp_path,
        programs,
    )
    command, *_ = (block.text for block in blocks("howto/ci.md", "sh") if block.reason is None)
    assert "0 worse" in shell(f"{command.strip()} --rounds 1", tmp_path, programs)
