"""docs/tutorials/own_problem.md as written: an installed wheel, an empty folder, two files."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from napts.records.read import find_runs, load_run
from tests.helpers.installed import clean_environment
from tests.helpers.pages import code, text_of
from tests.helpers.walk_through import PAGE, commands, write_files


def test_the_page_counts_its_lines() -> None:
    """What a user writes is shorter than benchopt's template, and the page's numbers are right."""
    (program,), (spec,) = code(PAGE, "python"), code(PAGE, "toml")
    lines = sum(map(_counts, [*program.splitlines(), *spec.splitlines()]))
    told = re.search(r"two files have\s+(\d+): a .* with them `wine.py`\s+has (\d+)", _page())
    assert told is not None
    assert int(told[1]) == lines < 26 + 17 + 20
    assert int(told[2]) == len(program.splitlines()) <= 30


def _page() -> str:
    return " ".join(text_of(PAGE).split())


def _counts(line: str) -> bool:
    """Neither blank lines nor comments count, on our side as on the template's."""
    return bool(line.strip()) and not line.strip().startswith("#")


def test_the_page_shows_formatted_code(tmp_path: Path) -> None:
    file, _ = write_files(tmp_path)
    command = ["ruff", "format", "--isolated", "--line-length", "100", "--check", str(file)]
    subprocess.run([sys.executable, "-m", *command], check=True)


@pytest.mark.journey
def test_the_walk_through(programs: Path, tmp_path: Path) -> None:
    write_files(tmp_path)
    environment = {**clean_environment(), "OMP_NUM_THREADS": "1"}
    run, submit, status, sync, report = commands()

    def start(words: list[str]) -> "subprocess.Popen[str]":
        command = [str(programs / words[0]), *words[1:]]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True
        )

    def napts(words: list[str]) -> str:
        process = start(words)
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, out + errors
        return out + errors

    killed = start(run)
    assert killed.stderr is not None
    for line in killed.stderr:
        if re.search(r"\[3/8\].* epoch (?!40)", line):
            break
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    told = napts(run)
    assert told.count("before, nothing to do") == 2
    records = [load_run(path) for path in find_runs(tmp_path / "records")]
    assert sum(len(record.restarts) for record in records) == len(records) + 1
    assert {record.status["state"] for record in records} == {"done"}
    assert all(record.final is not None and record.final["test_r2"] > 0 for record in records)
    assert "AdamW" in (tmp_path / "out" / "report.html").read_text()

    assert "nothing" not in napts(submit)
    found = json.loads(napts([*status, "--json"]))
    assert found["counts"]["done"] == 12
    counts = re.search(r"(\d+) created, .* (\d+) failed", napts(sync))
    assert counts is not None
    assert (counts[1], counts[2]) == ("4", "0"), "the sweep's; the others were logged meanwhile"
    assert "report.html" in napts(report)
    (environment_of, *_) = [record.environment for record in records if record.label == "Prodigy"]
    assert "prodigyopt" in environment_of["packages"]
    assert "scikit-learn" in environment_of["packages"]
