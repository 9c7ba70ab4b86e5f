"""The environment that make sets up is pinned by constraints.txt."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("torch", ["", "2.9.1"])
def test_the_constraints_are_those_of_the_file(torch: str, tmp_path: Path) -> None:
    """The recipe's own command is run; without TORCH nothing may be lost or changed."""
    venv = tmp_path / "venv"
    command = ["make", "-n", "-B", f"VENV={venv}", f"TORCH={torch}", f"{venv}/.ready"]
    target = next(
        line.split(":=")[1].strip().replace("$(VENV)", str(venv))
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line.startswith("READY :=")
    )
    command[-1] = target
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (recipe,) = [line for line in told.splitlines() if line.startswith("sed ")]
    assert f"-c {venv}/constraints.txt" in told
    venv.mkdir()
    subprocess.run(recipe, shell=True, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    pins = (venv / "constraints.txt").read_text().splitlines()
    wanted = (ROOT / "constraints.txt").read_text().splitlines()
    if torch:
        wanted = [line for line in wanted if not line.startswith("torchvision==")]
        wanted = [f"torch=={torch}" if w.startswith("torch==") else w for w in wanted]
    assert pins == wanted
    assert any(line.startswith("torch==") for line in pins)
