import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napts.records import RecordError, condense, find_runs, load_run
from napts.records.damage import DamagedRun
from napts.records.layout import check_name, run_directory
from napts.records.write import RunWriter

HEADER = {
    "schema": 1,
    "run_key": "adam-s0-0123456789",
    "experiment": "exp",
    "label": "Adam",
    "spec": {
        "seed": 4,
        "workload": {"name": "w"},
        "optimizer": {"method": "Adam"},
        "budget": {"batch_size": 9},
    },
}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def make_run(
    directory: Path,
    epochs: list[tuple[int, int]] = (),  # pyright: ignore[reportArgumentType]
    steps: list[tuple[int, int, int]] = (),  # pyright: ignore[reportArgumentType]
    resumed: list[tuple[int | None, int | None]] = (),  # pyright: ignore[reportArgumentType]
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "spec.json").write_text(json.dumps(HEADER))
    rows = [{"attempt": a, "epoch": e, "time": 1e9} for a, e in epochs]
    write_lines(directory / "epochs.jsonl", rows)
    write_lines(
        directory / "steps.jsonl", [{"attempt": a, "epoch": e, "step": s} for a, e, s in steps]
    )
    rows = [
        {"attempt": n, "time": 1e9, "resumed_from_epoch": e, "resumed_from_step": s}
        for n, (e, s) in enumerate(resumed, 1)
    ]
    write_lines(directory / "restarts.jsonl", rows)
    return directory


def test_rows_beyond_a_resumption_are_dropped(tmp_path: Path) -> None:
    record = load_run(
        make_run(
            tmp_path,
            epochs=[(1, 0), (1, 1), (1, 2), (1, 3), (2, 2)],
            steps=[(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2), (1, 3, 1), (2, 2, 2)],
            resumed=[(None, None), (1, 1)],
        )
    )
    assert [(row["attempt"], row["epoch"]) for row in record.epochs] == [(1, 0), (1, 1), (2, 2)]
    found = [(row["attempt"], row["epoch"], row["step"]) for row in record.steps]
    assert found == [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 2, 2)]


def test_start_from_scratch_drops_everything_before(tmp_path: Path) -> None:
    epochs = [(1, 0), (1, 1), (1, 2), (2, 0)]
    record = load_run(make_run(tmp_path, epochs, resumed=[(None, None), (None, None)]))
    assert [(row["attempt"], row["epoch"]) for row in record.epochs] == [(2, 0)]


def test_attempts_that_the_restarts_do_not_know_are_damage(tmp_path: Path) -> None:
    make_run(tmp_path, epochs=[(1, 0), (2, 1), (1, 1)])
    with pytest.raises(DamagedRun, match=r"restarts\.jsonl: lacks attempt 2"):
        load_run(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=6))
def test_any_history_of_kills_reads_as_one_run(
    tmp_path_factory: pytest.TempPathFactory, kills: list[tuple[int, int]]
) -> None:
    """Attempts write rows up to some epoch, having saved up to some earlier one."""
    epochs, resumed, saved = [], [], None
    for attempt, (written, kept) in enumerate([*kills, (12, 12)], 1):
        resumed.append((None, None) if saved is None else (saved, 0))
        start = 0 if saved is None else saved + 1
        epochs += [(attempt, epoch) for epoch in range(start, written + 1)]
        reached = min(written, kept)
        if reached >= start:
            saved = reached
    record = load_run(make_run(tmp_path_factory.mktemp("run"), epochs, resumed=resumed))
    assert [row["epoch"] for row in record.epochs] == list(range(13))
    attempts = [row["attempt"] for row in record.epochs]
    assert attempts == sorted(attempts)


def test_properties_and_defaults(tmp_path: Path) -> None:
    record = load_run(make_run(tmp_path))
    assert (record.method, record.workload, record.seed, record.label) == ("Adam", "w", 4, "Adam")
    assert (record.state, record.final, record.environment) == ("interrupted", None, {})
    assert record.steps == []


def test_losses_of_the_status_are_numbers_again(tmp_path: Path) -> None:
    make_run(tmp_path, epochs=[(1, 0)])
    status = {"state": "done", "epoch": 0, "final": {"val_loss": "inf", "train_loss": "nan"}}
    (tmp_path / "status.json").write_text(json.dumps(status))
    final = load_run(tmp_path).final
    assert final is not None
    assert final["val_loss"] == math.inf
    assert math.isnan(final["train_loss"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("spec.json", None, "not a run directory"),
        ("spec.json", "{}", "incomplete, 'spec' is missing"),
        ("spec.json", "{", "not a JSON object"),
        ("status.json", '{"state": "odd"}', "state 'odd', not running, done"),
    ],
)
def test_bad_directories(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    make_run(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(RecordError, match=message):
        load_run(tmp_path)


def test_runs_are_found_at_every_level(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "records" / "exp" / name) for name in ("b", "a")]
    (tmp_path / "records" / "exp" / "empty").mkdir()
    assert find_runs(tmp_path / "records") == sorted(runs)
    assert find_runs(tmp_path / "records" / "exp") == sorted(runs)
    assert find_runs(runs[0]) == [runs[0]]
    assert find_runs(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/a", "a\n", ".hidden", "a b", "ä"])
def test_names_stay_inside_the_records(name: str) -> None:
    with pytest.raises(RecordError, match="invalid name"):
        check_name(name)
    with pytest.raises(RecordError, match="invalid name"):
        run_directory("records", "experiment", name)


def test_writer_and_reader_agree(tmp_path: Path) -> None:
    for attempt, resumed in ((1, None), (2, (0, 2))):
        writer = RunWriter(tmp_path, epochs=1)
        assert writer.attempt == attempt
        writer.begin(HEADER, {"git_revision": "abc"}, resumed_from=resumed, reason="test")
        assert load_run(tmp_path).state == "running"
        writer.steps(
            {"epoch": 1, "step": step, "loss": math.nan} for step in (2 * attempt - 1, 2 * attempt)
        )
        writer.epoch({"epoch": attempt - 1, "val_loss": math.inf})
        writer.status("done", 1, final={"val_loss": math.inf})
        writer.close()
    record = load_run(tmp_path)
    assert [(row["attempt"], row["epoch"], row["val_loss"]) for row in record.epochs] == [
        (1, 0, math.inf), (2, 1, math.inf),
    ]  # fmt: skip
    assert [row["step"] for row in record.steps] == [1, 2, 3, 4]
    assert [row["git_revision"] for row in record.restarts] == ["abc", "abc"]
    assert (record.state, record.final) == ("done", {"val_loss": math.inf})


def test_condensed_records_read_the_same(tmp_path: Path) -> None:
    source = make_run(tmp_path / "full" / "exp" / "adam-s0-0123456789", [(1, 0)], [(1, 1, 1)])
    (source / "environment.json").write_text(json.dumps({"hostname": "secret", "torch": "2"}))
    (source / "checkpoint.pt").write_bytes(b"x")
    (source / "lock").touch()
    for root in (tmp_path / "full", tmp_path / "small"):
        [target] = condense(root, tmp_path / "small")  # a second time changes nothing
        full, small = load_run(source), load_run(target)
        assert (small.epochs, small.spec, small.steps) == (full.epochs, full.spec, [])
        assert small.environment == {"hostname": "host-c1980264", "torch": "2"}
        assert sorted(path.name for path in target.iterdir()) == [
            "environment.json", "epochs.jsonl", "restarts.jsonl", "spec.json", "status.json",
        ]  # fmt: skip
