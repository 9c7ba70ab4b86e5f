"""Packed runs are the same runs."""

from pathlib import Path

import pytest

from benchmarks.made_runs import write_comparison, write_run
from napts.analysis import load_collection
from napts.records import RecordError, find_packed, find_runs, load_packed, load_run, pack, unpack
from napts.records.condense import condense_packed


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    write_comparison(tmp_path / "a", seeds=2)
    write_run(tmp_path / "a", seed=7, state="diverged", epochs_done=3)
    paths = find_runs(tmp_path / "a")
    file = pack(paths, tmp_path / "b" / "demo.runs.jsonl.gz")
    found = {run.run_key: run for run in load_packed(file)}
    assert len(found) == len(paths)
    for path in paths:
        run = load_run(path)
        other = found[run.run_key]
        assert (other.spec, other.epochs, other.status) == (run.spec, run.epochs, run.status)
        assert other.steps == []
    assert load_collection(tmp_path / "b").sections[0].digest == (
        load_collection(tmp_path / "a").sections[0].digest
    )
    assert find_packed(file) == [file]


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    write_comparison(tmp_path / "a", seeds=1)
    paths = find_runs(tmp_path / "a")
    first = pack(paths, tmp_path / "1.runs.jsonl.gz").read_bytes()
    second = pack(paths[::-1], tmp_path / "2.runs.jsonl.gz").read_bytes()
    assert first == second


def test_losses_that_are_not_finite_survive(tmp_path: Path) -> None:
    write_run(tmp_path, seed=1, change=lambda row: {**row, "train_loss": "inf"})
    file = pack(find_runs(tmp_path), tmp_path / "x.runs.jsonl.gz")
    assert load_packed(file)[0].epochs[-1]["train_loss"] == float("inf")


def test_packing_loses_no_run_that_was_packed_before(tmp_path: Path) -> None:
    old, new, target = (tmp_path / name for name in ("old", "new", "packed"))
    for seed in (0, 1):
        write_run(old, seed=seed, epochs=4)
    (file,) = condense_packed(old, target)
    write_run(new, seed=1, epochs=4, epochs_done=2, state="interrupted")
    write_run(new, seed=2, epochs=4)
    assert condense_packed(new, target) == [file]
    assert {run.seed: run.state for run in load_packed(file)} == dict.fromkeys((0, 1, 2), "done")
    write_run(new, seed=0, epochs=4, change=lambda row: {**row, "train_loss": 0.125})
    condense_packed(new, target)
    losses = {run.seed: run.epochs[-1]["train_loss"] for run in load_packed(file)}
    assert losses[0] == 0.125, "done again: the newer one"


def test_unpacked_runs_are_the_same_runs_and_replace_none(tmp_path: Path) -> None:
    write_comparison(tmp_path / "a", seeds=2)
    paths = find_runs(tmp_path / "a")
    file = pack(paths, tmp_path / "demo.runs.jsonl.gz")
    written = unpack(file, tmp_path / "b")
    assert sorted(path.name for path in written) == sorted(path.name for path in paths)
    assert pack(written, tmp_path / "again.runs.jsonl.gz").read_bytes() == file.read_bytes()
    assert unpack(file, tmp_path / "b") == []


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_damage_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.runs.jsonl.gz"
    file.write_bytes(content)
    with pytest.raises(RecordError, match=r"x\.runs\.jsonl\.gz: damaged"):
        load_packed(file)
