"""Runs that lost rows, or hold what no run writes: each is named and left out, and no other one."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.made_runs import write_run
from napts.analysis import comparison_tables, load_collection
from napts.records import (
    Damage,
    DamagedRun,
    NewerSchema,
    RecordError,
    find_runs,
    load_packed,
    load_run,
    pack,
    packed,
    read_runs,
    unpack,
)
from napts.text import LINE

Change = Callable[[Path], None]
DEEP = "[" * 100_000 + "]" * 100_000


def left_out(root: Path) -> str:
    """Return what is said of the one run that is left out; the other one is there."""
    runs, (damage,) = read_runs(root)
    assert [run.seed for run in runs] == [1]
    line = str(damage)
    assert len(line) <= LINE
    assert line.isprintable()
    return damage.what


def two_runs(root: Path, **options: Any) -> Path:
    write_run(root, seed=1, epochs=4)
    return write_run(root, seed=0, epochs=4, **options)


def steps(run: Path, *, epochs: int = 4, batches: int = 50) -> list[dict[str, Any]]:
    """Write the rows of all steps, and that they are to be there."""
    rows = [
        {"attempt": 1, "epoch": epoch, "step": step}
        for epoch in range(1, epochs + 1)
        for step in range(1, batches + 1)
    ]
    write_rows(run / "steps.jsonl", rows)
    amend(run / "restarts.jsonl", record_steps=True)
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def amend(path: Path, line: int = 0, **values: Any) -> None:
    """Change values of a row, or of a file that holds one object."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    lines[line] = json.dumps({**json.loads(lines[line]), **values})
    path.write_text("".join(f"{each}\n" for each in lines))


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def without_line(path: Path, number: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:number] + lines[number + 1 :]))


# --- rows that are missing -----------------------------------------------------------------------

LOSSES: list[tuple[Change, str]] = [
    (lambda run: cut(run / "epochs.jsonl", 900), "epochs.jsonl: lacks epochs 1 to 4"),
    (lambda run: cut(run / "epochs.jsonl", 0), "epochs.jsonl: lacks epochs 0 to 4"),
    (lambda run: (run / "epochs.jsonl").unlink(), "epochs.jsonl: lacks epochs 0 to 4"),
    (lambda run: without_line(run / "epochs.jsonl", 2), "epochs.jsonl: lacks epoch 2"),
    (lambda run: without_line(run / "epochs.jsonl", 4), "epochs.jsonl: lacks epoch 4"),
    (lambda run: amend(run / "status.json", epoch=3), "epochs.jsonl: has 4 epochs, where"),
    (lambda run: amend(run / "status.json", epoch=None), "status.json: lacks epoch of a run"),
    (lambda run: amend(run / "status.json", final=None), "status.json: lacks final of a run"),
    (lambda run: (run / "spec.json").unlink(), "spec.json: is missing"),
]


@pytest.mark.parametrize(("change", "what"), LOSSES)
def test_rows_that_are_missing_are_noticed(tmp_path: Path, change: Change, what: str) -> None:
    run = two_runs(tmp_path)
    assert len(read_runs(tmp_path)[0]) == 2
    change(run)
    assert left_out(tmp_path).startswith(what)


def test_a_run_that_is_done_has_the_epochs_of_its_budget(tmp_path: Path) -> None:
    run = two_runs(tmp_path)
    without_line(run / "epochs.jsonl", 4)
    amend(run / "status.json", epoch=3)
    assert left_out(tmp_path) == "status.json: is done after 3 epochs, where the budget has 4"
    amend(run / "status.json", ended_by="target")
    assert read_runs(tmp_path)[1] == []


@pytest.mark.parametrize("state", ["running", "interrupted", "failed", "diverged"])
def test_rows_of_runs_that_are_not_done_may_go_beyond_the_status(
    tmp_path: Path, state: str
) -> None:
    run = two_runs(tmp_path, state=state, epochs_done=3)
    amend(run / "status.json", epoch=2)  # a kill came between the row and the status
    assert read_runs(tmp_path)[1] == []
    cut(run / "epochs.jsonl", 900)
    assert left_out(tmp_path).startswith("epochs.jsonl: lacks epochs 1 to 2")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda path: cut(path, 900), "steps.jsonl: has 23 rows, the epochs had 200 steps"),
        (lambda path: cut(path, 0), "steps.jsonl: has 0 rows, the epochs had 200 steps"),
        (lambda path: path.unlink(), "steps.jsonl: is missing, the epochs had 200 steps"),
        (lambda path: without_line(path, 120), "steps.jsonl: has 199 rows"),
    ],
)
def test_steps_that_are_missing_are_noticed(tmp_path: Path, change: Change, what: str) -> None:
    run = two_runs(tmp_path)
    steps(run)
    assert read_runs(tmp_path)[1] == []
    change(run / "steps.jsonl")
    assert left_out(tmp_path).startswith(what)


def test_whoever_reads_the_steps_is_told_of_one_that_stands_for_another(tmp_path: Path) -> None:
    run = two_runs(tmp_path)
    rows = steps(run)
    rows[199] = {**rows[199], "step": rows[195]["step"]}
    write_rows(run / "steps.jsonl", rows)
    record = load_run(run)
    with pytest.raises(DamagedRun, match="has 49 of the 50 steps of epoch 4"):
        _ = record.steps


def test_void_steps_do_not_hide_that_others_are_missing(tmp_path: Path) -> None:
    run = two_runs(tmp_path)
    rows = steps(run)
    second = {"attempt": 2, "time": 2e9, "resumed_from_epoch": 3, "resumed_from_step": 0}
    with (run / "restarts.jsonl").open("a") as file:
        file.write(json.dumps({**second, "record_steps": True}) + "\n")
    again = [{**row, "attempt": 2} for row in rows[150:]]
    write_rows(run / "steps.jsonl", rows + again)
    amend(run / "epochs.jsonl", 4, attempt=2)
    amend(run / "status.json", attempt=2)
    assert read_runs(tmp_path)[1] == []
    write_rows(run / "steps.jsonl", rows[:20] + rows[21:] + again)
    assert left_out(tmp_path) == "steps.jsonl: has 49 of the 50 steps of epoch 1"


def test_steps_that_nobody_recorded_are_not_missed(tmp_path: Path) -> None:
    run = two_runs(tmp_path)
    amend(run / "restarts.jsonl", record_steps=False)
    assert read_runs(tmp_path)[1] == []


def test_a_status_before_the_last_attempt_tells_nothing(tmp_path: Path) -> None:
    """A run that was done is started anew, and killed before it says so."""
    run = write_run(tmp_path, epochs=2)
    row = {"attempt": 2, "time": 2e9, "resumed_from_epoch": None, "resumed_from_step": None}
    with (run / "restarts.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    record = load_run(run)
    assert (record.state, record.final, record.epochs) == ("interrupted", None, [])


# --- shapes that no run writes -------------------------------------------------------------------

SHAPES: list[tuple[str, str | bytes, str]] = [
    ("status.json", "{}", "status.json: lacks state"),
    ("status.json", "[]", "status.json: not a JSON object"),
    ("status.json", "", "status.json: not a JSON object"),
    ("status.json", DEEP, "status.json: not a JSON object"),
    ("status.json", f'{{"state": "done", "x": {DEEP}}}', "status.json: not a JSON object"),
    ("status.json", b'{"state": "\xff"}', "status.json: not a JSON object"),
    ("status.json", '{"state": "done", "epoch": "x"}', "status.json: epoch: found 'x', allowed"),
    ("status.json", '{"state": "done", "epoch": true}', "status.json: epoch: found True"),
    ("status.json", '{"state": "done", "epoch": -1}', "status.json: epoch: found -1"),
    ("status.json", '{"state": "done", "updated": NaN}', "status.json: not a JSON object"),
    ("status.json", '{"state": "done", "updated": 1e999}', "status.json: updated: found inf"),
    ("status.json", f'{{"state": "done", "epoch": {10**400}}}', "status.json: epoch: found an in"),
    ("status.json", '{"state": {"a": 1}}', "status.json: state: found {'a': 1}, allowed: text"),
    ("status.json", '{"state": "sleeping"}', "status.json: state 'sleeping', not running"),
    ("status.json", '{"state": "done", "final": [1]}', "status.json: final: found [1]"),
    ("status.json", '{"state": "done", "final": {"val_loss": "x"}}', "status.json: final.val_loss"),
    ("status.json", '{"state": "done", "target": {"epoch": 1.5}}', "status.json: target.epoch"),
    ("status.json", '{"state": "done", "target": {"xxxx": 1}}', "status.json: target lacks metric"),
    ("status.json", '{"state": "\\ud800"}', "status.json: not a JSON object"),
    ("spec.json", "{}", "spec.json: incomplete, 'spec' is missing"),
    ("environment.json", '{"hostname": 7}', "environment.json: hostname: found 7, allowed: text"),
    ("restarts.jsonl", "{}\n", "restarts.jsonl: line 1: lacks attempt"),
    ("restarts.jsonl", '{"attempt": null, "time": 1}\n', "restarts.jsonl: line 1: lacks attempt"),
    ("restarts.jsonl", "[]\n{}\n", "restarts.jsonl: line 1 is not a JSON object"),
    ("restarts.jsonl", '{"attempt": 1, "time": 1}\n' * 2, "restarts.jsonl: its attempts do not"),
    ("epochs.jsonl", "{}\n", "epochs.jsonl: line 1: lacks attempt"),
    ("epochs.jsonl", '{"attempt": 1, "time": 1}\n', "epochs.jsonl: line 1: lacks epoch"),
    ("epochs.jsonl", '\n{"attempt": [], "epoch": 1}\n', "epochs.jsonl: line 2: attempt: found []"),
    ("epochs.jsonl", "torn but a line\n", "epochs.jsonl: line 1 is not a JSON object"),
    ("epochs.jsonl", f'{{"a": "{"x" * (1 << 20)}"}}', "epochs.jsonl: line 1 is longer than"),
]


@pytest.mark.parametrize(("name", "content", "what"), SHAPES)
def test_other_shapes_are_named(tmp_path: Path, name: str, content: str | bytes, what: str) -> None:
    run = two_runs(tmp_path)
    (run / name).write_bytes(content.encode() if isinstance(content, str) else content)
    assert left_out(tmp_path).startswith(what)


@pytest.mark.parametrize(
    ("place", "value", "what"),
    [
        (("label",), 5, "label: found 5, allowed: text"),
        (("run_key",), None, "incomplete, run_key is missing"),
        (("primary",), {"name": "x", "goal": "up"}, "primary: found "),
        (("primary",), 7, "primary: found 7, allowed: a table with a name"),
        (("primary",), [{"name": "x"}], "primary: found [{'name': 'x'}], allowed: a table with a"),
        (("primary",), {"name": 9, "goal": "max"}, "primary: found {'goal': 'max', 'name': 9}, al"),
        (("kind",), ["tuning"], "kind: found ['tuning'], allowed: comparison"),
        (("spec",), [], "spec: found [], allowed: a table"),
        (("spec", "seed"), "0", "spec.seed: found '0', allowed: integers"),
        (("spec", "seed"), 2**64, "spec.seed: found 18446744073709551616, allowed: integers"),
        (("spec", "optimizer"), {"method": 5}, "spec.optimizer.method: found 5"),
        (("spec", "optimizer", "local_fraction"), "half", "spec.optimizer.local_fraction: found"),
        (("spec", "workload"), None, "incomplete, spec.workload is missing"),
        (("spec", "budget", "target"), {"metric": "val_loss"}, "incomplete, spec.budget.target."),
        (("schema",), "one", "schema: found 'one', allowed: 1 to 2"),
    ],
)
def test_other_shapes_of_the_spec_are_named(
    tmp_path: Path, place: tuple[str, ...], value: Any, what: str
) -> None:
    run = two_runs(tmp_path)
    header = json.loads((run / "spec.json").read_text())
    table = header
    for name in place[:-1]:
        table = table[name]
    table[place[-1]] = value
    (run / "spec.json").write_text(json.dumps(header))
    assert left_out(tmp_path).startswith(f"spec.json: {what}")


@pytest.mark.parametrize("name", ["spec.json", "status.json", "environment.json", "epochs.jsonl"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    run = two_runs(tmp_path)
    (run / name).unlink()
    if kind == "folder":
        (run / name).mkdir()
    elif kind == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to("/dev/zero" if kind == "device" else run / name)
    reason = "Too many levels of symbolic links" if kind == "loop" else "not a plain file"
    found = left_out(tmp_path)
    # A link that leads nowhere is not found as the file by which a run is found.
    assert found == f"{name}: cannot be read, {reason}" or found == "spec.json: is missing"


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    run = two_runs(tmp_path)
    os.truncate(run / "status.json", 1 << 40)
    os.truncate(run / "epochs.jsonl", 1 << 40)
    assert left_out(tmp_path).startswith("status.json: found 1,099,511,627,776 bytes, allowed")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), value=ANY)
def test_whatever_stands_in_a_row_the_tables_are_made(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: Any
) -> None:
    root = tmp_path_factory.mktemp("records")
    run = two_runs(root)
    name = data.draw(st.sampled_from(["epochs.jsonl", "restarts.jsonl", "status.json"]))
    lines = (run / name).read_text().splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    row = json.loads(lines[number])
    row[data.draw(st.sampled_from(sorted(row)))] = value
    lines[number] = json.dumps(row)
    (run / name).write_text("\n".join(lines) + "\n")
    collection = load_collection(root)
    (section,) = collection.sections
    assert len(section.records) + len(collection.damages) == 2
    for table in comparison_tables(section.runs):
        table.to_text()


# --- later versions ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spec.json", "status.json", "environment.json", "restarts.jsonl"])
def test_a_later_schema_is_refused(tmp_path: Path, name: str) -> None:
    run = two_runs(tmp_path)
    amend(run / name, schema=3)
    with pytest.raises(NewerSchema, match=f"{name}: found schema 3, allowed: up to 2; it was"):
        load_run(run)
    assert left_out(tmp_path).startswith(f"{name}: found schema 3")


def test_a_later_schema_of_a_packed_run_is_refused(tmp_path: Path) -> None:
    file = packed_runs(tmp_path, lambda row: {**row, "schema": 3})
    with pytest.raises(NewerSchema, match="found schema 3"):
        load_packed(file)
    with pytest.raises(NewerSchema, match="found schema 3"):
        unpack(file, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


# --- packed runs ---------------------------------------------------------------------------------


def packed_runs(root: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Pack two runs, of which the one with seed 0 is changed."""
    two_runs(root / "runs")
    file = pack(find_runs(root / "runs"), root / "packed" / "demo.runs.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    rows = [change(row) if row["spec"]["seed"] == 0 else row for row in rows]
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()))
    return file


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda row: None, "not a JSON object"),
        (lambda row: DEEP, "not a JSON object"),
        (lambda row: {**row, "epochs": None}, "epochs: found None, allowed: a list of tables"),
        (lambda row: {**row, "epochs": [[]]}, "epochs: found [[]], allowed: a list of tables"),
        (lambda row: {**row, "epochs": row["epochs"][:2]}, "demo/napts-s0-"),
        (lambda row: {**row, "status": []}, "status: found [], allowed: a table"),
        (lambda row: {**row, "status": {}}, "status: lacks state"),
        (lambda row: {**row, "environment": 3}, "environment: found 3, allowed: a table"),
        (lambda row: {**row, "spec": None}, "incomplete, spec is missing"),
        (lambda row: {**row, "label": {}}, "label: found {}, allowed: text"),
    ],
)
def test_a_bad_run_among_packed_ones_is_left_out(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], what: str
) -> None:
    file = packed_runs(tmp_path, change)
    number = 1 if pack_order(tmp_path)[0] == 0 else 2
    assert left_out(file.parent).startswith(f"damaged, line {number}: {what}")
    with pytest.raises(DamagedRun, match=f"line {number}"):
        load_packed(file)
    with pytest.raises(DamagedRun, match=f"line {number}"):
        unpack(file, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


def pack_order(root: Path) -> list[int]:
    return [load_run(path).seed for path in find_runs(root / "runs")]


@pytest.mark.parametrize("limit", ["PACKED_BYTES", "RUN_BYTES"])
def test_what_unpacks_to_too_much_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    file = packed_runs(tmp_path, lambda row: row)
    monkeypatch.setattr(packed, limit, 1000)
    runs, (damage,) = read_runs(file.parent)
    assert runs == []
    assert damage.run == file
    assert damage.what.endswith("unpacks to more than 1,000 bytes")


@pytest.mark.parametrize("size", [0, 10, -10])
def test_a_packed_file_that_is_cut_has_no_good_run(tmp_path: Path, size: int) -> None:
    file = packed_runs(tmp_path, lambda row: row)
    os.truncate(file, size if size >= 0 else file.stat().st_size + size)
    runs, (damage,) = read_runs(file.parent)
    assert runs == []
    assert damage.what.startswith("damaged, ")


# --- many runs -----------------------------------------------------------------------------------


def test_copies_of_a_run_count_once(tmp_path: Path) -> None:
    run = two_runs(tmp_path)
    pack(find_runs(tmp_path), tmp_path / "demo.runs.jsonl.gz")
    shutil.copytree(run, run.with_name("copy"))
    runs, damages = read_runs(tmp_path)
    assert (len(runs), damages) == (2, [])
    amend(run.with_name("copy") / "epochs.jsonl", 2, val_loss=0.125)
    runs, damages = read_runs(tmp_path)
    assert len(runs) == 2
    assert {damage.what.partition(" as ")[0] for damage in damages} == {
        "another result of the same run"
    }


def test_without_any_good_run_the_first_damage_is_the_error(tmp_path: Path) -> None:
    for seed in (0, 1):
        (write_run(tmp_path, seed=seed) / "status.json").write_text("{}")
    with pytest.raises(RecordError, match=r"no run that can be read among 2: .*lacks state"):
        load_collection(tmp_path)
    with pytest.raises(RecordError, match="no run directories here"):
        load_collection(tmp_path / "nowhere")


def test_what_is_said_of_a_run_is_one_line(tmp_path: Path) -> None:
    line = str(Damage(Path("x" * 300), "what\nis\x1b[31m wrong"))
    assert (len(f"napts: damaged: {line}"), line.isprintable()) == (LINE, True)
