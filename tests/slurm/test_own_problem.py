"""docs/tutorials/own_problem.md on a real Slurm: jobs import the file as it was at submission."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.helpers.installed import build_wheel, clean_environment, install
from tests.helpers.walk_through import commands, write_files
from tests.slurm.conftest import Cluster, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]


def test_the_walk_through(cluster: Cluster, tmp_path: Path) -> None:
    programs = install(build_wheel(tmp_path / "wheel"), tmp_path / "venv")
    folder = tmp_path / "mine"
    folder.mkdir()
    code, _ = write_files(folder)
    (folder / "slurm.toml").write_text('kind = "slurm"\npartition = "main"\n')
    environment = {**clean_environment(), "SLURM_CONF": cluster.environment["SLURM_CONF"]}

    def napts(words: list[str], *more: str) -> str:
        ended = subprocess.run(
            [str(programs / words[0]), *words[1:], *more],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    _, submit, status, _, report = commands()
    text = code.read_text()
    napts(submit, "--cluster", "slurm.toml")
    code.write_text("1 / 0\n")  # which is nothing to the jobs
    records = folder / "records" / "wine"

    def ended() -> bool:
        states = [json.loads(path.read_text())["state"] for path in records.glob("*/status.json")]
        return len(states) == 12 and not {"running", "interrupted"} & set(states)

    wait_until(ended, "all runs to end", 240)
    code.write_text(text)
    assert json.loads(napts(status, "--json"))["counts"]["done"] == 12
    assert "report.html" in napts(report)
