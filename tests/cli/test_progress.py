"""The bar of long work, and what `napts sync` says of its pace."""

import io
import json
import re

from click.testing import CliRunner
from rich.console import Console

from benchmarks.made_runs import write_comparison
from napts.cli import main
from napts.cli.progress import progress_bar, rate


def shown(terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=80)
    with progress_bar("syncing", console) as tell:
        for done in range(1, 4):
            tell(done, 3, f"run {done}")
    return file.getvalue()


def test_a_bar_on_a_terminal_only():
    text = shown(terminal=True)
    assert "syncing" in text
    assert "3/3" in text
    assert "runs/s" in text
    assert all(len(line) <= 80 for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split("\r"))
    assert shown(terminal=False) == ""


def test_the_rate_is_legible():
    assert rate(1000, 62.31) == "62 s, 16 runs/s"
    assert rate(3, 2.4) == "2.4 s, 1.2 runs/s"
    assert rate(1_000_000, 12.5) == "12 s, 80,000 runs/s"
    assert rate(0, 0.0).endswith(" 0 runs/s")


def test_sync_says_how_fast_it_was(tmp_path):
    write_comparison(tmp_path, methods=("Adam", "SGD"), seeds=1, epochs=1)
    first = CliRunner().invoke(main, ["sync", str(tmp_path)])
    pattern = r"2 created, 0 updated, 0 unchanged, 0 failed in \S+ s, \S+ runs/s\n"
    assert re.fullmatch(pattern, first.stdout), first.output
    assert first.stderr == ""
    again = CliRunner().invoke(main, ["sync", str(tmp_path), "--json"])
    told = json.loads(again.stdout)
    assert told.pop("seconds") > 0
    assert told == {"created": 0, "updated": 0, "unchanged": 2, "failed": 0, "problems": []}
