"""Where results cannot be written or addresses lead nowhere: a line, and nothing is lost."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmarks.made_runs import write_run
from napts.tracking.store import shown
from tests.input.commands import call, everything, refused


@pytest.fixture
def records() -> Path:
    write_run(Path("records"), method="SGD", seed=0, epochs=3)
    return Path("records")


def full_after(writes: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that finds the disk full after so many calls."""
    left = writes

    def write(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*arguments, **options)

    return write


WRITERS = [(Figure, "savefig"), (pd.DataFrame, "to_csv"), (Path, "write_text")]


@pytest.mark.parametrize(("owner", "name"), WRITERS, ids=[name for _, name in WRITERS])
def test_a_full_disk_leaves_the_last_report_as_it_was(
    owner: type, name: str, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("compare",) if name == "savefig" else ("table",)
    Path("out").mkdir()
    Path("out/report.html").write_text("the last one")
    monkeypatch.setattr(owner, name, full_after(int(name != "to_csv"), getattr(owner, name)))
    said = refused("report", *asked, records, "--out", "out")
    assert said == "napts: out: No space left on device\n"
    before = everything()
    refused("report", *asked, records, "--out", "new/folder")
    assert everything() == before


def test_a_report_replaces_the_last_one(records: Path) -> None:
    for _ in range(2):
        result = call("report", "table", records, "--out", "out")
        assert result.exit_code == 0
        assert "out/table-digits-cnn.csv" in result.output
    assert "napts report table records --out out" in Path("out/table-digits-cnn.md").read_text()
    assert not [path for path in Path("out").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("out", ["file", "file/further", "x" * 300, "/proc/none"])
def test_places_that_no_report_can_have(out: str, records: Path) -> None:
    Path("file").write_text("kept")
    refused("report", "table", records, "--out", out)


@pytest.mark.parametrize("command", ["sync", "ui"])
@pytest.mark.parametrize(
    "uri",
    [
        *("bogus://x", "sqlite:///", "sqlite://", "sqlite:///:memory:", "sqlite:///?a=b", "sqlite"),
        *("http://", "x", "x" * 100_000, "\x1b[31m://", "bogus://user:secret@x/", "http:/x"),
    ],
    ids=lambda uri: ascii(uri)[:20],
)
def test_addresses_that_are_none(command: str, uri: str, records: Path) -> None:
    said = refused(command, records, "--tracking-uri", uri)
    assert "secret" not in said
    assert "allowed: http://HOST:PORT, sqlite:///FILE" in said


def test_a_run_with_such_an_address_does_not_begin(records: Path) -> None:
    Path("run.toml").write_text(
        'experiment = "e"\nworkload = {name = "synthetic-blobs"}\nbudget = {epochs = 1}\n'
        'optimizer = {method = "SGD"}\n'
    )
    said = refused("run", "run.toml", "--tracking-uri", "bogus://x", "--records", "elsewhere")
    assert "bogus://x" in said


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("sqlite:////a/x.db", "sqlite:////a/x.db"),
        ("http://user:secret@host:80/a@b", "http://host:80/a@b"),
        ("postgresql://u:p@h/d", "postgresql://h/d"),
        ("http://[", "http://["),
    ],
)
def test_addresses_are_told_as_they_are_without_passwords(uri: str, text: str) -> None:
    assert shown(uri) == text


NUMBERS = ["nan", "inf", "-inf", "-1", "0", "1e308", "9" * 5000, "x" * 5000, "1\x1b[31m", ""]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: ascii(value)[:12])
def test_numbers_on_the_command_line(value: str, records: Path) -> None:
    Path("sweep.toml").write_text("")
    for command in (
        ("sync", "records", "--watch", "--interval", value),
        ("sweep", "status", "sweep.toml", "--watch", "--interval", value),
        ("ui", "records", "--port", value),
        *(("tune", "digits-cnn", "SGD", f"--{name}", value) for name in TUNE),
    ):
        if command[-2:] != ("--seeds", "0"):
            told = refused(*command)
            assert command[-2] in told


TUNE = ("samples", "finalists", "epochs", "seeds")


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("x" * 5000,),
        ("run", "a", "--mode", "x" * 5000),
        ("run", "a", "--" + "x" * 5000),
        ("report",),
        ("report", "x" * 5000, "records"),
        ("report", "\x1b[31m"),
        ("claims", "y" * 5000),
        ("data", "prepare", "x\x1b[31m" * 500),
        ("sweep", "submit"),
        ("tune", "x" * 5000, "y" * 5000),
        ("run", "a", "--import", "x" * 5000),
        ("sync", "y" * 5000),
    ],
    ids=lambda command: ascii(" ".join(command))[:24],
)
def test_arguments_that_are_wrong(command: tuple[str, ...], records: Path) -> None:
    refused(*command)
