"""Thinned copies have fewer rows, and say the same about all that anybody may ask of them."""

import json
import math
import tempfile
from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_UP, Context
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.made_runs import Row, write_run
from napts.analysis import epochs_frame, runs_frame
from napts.records import (
    DamagedRun,
    RunRecord,
    condense,
    load_packed,
    load_run,
    merge,
    pack,
    read_runs,
    unpack,
)
from napts.records.candidate import same_result
from napts.records.columns import adds_up
from napts.records.condense import condense_packed
from napts.records.layout import MERGED
from napts.records.merged_rows import epochs_in, merged
from napts.records.metric import Metric
from napts.records.thinning import LONG, WHOLE, best_of, is_long, spaced, thin
from napts.tracking.payload import epoch_points

ERROR, SCORE = Metric("relative_error", "min"), Metric("r2", "max")
COUNTS = ("batches", "samples", "forwards", "backwards", "rejections", "accepted")


def course(seed: int, metric: Metric = ERROR) -> Any:
    """Errors that fall, unevenly, and now and then are not finite; costs that vary."""
    noise = np.random.default_rng(seed)
    errors = np.exp(-np.cumsum(noise.uniform(-0.01, 0.02, 2000)) + noise.normal(0, 0.05, 2000))
    sign = 1.0 if metric.goal == "min" else -1.0
    work = noise.integers(1, 9, 2000)

    def change(row: Row) -> Row:
        epoch = row["epoch"]
        error: Any = sign * errors[epoch] if epoch % 97 != 13 else "nan"
        row = {**row, metric.column("val"): error}
        if epoch:
            count = int(work[epoch])
            row |= {"backwards": count, "forwards": count + 1, "gradients_published": count / 3}
        return row

    return change


def long_run(root: Path, seed: int = 0, epochs: int = 700, **other: Any) -> Path:
    metric = other.pop("metric", ERROR)
    settings = {"method": "TR", "batches": 1, "metric": metric, "change": course(seed, metric)}
    return write_run(root, seed=seed, epochs=epochs, **(settings | other))


def by_epoch(record: RunRecord) -> dict[int, Row]:
    return {row["epoch"]: row for row in record.epochs}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return load_run(long_run(tmp_path_factory.mktemp("long")))


def test_every_running_total_is_that_of_the_run(record: RunRecord) -> None:
    thinner = thin(record)
    assert len(thinner.epochs) < len(record.epochs) / 3
    for name in (name for name in record.epochs[1] if adds_up(name)):
        totals = np.cumsum([row.get(name) or 0 for row in record.epochs])
        known = {row["epoch"]: total for row, total in zip(record.epochs, totals, strict=True)}
        found = np.cumsum([row.get(name) or 0 for row in thinner.epochs])
        expected = [known[row["epoch"]] for row in thinner.epochs]
        assert found == pytest.approx(expected, rel=1e-12), name
        if name in COUNTS:
            assert found.tolist() == expected, "integers are exact"
    assert sum(map(epochs_in, thinner.epochs)) == len(record.epochs)


def test_what_describes_the_end_of_an_epoch_is_unchanged(record: RunRecord) -> None:
    before = by_epoch(record)
    for row in thin(record).epochs:
        for name, value in row.items():
            if name != MERGED and not adds_up(name):
                assert value == before[row["epoch"]][name] or math.isnan(value), name
    single = [row for row in thin(record).epochs if MERGED not in row]
    assert all(row == before[row["epoch"]] for row in single if row["epoch"] % 97 != 13)
    assert len(single) > WHOLE


def test_the_frames_say_the_same(record: RunRecord) -> None:
    thinner = thin(record)
    full, few = epochs_frame([record]), epochs_frame([thinner])
    full = full[full["epoch"].isin(few["epoch"])].reset_index(drop=True)
    for name in full.filter(regex="_total$|^val_|^train_loss|^elapsed").columns:
        assert few[name].to_numpy() == pytest.approx(full[name].to_numpy(), nan_ok=True), name
    rows = [runs_frame([run]).iloc[0] for run in (record, thinner)]
    for name in rows[0].index:
        assert rows[1][name] == pytest.approx(rows[0][name], nan_ok=True), name


def reached(record: RunRecord, target: float) -> float:
    column = record.primary.column("val")
    there = [r["epoch"] for r in record.epochs if record.primary.reaches(r[column], target)]
    return min(there, default=math.inf)


@lru_cache
def pair(seed: int, metric: Metric) -> tuple[RunRecord, RunRecord]:
    """Return a run and its thinned copy."""
    with tempfile.TemporaryDirectory() as folder:
        record = load_run(long_run(Path(folder), seed, metric=metric))
    return record, thin(record)


@pytest.mark.parametrize("metric", [ERROR, SCORE])
@given(digits=st.integers(10, 99), power=st.integers(-4, 0), seed=st.integers(0, 2))
def test_numbers_of_two_digits_are_reached_when_they_were(
    metric: Metric, digits: int, power: int, seed: int
) -> None:
    record, thinner = pair(seed, metric)
    target = metric.score(-1.0) * float(f"{digits}e{power}")
    assert reached(thinner, target) == reached(record, target)


@pytest.mark.parametrize("metric", [ERROR, SCORE])
@given(share=st.floats(0, 1), seed=st.integers(0, 2))
def test_other_values_are_reached_between_their_neighbours(
    metric: Metric, share: float, seed: int
) -> None:
    record, thinner = pair(seed, metric)
    best = best_of(record)
    assert best is not None
    assert best == best_of(thinner)
    assert reached(record, best) == reached(thinner, best)
    target = best * math.exp(share)
    # The smaller one is the better one, of errors as of their negatives.
    better, worse = (
        math.copysign(float(Context(2, way).create_decimal(repr(abs(target)))), target)
        for way in (ROUND_DOWN, ROUND_UP)
    )
    assert reached(record, worse) <= reached(thinner, target) <= reached(record, better)
    assert reached(record, target) <= reached(thinner, target)
    asked = thin(record, [target])
    assert reached(asked, target) == reached(record, target)


def test_all_thinned_runs_share_some_epochs(tmp_path: Path) -> None:
    runs = [load_run(long_run(tmp_path, seed, epochs=400 + 100 * seed)) for seed in range(3)]
    for run in runs:
        last = run.epochs[-1]["epoch"]
        assert spaced(last) <= set(by_epoch(thin(run)))
        assert spaced(last) == {epoch for epoch in spaced(10**6) if epoch <= last}
    assert set(range(WHOLE + 1)) <= spaced(10**6)


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": LONG},
        {"batches": 2},
        {"state": "interrupted", "epochs_done": 500},
        {"change": lambda row: {**row, "something_new": 1.0}},
    ],
)
def test_other_runs_keep_all_their_rows(tmp_path: Path, other: dict[str, Any]) -> None:
    record = load_run(long_run(tmp_path, **other))
    assert not is_long(record)
    assert thin(record) is record
    (copy,) = condense(tmp_path, tmp_path / "copy", thinned=True)
    (source,) = (tmp_path / "demo").iterdir()
    assert (copy / "epochs.jsonl").read_bytes() == (source / "epochs.jsonl").read_bytes()
    assert (copy / "spec.json").read_bytes() == (source / "spec.json").read_bytes()


def test_copies_are_thinned_only_if_asked(tmp_path: Path) -> None:
    long_run(tmp_path / "a")
    (whole,) = condense(tmp_path / "a", tmp_path / "b")
    assert len(load_run(whole).epochs) == 701


def test_thinned_copies_are_packed_and_unpacked(tmp_path: Path) -> None:
    paths = [long_run(tmp_path / "a", seed) for seed in range(2)]
    (file,) = condense_packed(tmp_path / "a", tmp_path / "b", thinned=True)
    unpacked = unpack(file, tmp_path / "c")
    assert pack(unpacked, tmp_path / "again.runs.jsonl.gz").read_bytes() == file.read_bytes()
    (once_more,) = condense_packed(tmp_path / "c", tmp_path / "d", thinned=True)
    assert once_more.read_bytes() == file.read_bytes(), "a thinned copy stays as it is"
    for path, run in zip(sorted(paths), load_packed(file), strict=True):
        assert run.thinned is not None
        assert run.final == load_run(path).final
    header = json.loads((unpacked[0] / "spec.json").read_text())
    assert header["schema"] == 2, "refused by programs that do not know it"
    assert header["run_key"] == paths[0].name or header["run_key"] == paths[1].name


def test_the_best_of_others_with_the_same_seed_is_reached_when_it_was(tmp_path: Path) -> None:
    for method in ("TR", "Adam"):
        for seed in range(2):
            change = course(seed + (10 if method == "Adam" else 0))
            long_run(tmp_path / "a", seed, method=method, change=change)
    full = {(run.method, run.seed): run for run in read_runs(tmp_path / "a")[0]}
    condense_packed(tmp_path / "a", tmp_path / "b", thinned=True)
    few = {(run.method, run.seed): run for run in read_runs(tmp_path / "b")[0]}
    # Packed one after the other, the second knows the best values of the first.
    long_run(tmp_path / "first", 0, method="TR", change=course(0))
    long_run(tmp_path / "second", 0, method="Adam", change=course(10))
    for part in ("first", "second"):
        condense_packed(tmp_path / part, tmp_path / "parts", thinned=True)
    parts = {run.method: run for run in read_runs(tmp_path / "parts")[0]}
    for (method, seed), run in full.items():
        for other in ("TR", "Adam"):
            best = best_of(full[other, seed])
            assert best is not None
            assert reached(few[method, seed], best) == reached(run, best)
    best = best_of(full["TR", 0])
    assert best is not None
    assert reached(parts["Adam"], best) == reached(full["Adam", 0], best)


def test_a_thinned_copy_is_the_same_result(tmp_path: Path) -> None:
    path = long_run(tmp_path / "full")
    full = load_run(path)
    assert same_result(full, thin(full))
    assert same_result(thin(full, [0.3, 0.123]), thin(full))
    other = thin(full)
    rows = enumerate(other.epochs)
    changed = [{**row, "backwards": row["backwards"] + (i == 60)} for i, row in rows]
    assert not same_result(full, replace(other, epochs=changed))
    condense_packed(tmp_path / "full", tmp_path / "full", thinned=True)
    runs, damages = read_runs(tmp_path / "full")
    assert ([len(run.epochs) for run in runs], damages) == ([701], [])


def test_collecting_prefers_all_rows(tmp_path: Path) -> None:
    path = long_run(tmp_path / "full")
    condense(tmp_path / "full", tmp_path / "few", thinned=True)
    condense(tmp_path / "full", tmp_path / "here", thinned=True)
    assert merge([tmp_path / "full"], tmp_path / "here").counts()["advanced"] == 1
    assert len(load_run(tmp_path / "here" / "demo" / path.name).epochs) == 701
    report = merge([tmp_path / "few"], tmp_path / "here")
    assert report.clean
    assert report.counts()["unchanged"] == 1


def test_a_row_that_is_missing_is_still_noticed(tmp_path: Path) -> None:
    long_run(tmp_path / "a")
    (copy,) = condense(tmp_path / "a", tmp_path / "b", thinned=True)
    lines = (copy / "epochs.jsonl").read_text().splitlines(keepends=True)
    for kept, what in (
        ([*lines[:60], *lines[61:]], r"lacks epochs? \d+"),
        ([*lines[:60], lines[60].replace(MERGED, "unknown"), *lines[61:]], "lacks epoch"),
        (lines[:-1], "has 6.. epochs, where|lacks epoch"),
    ):
        (copy / "epochs.jsonl").write_text("".join(kept))
        with pytest.raises(DamagedRun, match=what):
            load_run(copy)
    (copy / "epochs.jsonl").write_text("".join(lines))
    twice = lines[-1].replace(f'"{MERGED}":', f'"{MERGED}":1')
    (copy / "epochs.jsonl").write_text("".join([*lines[:-1], twice]))
    with pytest.raises(DamagedRun, match="twice"):
        load_run(copy)
    (copy / "epochs.jsonl").write_text("".join(lines))
    header = json.loads((copy / "spec.json").read_text())
    del header["thinned"]
    (copy / "spec.json").write_text(json.dumps(header))
    with pytest.raises(DamagedRun, match="lacks epoch"):
        load_run(copy)
    (copy / "spec.json").write_text(json.dumps({**header, "thinned": {"train_seconds": "long"}}))
    with pytest.raises(DamagedRun, match=r"thinned\.train_seconds: found 'long'"):
        load_run(copy)


def test_trackers_get_means_over_the_epochs_of_a_row(record: RunRecord) -> None:
    rows = [{"epoch": e, "time": 0.0, "batches": 1, "train_seconds": 1.0 + e} for e in range(1, 4)]
    (row,) = merged(rows, {3})
    assert row == {**rows[-1], "batches": 3, "train_seconds": 9.0, MERGED: 3}
    found = {point.key: (point.value, point.step) for point in epoch_points(row)}
    assert found["train_seconds"] == (3.0, 3)
    assert MERGED not in found
