"""Merging records folders: what is kept, what is reported, and what a kill may leave behind."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.made_runs import write_run
from napts.records import MergeBusy, RecordError, RunLock, find_runs, load_run, merge, read_status
from napts.records.run_lock import is_locked

EPOCHS = 4
Contents = dict[str, bytes]


def tree(root: Path) -> Contents:
    """Return all that a reader of the records sees."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for run in find_runs(root)
        for file in sorted(run.rglob("*"))
        if file.name != "lock"
    }


def write(root: Path, seed: int = 0, done: int = EPOCHS, **options: Any) -> Path:
    state = options.pop("state", "done" if done == EPOCHS else "interrupted")
    run = write_run(root, seed=seed, epochs=EPOCHS, epochs_done=done, state=state, **options)
    if state in ("interrupted", "running"):
        (run / "checkpoint.pt").write_bytes(f"epoch {done}".encode())
    return run


def amend(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def the_run(root: Path) -> Path:
    (run,) = find_runs(root)
    return run


def other_loss(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"val_loss": row["val_loss"] + 0.125}


def other_times(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"time": row["time"] + 9, "train_seconds": 7.5, "peak_memory_mb": 1.0}


# --- what is kept --------------------------------------------------------------------------------


def test_a_missing_run_is_copied_whole(tmp_path):
    run = write(tmp_path / "a", done=2)
    (run / "checkpoint.previous.pt").write_bytes(b"epoch 1")
    (run / "lock").write_text("process 1 on node1")
    (run / "status.json.tmp").write_text("torn")
    (tmp_path / "a" / ".launch" / "demo").mkdir(parents=True)
    (tmp_path / "a" / ".launch" / "demo" / "spec.json").write_text("{}")
    os.utime(run / "status.json", (1e9, 1e9))
    report = merge([tmp_path / "a"], tmp_path / "t")
    copy = the_run(tmp_path / "t")
    assert copy == tmp_path / "t" / "demo" / run.name
    assert report.counts() == dict.fromkeys(report.counts(), 0) | {"copied": 1}
    left_out = {"lock", "status.json.tmp"}
    expected = {f.name: f.read_bytes() for f in run.iterdir() if f.name not in left_out}
    assert {f.name: f.read_bytes() for f in copy.iterdir()} == expected
    assert (copy / "status.json").stat().st_mtime == 1e9
    assert not (tmp_path / "t" / ".launch").exists()


@pytest.mark.parametrize("pick", ["a", "a/demo", "run"])
def test_a_source_is_a_folder_an_experiment_or_a_run(tmp_path, pick):
    run = write(tmp_path / "a")
    source = run if pick == "run" else tmp_path / pick
    merge([source], tmp_path / "t")
    assert tree(tmp_path / "t") == tree(tmp_path / "a")


ORDERED: list[dict[str, Any]] = [
    {"done": 1},
    {"done": 3},
    {"done": 2, "state": "failed"},
    {"done": 3, "state": "failed"},
    {"done": 2, "state": "diverged"},
    {"done": EPOCHS},
]


@pytest.mark.parametrize(("less", "more"), list(itertools.pairwise(ORDERED)))
def test_the_one_that_is_further_is_kept(tmp_path, less, more):
    write(tmp_path / "less", **less)
    write(tmp_path / "more", **more)
    for order in (("less", "more"), ("more", "less")):
        target = tmp_path / "-".join(order)
        for name in order:
            report = merge([tmp_path / name], target)
        assert tree(target) == tree(tmp_path / "more")
        assert report.counts()["advanced"] == (order[1] == "more")
        assert report.clean


def test_an_advance_says_what_took_the_place_of_what(tmp_path):
    write(tmp_path / "t", done=1)
    source = write(tmp_path / "a")
    (item,) = merge([tmp_path / "a"], tmp_path / "t").of("advanced")
    assert item.detail == f"interrupted after 1 epoch -> done after 4 epochs, from {source}"
    assert not (item.path / "checkpoint.pt").exists()


def test_of_equally_far_copies_the_later_one_is_kept(tmp_path):
    late = write(tmp_path / "late", done=2)
    amend(late / "status.json", updated=1.8e9)
    write(tmp_path / "early", done=2)
    merge([tmp_path / "early"], tmp_path / "t")
    assert merge([tmp_path / "late"], tmp_path / "t").counts()["advanced"] == 1
    assert merge([tmp_path / "early"], tmp_path / "t").counts()["unchanged"] == 1
    assert tree(tmp_path / "t") == tree(tmp_path / "late")


def test_steps_within_an_epoch_count(tmp_path):
    for name, steps in (("few", 2), ("many", 3)):
        run = write(tmp_path / name, done=1)
        rows = [{"attempt": 1, "epoch": 2, "step": step + 1} for step in range(steps)]
        (run / "steps.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    amend(the_run(tmp_path / "few") / "status.json", updated=1.8e9)
    merge([tmp_path / "few", tmp_path / "many"], tmp_path / "t")
    assert tree(tmp_path / "t") == tree(tmp_path / "many")


def test_only_the_runs_asked_for(tmp_path):
    wanted, other = write(tmp_path / "a", seed=0), write(tmp_path / "a", seed=1)
    (other / "spec.json").write_text("torn")
    report = merge([tmp_path / "a"], tmp_path / "t", only={("demo", wanted.name)})
    assert report.clean
    assert [run.name for run in find_runs(tmp_path / "t")] == [wanted.name]


COPIES = st.lists(  # seed, epochs, later status, a going run
    st.tuples(st.integers(0, 1), st.integers(0, EPOCHS), st.integers(0, 2), st.booleans()),
    max_size=4,
    unique_by=lambda copy: copy[0],
)


@settings(max_examples=12, deadline=None)
@given(places=st.tuples(COPIES, COPIES, COPIES))
def test_the_order_of_sources_does_not_matter_and_merging_twice_changes_nothing(places):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        furthest: dict[int, int] = {}
        for place, copies in zip("abc", places, strict=True):
            (root / place).mkdir()
            for seed, done, late, going in copies:
                state = {"state": "running"} if going and done < EPOCHS else {}
                run = write(root / place, seed=seed, done=done, **state)
                amend(run / "status.json", updated=1.7e9 + 100 * done + late)
                furthest[seed] = max(done, furthest.get(seed, 0))
        results = []
        for order in itertools.permutations("abc"):
            target = root / "".join(order)
            first = merge([root / place for place in order], target)
            assert first.clean
            assert first.counts()["copied"] == len(furthest)
            results.append(tree(target))
            again = merge([root / place for place in order], target)
            assert again.counts() | {"unchanged": 0} == dict.fromkeys(again.counts(), 0)
            assert tree(target) == results[-1]
        assert all(result == results[0] for result in results)
        kept = {read_status(run).spec["seed"]: read_status(run).epoch for run in find_runs(target)}
        assert kept == furthest


# --- what is reported and left alone -------------------------------------------------------------


@pytest.mark.parametrize("state", ["done", "diverged"])
def test_contradicting_results_are_reported_and_kept(tmp_path, state):
    write(tmp_path / "t", state=state)
    later = write(tmp_path / "a", state=state, change=other_loss)
    amend(later / "status.json", updated=1.9e9)
    before = tree(tmp_path / "t")
    for _ in range(2):
        report = merge([tmp_path / "a"], tmp_path / "t")
        assert report.counts() == dict.fromkeys(report.counts(), 0) | {"conflict": 1}
        assert str(later) in report.items[0].detail
        assert tree(tmp_path / "t") == before


def test_results_that_diverged_at_different_epochs_contradict_each_other(tmp_path):
    write(tmp_path / "t", done=2, state="diverged")
    write(tmp_path / "a", done=3, state="diverged")
    assert merge([tmp_path / "a"], tmp_path / "t").counts()["conflict"] == 1
    assert load_run(the_run(tmp_path / "t")).status["epoch"] == 2


def test_contradicting_sources_are_reported_in_any_order(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", change=other_loss)
    results = []
    for order in ("ab", "ba"):
        report = merge([tmp_path / place for place in order], tmp_path / order)
        assert (report.counts()["copied"], report.counts()["conflict"]) == (1, 1)
        results.append(tree(tmp_path / order))
    assert results[0] == results[1]


def test_the_same_result_in_other_times_is_no_conflict(tmp_path):
    write(tmp_path / "t")
    before = tree(tmp_path / "t")
    again = write(tmp_path / "a", change=other_times)
    amend(again / "status.json", updated=1.9e9)
    report = merge([tmp_path / "a"], tmp_path / "t")
    assert report.counts()["unchanged"] == 1
    assert tree(tmp_path / "t") == before


def test_a_run_that_is_going_here_is_left_alone(tmp_path):
    present = write(tmp_path / "t", done=1, state="running")
    write(tmp_path / "a")
    before = tree(tmp_path / "t")
    with RunLock(present):
        report = merge([tmp_path / "a"], tmp_path / "t")
        (problem,) = report.of("problem")
        assert str(present) in problem.detail
    (present / "lock").unlink()
    assert tree(tmp_path / "t") == before
    assert merge([tmp_path / "a"], tmp_path / "t").counts()["advanced"] == 1


def test_a_run_that_is_going_elsewhere_is_copied_as_it_stands(tmp_path):
    going = write(tmp_path / "a", done=2, state="running")
    with RunLock(going):
        assert merge([tmp_path / "a"], tmp_path / "t").counts()["copied"] == 1
        assert not is_locked(the_run(tmp_path / "t"))
        # Only more epochs count then, not a later sign of life.
        amend(going / "status.json", updated=1.9e9)
        assert merge([tmp_path / "a"], tmp_path / "t").counts()["unchanged"] == 1
    # Without a lock, a run of another machine counts as going as long as it writes.
    assert merge([tmp_path / "a"], tmp_path / "t").counts()["unchanged"] == 1
    for file in going.iterdir():
        os.utime(file, (1e9, 1e9))
    assert merge([tmp_path / "a"], tmp_path / "t").counts()["advanced"] == 1


def test_who_waits_for_the_lock_of_a_replaced_run_gets_that_of_the_new_one(tmp_path):
    present = write(tmp_path / "t", done=1)
    (present / "lock").touch()
    number = (present / "lock").stat().st_ino
    write(tmp_path / "a")
    merge([tmp_path / "a"], tmp_path / "t")
    assert (present / "lock").stat().st_ino == number


@pytest.mark.parametrize("name", ["spec.json", "status.json", "epochs.jsonl"])
def test_a_damaged_source_is_reported_and_the_others_go_on(tmp_path, name):
    damaged = write(tmp_path / "a", seed=0)
    (damaged / name).write_text("{\n{}\n")
    good = write(tmp_path / "a", seed=1)
    report = merge([tmp_path / "a"], tmp_path / "t")
    (problem,) = report.of("problem")
    assert str(damaged / name) in problem.detail
    assert [run.name for run in find_runs(tmp_path / "t")] == [good.name]


def test_a_name_that_leaves_the_target_is_refused(tmp_path):
    run = write(tmp_path / "a")
    amend(run / "spec.json", run_key="../../escaped")
    report = merge([tmp_path / "a"], tmp_path / "t")
    assert "invalid name" in report.of("problem")[0].detail
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("what", ["file", "run"])
def test_a_link_out_of_the_source_is_not_followed(tmp_path, what):
    secret = write(tmp_path / "secret")
    if what == "file":
        run = write(tmp_path / "a")
        (run / "environment.json").unlink()
        (run / "environment.json").symlink_to(secret / "environment.json")
    else:
        (tmp_path / "a" / "demo").mkdir(parents=True)
        (tmp_path / "a" / "demo" / secret.name).symlink_to(secret)
    report = merge([tmp_path / "a"], tmp_path / "t")
    assert "a link that leads out of" in report.of("problem")[0].detail
    assert find_runs(tmp_path / "t") == []


def test_a_link_within_the_source_becomes_a_file(tmp_path):
    run = write(tmp_path / "a")
    (tmp_path / "a" / "shared.json").write_text("{}")
    (run / "environment.json").unlink()
    (run / "environment.json").symlink_to(tmp_path / "a" / "shared.json")
    assert merge([tmp_path / "a"], tmp_path / "t").clean
    copy = the_run(tmp_path / "t") / "environment.json"
    assert (copy.is_symlink(), copy.read_text()) == (False, "{}")


def test_the_target_as_a_source_changes_nothing(tmp_path):
    write(tmp_path / "t")
    before = tree(tmp_path / "t")
    assert merge([tmp_path / "t"], tmp_path / "t").items == ()
    assert tree(tmp_path / "t") == before


def test_a_source_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        merge([tmp_path / "nowhere"], tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_one_merge_at_a_time(tmp_path):
    write(tmp_path / "a")
    merge([tmp_path / "a"], tmp_path / "t")
    with RunLock(tmp_path / "t" / ".merge"), pytest.raises(MergeBusy, match="another process"):
        merge([tmp_path / "a"], tmp_path / "t")


def test_a_full_disk_leaves_the_old_copy(tmp_path, monkeypatch):
    write(tmp_path / "t", done=1)
    write(tmp_path / "a")
    before = tree(tmp_path / "t")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        (problem,) = merge([tmp_path / "a"], tmp_path / "t").items
    assert problem.action == "problem"
    assert "No space left" in problem.detail
    assert tree(tmp_path / "t") == before
    assert [path.name for path in (tmp_path / "t" / "demo").iterdir()] == [problem.path.name]


# --- damaged copies and links in the target ------------------------------------------------------


def lose_rows(run: Path) -> bytes:
    os.truncate(run / "epochs.jsonl", 900)
    return (run / "epochs.jsonl").read_bytes()


def test_a_copy_that_lacks_rows_is_not_taken(tmp_path):
    lose_rows(write(tmp_path / "a"))
    report = merge([tmp_path / "a"], tmp_path / "t")
    assert "epochs.jsonl: lacks epochs 1 to 4" in report.of("problem")[0].detail
    assert find_runs(tmp_path / "t") == []


def test_a_good_copy_takes_the_place_of_a_damaged_one_which_is_kept(tmp_path):
    rows = lose_rows(write(tmp_path / "t"))
    write(tmp_path / "a", done=2)
    (item,) = merge([tmp_path / "a"], tmp_path / "t").items
    assert item.action == "advanced"
    assert item.detail.startswith("damaged, epochs.jsonl: lacks epochs 1 to 4")
    assert load_run(item.path).epochs[-1]["epoch"] == 2
    assert (item.path / ".damaged-1" / "epochs.jsonl").read_bytes() == rows
    write(tmp_path / "b")
    merge([tmp_path / "b"], tmp_path / "t")
    assert load_run(item.path).state == "done"
    assert (item.path / ".damaged-1" / "epochs.jsonl").read_bytes() == rows


@pytest.mark.parametrize("what", ["nothing", "the same"])
def test_a_damaged_run_in_the_target_is_told(tmp_path, what):
    run = write(tmp_path / "t")
    lose_rows(run)
    lose_rows(write(tmp_path / "a"))
    if what == "nothing":
        (tmp_path / "a" / "demo" / run.name / "environment.json").unlink()
    report = merge([tmp_path / "a"], tmp_path / "t")
    assert not report.clean
    assert any(str(run) in item.detail for item in report.of("problem"))


def test_a_run_that_lost_its_spec_is_told_and_kept(tmp_path):
    (write(tmp_path / "a") / "spec.json").unlink()
    (problem,) = merge([tmp_path / "a"], tmp_path / "t").items
    assert (problem.action, problem.detail.endswith("spec.json: is missing")) == ("problem", True)
    present = write(tmp_path / "t")
    (present / "spec.json").unlink()
    write(tmp_path / "b")
    (item,) = merge([tmp_path / "b"], tmp_path / "t").items
    assert item.action == "advanced"
    assert (present / ".damaged-1" / "status.json").exists()


def test_a_later_schema_in_the_target_is_left_alone(tmp_path):
    present = write(tmp_path / "t", done=1)
    amend(present / "status.json", schema=3)
    write(tmp_path / "a")
    before = tree(tmp_path / "t")
    (problem,) = merge([tmp_path / "a"], tmp_path / "t").items
    assert "found schema 3, allowed: up to 2" in problem.detail
    assert tree(tmp_path / "t") == before


@pytest.mark.parametrize("what", ["run", "experiment", "lock", ".merge"])
def test_nothing_is_written_through_a_link_in_the_target(tmp_path, what):
    foreign = write(tmp_path / "foreign", done=1)
    source = write(tmp_path / "a")
    place = tmp_path / "t" / "demo" / source.name
    place.parent.mkdir(parents=True)
    if what == "run":
        place.symlink_to(foreign)
    elif what == "experiment":
        place.parent.rmdir()
        place.parent.symlink_to(foreign.parent)
    elif what == "lock":
        write(tmp_path / "t", done=1)
        (place / "lock").symlink_to(foreign / "status.json")
    else:
        (tmp_path / "t" / ".merge").symlink_to(foreign)
    before = {path.name: path.read_bytes() for path in foreign.iterdir()}
    if what == ".merge":
        with pytest.raises(RecordError, match="a symbolic link"):
            merge([tmp_path / "a"], tmp_path / "t")
    else:
        (problem,) = merge([tmp_path / "a"], tmp_path / "t").items
        assert problem.action == "problem"
        assert "a symbolic link" in problem.detail
    assert {path.name: path.read_bytes() for path in foreign.iterdir()} == before


def test_links_in_a_circle_are_a_problem(tmp_path):
    run = write(tmp_path / "a")
    (run / "status.json").unlink()
    (run / "status.json").symlink_to(run / "status.json")
    assert not merge([tmp_path / "a"], tmp_path / "t").clean


# --- kills ---------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from napts.records import merge, transfer
renames = 0
rename = Path.rename
def killed(self, target):
    global renames
    renames += 1
    if renames == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = killed
merge([sys.argv[1]], sys.argv[2])
"""


@pytest.fixture
def killed(tmp_path: Path) -> Callable[[int], None]:
    """Merge a into t in a process that is killed before its n-th rename."""

    def kill(number: int) -> None:
        command = [sys.executable, "-c", KILLED.format(number=number)]
        command += [str(tmp_path / "a"), str(tmp_path / "t")]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL

    return kill


def leftovers(root: Path) -> list[str]:
    return sorted(path.name.rpartition(".")[2] for path in root.glob("demo/.*"))


def test_a_kill_before_the_rename_leaves_nothing_to_be_seen(tmp_path, killed):
    write(tmp_path / "a")
    killed(1)
    assert find_runs(tmp_path / "t") == []
    assert leftovers(tmp_path / "t") == ["incoming"]
    merge([tmp_path / "a"], tmp_path / "t")
    assert leftovers(tmp_path / "t") == []
    assert tree(tmp_path / "t") == tree(tmp_path / "a")


@pytest.mark.parametrize("number", [2, 3])
def test_a_kill_loses_no_damaged_copy(tmp_path, killed, number):
    old = write(tmp_path / "t")
    rows = lose_rows(old)
    write(tmp_path / "a")
    killed(number)
    merge([tmp_path / "a"], tmp_path / "t")
    assert load_run(old).state == "done"
    assert (old / ".damaged-1" / "epochs.jsonl").read_bytes() == rows


def test_a_kill_between_the_renames_is_put_right(tmp_path, killed):
    run = write(tmp_path / "a")
    old = write(tmp_path / "t", done=1)
    killed(2)
    assert leftovers(tmp_path / "t") == ["incoming", "replaced"]
    (run / "status.json").write_text("damaged meanwhile")
    merge([tmp_path / "a"], tmp_path / "t")
    assert leftovers(tmp_path / "t") == []
    assert read_status(old).epoch == 1
    assert (old / "checkpoint.pt").read_bytes() == b"epoch 1"


# --- a real run ----------------------------------------------------------------------------------


def test_a_merged_run_goes_on_where_it_stopped(tmp_path):
    from napts.experiment import Observer, RunSpec, run

    spec = RunSpec.model_validate(
        {
            "experiment": "demo",
            "seed": 0,
            "workload": {"name": "synthetic-blobs"},
            "optimizer": {"method": "NAPTS"},
            "budget": {"epochs": 3},
        }
    )

    class Stop(Observer):
        def on_epoch(self, row: Any) -> None:
            if row["epoch"] == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    assert run(spec, tmp_path / "a", observer=Stop()).state == "interrupted"
    merge([tmp_path / "a"], tmp_path / "t")
    assert run(spec, tmp_path / "t").state == "done"
    run(spec, tmp_path / "undisturbed")
    moved, plain = (load_run(the_run(tmp_path / name)) for name in ("t", "undisturbed"))
    assert len(moved.restarts) == 2
    assert [row["val_loss"] for row in moved.epochs] == [row["val_loss"] for row in plain.epochs]
    assert moved.final == plain.final
    # And what has come to its end there takes the place of the interrupted one here.
    assert merge([tmp_path / "t"], tmp_path / "a").counts()["advanced"] == 1
    assert merge([tmp_path / "undisturbed"], tmp_path / "a").counts()["unchanged"] == 1
