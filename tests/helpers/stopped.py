"""Runs that are stopped at one of their steps and go on, beside those to which nothing happened."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import napts
from napts.exits import CodeExit
from napts.experiment import RunSpec, run
from napts.records import RunRecord, load_run

_MEASURED = ("_seconds", "time", "attempt", "peak_memory_mb")


def assert_stopping_changes_nothing(spec: RunSpec, root: Path, at: int = 5) -> RunRecord:
    """Run a spec straight and stopped, compare all that is no time, and return the former."""
    straight = load_run(run(spec, root / "straight").path)
    found = _stopped(spec, root / "stopped", at)
    assert found.state == straight.state == "done"
    assert found.final == straight.final
    assert _rows(found.epochs) == _rows(straight.epochs)
    assert _rows(found.steps) == _rows(straight.steps)
    return straight


def _rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{n: v for n, v in row.items() if not n.endswith(_MEASURED)} for row in found]


def _stopped(spec: RunSpec, root: Path, at: int) -> RunRecord:
    kind, calls = getattr(napts, spec.optimizer.method), []
    step = kind.step

    def stopped(self: Any, closure: Any) -> float:
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return step(self, closure)

    with mock.patch.object(kind, "step", stopped), pytest.raises(CodeExit):
        run(spec, root)
    return load_run(run(spec, root, mode="retry").path)
