"""What a benchmark measures on ranks: a group of processes of this machine for each line."""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napts
from napts.parallel.launch import start_ranks
from napts.parallel.ranks import Ranks

Row = dict[str, Any]


def add_worker(parser: argparse.ArgumentParser) -> None:
    """Add the argument by which a process knows that it is a rank, and where the line goes."""
    parser.add_argument("--worker", help=argparse.SUPPRESS)


def work(path: str, measure: Callable[[Ranks], Row]) -> None:
    """Measure on one rank; the first one writes the line."""
    with napts.join_ranks(alone="RANK" not in os.environ) as ranks:
        row = measure(ranks)
        if ranks.leads:
            Path(path).write_text(json.dumps(row))


def line(count: int, module: str, options: list[str]) -> Row:
    """Start a module on ranks, and return the line that it has measured.

    A group for each line, because the peak of a process's memory never falls.

    Raises:
        SystemExit: If a rank failed.
    """
    with tempfile.TemporaryDirectory(prefix="napts-scaling-") as folder:
        path = Path(folder) / "line.json"
        code = start_ranks(count, module, [*options, f"--worker={path}"])
        if code:
            raise SystemExit(code)
        return json.loads(path.read_text())
