"""Progress: a live bar on a terminal, a line per epoch in a file."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from napts.console import ConsoleObserver
from napts.experiment import RunSpec, parse_spec, run_all
from napts.optim import StepRecord
from napts.text import LINE


def _spec(label: str = "NAPTS") -> RunSpec:
    spec = parse_spec(
        {
            "experiment": "small",
            "label": label,
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


def test_small_numbers_are_told_with_an_exponent() -> None:
    out = StringIO()
    row = {"epoch": 3, "train_loss": 0.5, "val_accuracy": 2.5e-9, "train_seconds": 1.0}
    with ConsoleObserver(1, Console(file=out, width=140)) as observer:
        observer.on_run_start(_spec(), 9, 10)
        observer.on_epoch({**row, "radius": None})
    assert "loss 0.5000  val. accuracy 2.50e-09  1.00 s" in out.getvalue()


def test_a_notice_is_one_line_and_keeps_its_end() -> None:
    out = StringIO()
    with ConsoleObserver(1, Console(file=out, width=140)) as observer:
        observer.on_notice(f"tr-s0-0: {'x' * 400}; it is started anew, kept in .damaged-1")
    (line,) = out.getvalue().splitlines()
    assert len(line) == LINE
    assert line.startswith("napts: tr-s0-0: xxx")
    assert line.endswith("x; it is started anew, kept in .damaged-1")


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    shown = _shown(tmp_path, terminal=True)
    assert "epoch 2/2" in shown
    assert "loss" in shown
    assert "acc 0." in shown
    assert "rej " in shown
    assert "radius" in shown
    assert "00:0" in shown  # time left


def _terminal(out: StringIO) -> Console:
    return Console(file=out, force_terminal=True, width=140, legacy_windows=False)


def test_brackets_in_a_label_are_text(tmp_path: Path) -> None:
    out = StringIO()
    with ConsoleObserver(1, _terminal(out)) as observer:
        observer.on_run_start(_spec("window [5] [/b]"), 1, 10)
        observer._bars.refresh()
    assert "window [5] [/b] seed 0" in out.getvalue()


def test_steps_only_note_what_the_next_refresh_shows() -> None:
    """The thread of the bar redraws now and then; a step that redraws would slow the training."""
    out = StringIO()
    observer = ConsoleObserver(1, _terminal(out))  # without its thread, so nobody redraws
    observer.on_run_start(_spec(), 3, 1000)
    records = [StepRecord(loss=float(i), radius_after=0.1) for i in range(1000)]
    for step, record in enumerate(records, start=1):
        observer.on_progress(step / 3000)
        observer.on_step(record, 1, step)
    assert out.getvalue() == ""
    run = observer._bars.tasks[-1]
    assert run.total == 1.0
    assert run.completed == 1000 / 3000
    assert run.fields["detail"] == "epoch 1/3 loss 999.0000 rej 0.00 radius 0.1"
