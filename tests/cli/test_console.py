"""Progress: a live bar on a terminal, a line per epoch in a file."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from napts.console import ConsoleObserver
from napts.experiment import RunSpec, parse_spec, run_all


def _spec() -> RunSpec:
    spec = parse_spec(
        {
            "experiment": "small",
            "workload": {"name": "synthetic-blobs"},
            "optimizer": {"method": "NAPTS"},
            "budget": {"epochs": 2},
        }
    )
    assert isinstance(spec, RunSpec)
    return spec


def _shown(records: Path, *, terminal: bool) -> str:
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=140, legacy_windows=False)
    with ConsoleObserver(1, console) as observer:
        run_all([_spec()], records, observer=observer)
        if terminal:
            observer._bars.refresh()
            out.write("".join(str(task.fields["detail"]) for task in observer._bars.tasks))
    return out.getvalue()


def test_in_a_file_there_is_a_line_per_epoch(tmp_path: Path) -> None:
    lines = _shown(tmp_path, terminal=False).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("[1/1] NAPTS seed 0  epoch 1/2  loss ")
    assert "rejections/batch" in lines[1]
    assert "radius" in lines[1]
    assert lines[2].startswith("[1/1] NAPTS napts-s0-")
    assert "done, test accuracy" in lines[2]


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    shown = _shown(tmp_path, terminal=True)
    assert "epoch 2/2" in shown
    assert "loss" in shown
    assert "acc 0." in shown
    assert "rej " in shown
    assert "radius" in shown
    assert "00:0" in shown  # time left
