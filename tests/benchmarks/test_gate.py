"""The gate on two revisions of this tree: it sees what was planted, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate import BAD_INPUT, NOTHING, OK, WORSE, Comparison, main
from benchmarks.gate import _verdict as verdict
from tests.benchmarks.conftest import ROOT, commit, git, repository

pytestmark = pytest.mark.bench
FORWARDS = r"counters\.Counters\.track_forwards\('digits-cnn', 'TR'\)"
STEP = r"^steps\.StepTime\.time_step\('mnist-fcnn', 1000, 'TR'\)"
OBJECTIVE = Path("napts/optim/objective.py")
EVALUATION = "        trial_loss = self._standing_loss(trial)\n"


@pytest.fixture(scope="module")
def revisions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of this tree as it is, with three branches that each plant something."""
    folder = tmp_path_factory.mktemp("repository")
    repository(folder)
    _plant(folder, "slow", f"        __import__('time').sleep(0.005)\n{EVALUATION}")
    _plant(folder, "forward", f"        self._passes.value()\n{EVALUATION}")
    _plant(folder, "broken", f"        raise RuntimeError('planted')\n{EVALUATION}")
    return folder


def _plant(folder: Path, branch: str, lines: str) -> None:
    git(folder, "switch", "--create", branch, "main")
    text = (folder / OBJECTIVE).read_text()
    assert text.count(EVALUATION) == 1
    (folder / OBJECTIVE).write_text(text.replace(EVALUATION, lines))
    commit(folder, branch)
    git(folder, "switch", "main")


def gate(folder: Path, head: str, bench: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "benchmarks.gate", "main", head]
    command += ["--bench", bench, "--rounds", "2"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    ("head", "bench", "code", "line"),
    [
        ("slow", STEP, WORSE, "**worse**"),
        ("forward", FORWARDS, WORSE, "**worse**"),
        ("broken", FORWARDS, WORSE, "**worse**: RuntimeError: planted"),
        ("slow", FORWARDS, OK, "1 compared, 0 worse."),
        ("main", f"{STEP}|{FORWARDS}", OK, "2 compared, 0 worse."),
    ],
)
def test_what_was_planted_is_found(
    revisions: Path, head: str, bench: str, code: int, line: str
) -> None:
    result = gate(revisions, head, bench)
    assert result.returncode == code, result.stdout + result.stderr
    assert line in result.stdout
    assert result.stdout.startswith("| benchmark | base | head | ratio | |")
    assert git(revisions, "worktree", "list").count("\n") == 1


def test_nothing_measured_is_no_success(revisions: Path) -> None:
    result = gate(revisions, "slow", "no such benchmark")
    assert result.returncode == NOTHING
    assert "nothing was measured" in result.stderr


def test_bad_revisions_are_told(revisions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(revisions)
    assert main(["main", "nowhere"]) == BAD_INPUT


@pytest.mark.parametrize(
    ("comparison", "code"),
    [
        (Comparison("t", "s", 0.010, 0.014, 1.4), WORSE),
        (Comparison("t", "s", 0.010, 0.0125, 1.25), OK),
        (Comparison("t", "s", 0.0005, 0.0015, 3.0), OK),
        (Comparison("c", "passes/step", 3.0, 3.01, 1.003), WORSE),
        (Comparison("c", "passes/step", 3.0, 2.0, 0.67), OK),
        (Comparison("l", "loss", 1.0, 1.0005, 1.0005), OK),
        (Comparison("l", "loss", 1.0, 1.01, 1.01), WORSE),
        (Comparison("n", "s", None, 0.1, None), NOTHING),
        (Comparison("n", "s", None, None, None, "failed"), NOTHING),
        (Comparison("b", "s", 0.1, None, None, "broken"), WORSE),
    ],
)
def test_verdicts(comparison: Comparison, code: int) -> None:
    assert verdict([comparison]) == code


def test_no_benchmark_at_all() -> None:
    assert verdict([]) == NOTHING
