"""Own problems and methods at the command line and from Python, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from napts.cli import main
from napts.problems import problem_names
from napts.records.read import find_runs, load_run
from tests.helpers.own_code import METHOD, write_problem

ROOT = Path(__file__).parents[2]


def python(
    folder: Path, *arguments: str, code: int = 0, typed: str | None = None, **more: str
) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}
    ended = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        input=typed,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


def napts(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess:
    return python(folder, "-m", "napts.cli", *arguments, code=code)


def run(folder: Path, *more: str) -> list[dict[str, Any]]:
    told = napts(folder, "run", "line.toml", "--import", "line.py", "--no-track", "--json", *more)
    return json.loads(told.stdout)


@pytest.mark.slow
def test_a_changed_network_is_a_changed_run(tmp_path: Path) -> None:
    write_problem(tmp_path, width="width", imports="from sizes import width")
    (tmp_path / "sizes.py").write_text("width = 4\n")
    first = run(tmp_path)
    assert [row["state"] for row in first] == ["done", "done"]
    assert [row["ran"] for row in run(tmp_path)] == [False, False]
    (tmp_path / "sizes.py").write_text("width = 5\n")
    second = run(tmp_path)
    assert [row["ran"] for row in second] == [True, True]
    assert not {row["run_key"] for row in first} & {row["run_key"] for row in second}
    record = load_run(Path(tmp_path, first[0]["path"]))
    assert set(record.spec["code"]) == {"line.py", "sizes.py"}


@pytest.mark.parametrize(
    "command",
    [
        ["tune", "imported-line", "Adam", "--epochs", "1", "--seeds", "0", "--samples", "1"],
        ["claims", "records"],
        ["sweep", "collect", "line.toml", "other"],
    ],
)
def test_commands_that_read_what_own_code_has_made(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_problem(tmp_path)
    file.write_text(file.read_text().replace('"line"', '"imported-line"'))
    file = file.rename("imported_line.py")
    spec = Path("line.toml")
    spec.write_text(spec.read_text().replace('"line"', '"imported-line"'))
    bad = CliRunner().invoke(main, [*command, "--import", "nowhere.py"])
    assert bad.exit_code == 2
    assert "nowhere.py: found no such file" in bad.stderr
    search = ["--search", "random"] if command[0] == "tune" else []
    told = CliRunner().invoke(main, [*command, *search, "--import", str(file)])
    assert "imported-line" in problem_names()
    assert "needs --import" not in told.output
    if command[0] == "tune":
        assert told.exit_code == 0, told.output
        assert Path("tuned", "imported-line-Adam.toml").exists()


@pytest.mark.slow
def test_a_program_that_runs_itself(tmp_path: Path) -> None:
    """What it registers needs no import, in jobs neither."""
    more = (
        "if __name__ == '__main__':\n"
        "    outcomes = napts.run('line.toml')\n"
        "    assert [o.ran for o in outcomes] == [True, True], outcomes\n"
        "    plan = napts.sweep('line.toml', overrides=['seeds=[0,1]'], allow_dirty=True)\n"
        "    print(plan.counts()['done'], plan.counts()['failed'])\n"
    )
    write_problem(tmp_path, more=more)
    assert python(tmp_path, "line.py").stdout.split() == ["4", "0"]
    (record, *_) = map(load_run, find_runs(tmp_path / "records"))
    assert set(record.spec["code"]) == {"line.py"}
    assert [row["ran"] for row in run(tmp_path)] == [False, False], "it is the same file"


def test_a_program_that_would_run_itself_for_ever_is_told(tmp_path: Path) -> None:
    write_problem(tmp_path, more="napts.run('line.toml')\n")
    told = napts(tmp_path, "run", "line.toml", "--import", "line.py", code=2).stderr
    assert "napts.run was called while line.py was being imported" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "line.toml"], "workload.name: found 'line', allowed: digits-cnn, "),
        (["run", "line.toml"], "a problem of your own needs --import FILE"),
        (["run", "line.toml", "--import", "nowhere.py"], "nowhere.py: found no such file"),
        (["sweep", "status", "line.toml", "--import", "bad.py"], "bad.py:2: NameError: name 'x'"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_problem(tmp_path)
    (tmp_path / "bad.py").write_text("\nx\n")
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    (line,) = ended.stderr.strip().splitlines()
    assert told in line


@pytest.mark.slow
def test_reports_are_made_without_the_code(tmp_path: Path) -> None:
    write_problem(tmp_path)
    (tmp_path / "plain.py").write_text(METHOD)
    spec = tmp_path / "line.toml"
    spec.write_text(spec.read_text() + '[[methods]]\nmethod = "plain"\n')
    assert len(run(tmp_path, "--import", "plain.py")) == 3
    (tmp_path / "line.py").write_text("1 / 0\n")
    told = napts(tmp_path, "report", "table", "records", "--out", "out").stdout
    assert "out/" in told


@pytest.mark.slow
def test_specs_import_nothing_that_lies_about(tmp_path: Path) -> None:
    """Modules in the current folder with the names of what a spec asks for, or of a package."""
    write_problem(tmp_path)
    trap = "open('sprung', 'w').write(__name__)\n"
    for name in ("evil", "digits", "wine"):
        (tmp_path / f"{name}.py").write_text(trap)
    spec = tmp_path / "line.toml"
    safe = spec.read_text().replace('name = "line"', 'name = "synthetic-blobs"')
    spec.write_text(safe + '[[methods]]\nmethod = "evil.Optimizer"\n')
    script = (
        "from click.testing import CliRunner\nfrom napts.cli import main\n"
        "for command in ('sweep plan', 'sweep status', 'sweep submit', 'run', 'report all'):\n"
        "    words = [*command.split(), 'records' if 'report' in command else 'line.toml']\n"
        "    ended = CliRunner().invoke(main, words)\n"
        "    print(command, ended.exit_code, ended.stderr)\n"
    )
    told = python(tmp_path, "-c", script, PYTHONPATH=f"{ROOT}{os.pathsep}.").stdout
    assert "sweep plan 0 \n" in told
    assert "sweep submit 2 napts: Optimizer seed 0: optimizer.method: found 'evil' in" in told
    assert "run 0" not in told
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
def test_a_file_that_was_edited_after_its_import_is_told(tmp_path: Path) -> None:
    write_problem(tmp_path)
    (tmp_path / "twice.py").write_text(
        "import napts, pathlib\n"
        "first = napts.run('line.toml', imports=['line.py'])\n"
        "assert [o.ran for o in first] == [True] * len(first)\n"
        "again = napts.run('line.toml', imports=['line.py'])\n"
        "assert not any(o.ran for o in again)\n"
        "with open('line.py', 'a') as file: file.write('# another network')\n"
        "napts.run('line.toml', imports=['line.py'])\n"
    )
    told = python(tmp_path, "twice.py", code=1).stderr
    assert "line.py changed since it was imported, allowed: a new process" in told


def test_a_problem_on_the_standard_input_is_refused(tmp_path: Path) -> None:
    write_problem(tmp_path)
    program = (tmp_path / "line.py").read_text() + "\nnapts.run('line.toml')\n"
    ended = python(tmp_path, "-", typed=program, code=1)
    assert "which is in no file" in ended.stderr
    assert not (tmp_path / "records").exists()
