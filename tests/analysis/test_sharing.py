"""Runs that shared a GPU are known, and their seconds are taken for no times."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.made_runs import FIRST_START, write_run
from napts.analysis import comparison_tables, load_collection
from napts.analysis.sharing import SHARED_DEVICE, shared_a_device
from napts.papers.claims import judge
from napts.papers.claims.verdict import Verdict
from napts.plotting.provenance import provenance_of

GPU = {"gpu": "Example GPU", "hostname": "node1"}


def run_at(root: Path, start: float, environment: Mapping[str, str], **what) -> Path:
    """Write a run of ten epochs, of ten seconds each, that begins at a time."""
    path = write_run(
        root,
        restarts=[{**FIRST_START, "time": start}],
        change=lambda row: {**row, "time": start + 10.0 * row["epoch"]},
        **what,
    )
    file = path / "environment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **environment}))
    return path


def shared(root: Path) -> dict[int, bool]:
    (section,) = load_collection(root).sections
    found = zip(section.records, shared_a_device(section.records), strict=True)
    return {run.seed: beside for run, beside in found}


def test_one_after_the_other_and_at_the_same_time(tmp_path: Path) -> None:
    for seed, start in enumerate((0.0, 50.0, 149.0, 249.5)):
        run_at(tmp_path, start, GPU, seed=seed)
    # The second run ends at 150, a second after the third has begun; the fourth begins later.
    assert shared(tmp_path) == {0: True, 1: True, 2: True, 3: False}


def test_another_gpu_is_not_shared(tmp_path: Path) -> None:
    run_at(tmp_path, 0.0, {**GPU, "gpu_id": "aa"}, seed=0)
    run_at(tmp_path, 0.0, {**GPU, "gpu_id": "bb"}, seed=1)
    run_at(tmp_path, 0.0, {**GPU, "hostname": "node2"}, seed=2)
    run_at(tmp_path, 0.0, {}, seed=3)
    run_at(tmp_path, 0.0, {}, seed=4)
    assert not any(shared(tmp_path).values())


def test_a_pause_between_attempts_is_no_time_on_the_gpu(tmp_path: Path) -> None:
    again = {"attempt": 2, "time": 500.0, "resumed_from_epoch": 5, "resumed_from_step": 0}
    restarts = [{**FIRST_START, "time": 0.0}, {**FIRST_START, **again}]

    def paused(row):
        late = row["epoch"] > 5
        time = (500.0 if late else 0.0) + 10.0 * row["epoch"]
        return {**row, "attempt": 2 if late else 1, "time": time}

    path = write_run(tmp_path, seed=0, restarts=restarts, change=paused)
    (path / "environment.json").write_text(json.dumps(GPU))
    run_at(tmp_path, 100.0, GPU, seed=1)
    assert not any(shared(tmp_path).values())
    run_at(tmp_path, 520.0, GPU, seed=2)
    assert shared(tmp_path) == {0: True, 1: False, 2: True}


@pytest.mark.parametrize("apart", [True, False])
def test_claims_about_times_are_not_judged_by_them(tmp_path: Path, apart: bool) -> None:
    starts = iter(range(0, 100_000, 1000 if apart else 1))
    for method in ("TR", "NTR", "APTS", "APTSA", "NAPTS", "Adam", "SGD"):
        for seed in range(3):
            run_at(tmp_path, next(starts) + 1e9, GPU, method=method, seed=seed)
    collection = load_collection(tmp_path)
    (section,) = collection.sections
    assert (SHARED_DEVICE in section.runs) is not apart
    judged = {j.claim.name: j for j in judge(collection) if j.section}
    times = {f.what: f for f in judged["N11"].findings + judged["N13"].findings}
    assert all((f.verdict is Verdict.NOT_TESTED) is not apart for f in times.values())
    assert judged["N3"].verdict is not Verdict.NOT_TESTED
    note = "21 of 21 runs shared a GPU"
    assert any(note in text for text in comparison_tables(section.runs)[0].notes) is not apart
    assert any(note in line for line in provenance_of(section, "").lines()) is not apart
