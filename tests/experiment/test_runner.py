import json
import math
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from napts.experiment import Observer, RunOutcome, method_names, run, trainer
from napts.optim import StepRecord
from napts.problems import DataMissing, epoch_permutation
from napts.records import RecordWriteError, RunRecord, load_run
from tests.helpers.full_disk import no_room_for

PARTS = ("train_seconds", "eval_seconds", "checkpoint_seconds", "logging_seconds")
TIMES = ("_seconds", "time", "attempt", "peak_memory_mb")


def comparable(record: RunRecord) -> Any:
    rows = [
        {name: value for name, value in row.items() if not name.endswith(TIMES)}
        for row in (*record.epochs, *record.steps)
    ]
    return record.final, rows


class Stopper(Observer):
    """Raises at one step, once."""

    def __init__(self, epoch: int, step: int, error: BaseException) -> None:
        self._at, self._error = (epoch, step), error

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        if (epoch, step) == self._at:
            raise self._error


class Recorder(Observer):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_run_start(self, spec, total_epochs: int, batches: int) -> None:
        self.events.append(("start", total_epochs, batches))

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        self.events.append(("step", epoch, step))

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        self.events.append(("epoch", row["epoch"]))

    def on_run_end(self, outcome: RunOutcome) -> None:
        self.events.append(("end", outcome.state, outcome.ran))


def test_a_run_writes_its_directory(tmp_path: Path, spec_of) -> None:
    spec = spec_of("NAPTS", label="mine", epochs=3)
    outcome = run(spec, tmp_path)
    assert (outcome.state, outcome.ran, outcome.error) == ("done", True, None)
    assert outcome.path == tmp_path / "tests" / spec.run_key
    assert sorted(path.name for path in outcome.path.iterdir()) == [
        "environment.json", "epochs.jsonl", "lock", "restarts.jsonl", "spec.json", "status.json",
        "steps.jsonl",
    ]  # fmt: skip
    record = load_run(outcome.path)
    assert (record.label, record.method, record.workload) == ("mine", "NAPTS", "synthetic-blobs")
    assert record.environment["torch"] == torch.__version__
    assert [row["epoch"] for row in record.epochs] == [0, 1, 2, 3]
    assert [(r["epoch"], r["step"]) for r in record.steps] == [
        (epoch, step) for epoch in (1, 2, 3) for step in range(1, 6)
    ]
    assert record.final == outcome.final
    assert set(record.final or {}) == {
        "train_loss", "val_loss", "val_accuracy", "test_loss", "test_accuracy",
    }  # fmt: skip
    assert [row["reason"] for row in record.restarts] == ["started"]
    assert json.loads((outcome.path / "spec.json").read_text())["spec"]["seed"] == 0


def test_overlapping_batches(tmp_path: Path, spec_of) -> None:
    """Training goes through as many batches, each of them larger."""
    losses = {}
    for overlap in (0.0, 0.25):
        spec = spec_of("TR", epochs=1, budget={"epochs": 1, "batch_size": 40, "overlap": overlap})
        record = load_run(run(spec, tmp_path).path)
        losses[overlap] = [step["loss"] for step in record.steps]
    assert len(losses[0.0]) == len(losses[0.25]) > 1
    assert losses[0.0] != losses[0.25]


def test_epoch_rows_sum_up_their_steps(tmp_path: Path, spec_of) -> None:
    record = load_run(run(spec_of("NAPTS", epochs=3), tmp_path).path)
    sizes = [64, 64, 64, 64, 44]  # 300 samples: the last batch is smaller and weighs less
    elapsed = 0.0
    for row in record.epochs:
        steps = [step for step in record.steps if step["epoch"] == row["epoch"]]
        assert row["batches"] == len(steps)
        for name in ("forwards", "backwards", "local_passes", "rejections_global", "accepted"):
            assert row[name] == sum(step[name] for step in steps)
        phases = ("rejections_proposal", "rejections_correction", "rejections_global")
        assert row["rejections"] == sum(row[name] for name in phases)
        if steps:
            weighted = sum(s["loss"] * n for s, n in zip(steps, sizes, strict=True)) / 300
            assert row["train_loss"] == pytest.approx(weighted, rel=1e-12)
            assert row["radius"] == steps[-1]["radius_after"]
        assert row["wall_seconds"] == pytest.approx(sum(row[name] for name in PARTS), abs=1e-12)
        elapsed += row["wall_seconds"]
        assert row["elapsed_seconds"] == pytest.approx(elapsed, abs=1e-9)
    first = record.epochs[0]
    assert (first["train_loss"], first["train_seconds"], first["radius"]) == (None, 0.0, None)


def test_events_are_observed_in_order(tmp_path: Path, spec_of) -> None:
    recorder = Recorder()
    run(spec_of(epochs=1), tmp_path, observer=recorder)
    steps = [("step", 1, step) for step in range(1, 6)]
    assert recorder.events == [
        ("start", 1, 5), ("epoch", 0), *steps, ("epoch", 1), ("end", "done", True),
    ]  # fmt: skip
    recorder = Recorder()
    run(spec_of(epochs=1), tmp_path, observer=recorder)
    assert recorder.events == [("end", "done", False)]


SUBSETS = ("ASTROM", "MLVR", "SARAH", "SSN", "SVRG")
"""They may evaluate a single sample, of which BatchNorm takes no statistics;
tests/experiment/test_sums.py has their runs."""

METHODS = [name for name in method_names() if name != "RMTR"]
"""All but the one for residual networks; tests/experiment/test_residual_runs.py has its runs."""

OTHERS = [name for name in METHODS if name not in SUBSETS]


@pytest.mark.parametrize(
    ("method", "workload"),
    [
        *((name, "synthetic-blobs") for name in METHODS),
        *((name, "synthetic-batchnorm") for name in OTHERS),
    ],
)
def test_interrupted_run_ends_bit_identical(
    method: str, workload: str, tmp_path: Path, spec_of
) -> None:
    spec = spec_of(method, workload, epochs=3, execution={"checkpoint_every_s": 0.0})
    expected = load_run(run(spec, tmp_path / "undisturbed").path)
    for epoch, step in ((1, 1), (2, 3), (3, 5)):
        with pytest.raises(KeyboardInterrupt):
            run(spec, tmp_path / "cut", observer=Stopper(epoch, step, KeyboardInterrupt()))
        torch.rand(3)  # whatever else the process does with the generators in between
    record = load_run(run(spec, tmp_path / "cut").path)
    assert comparable(record) == comparable(expected)
    assert [(r["resumed_from_epoch"], r["resumed_from_step"]) for r in record.restarts] == [
        (None, None), (0, 0), (1, 2), (2, 4),
    ]  # fmt: skip
    assert [row["attempt"] for row in record.restarts] == [1, 2, 3, 4]


def test_resumption_within_an_epoch_keeps_its_times(tmp_path: Path, spec_of) -> None:
    spec = spec_of("NAPTS", execution={"checkpoint_every_s": 0.0})
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path, observer=Stopper(1, 5, KeyboardInterrupt()))
    path = tmp_path / "tests" / spec.run_key
    saved = torch.load(path / "checkpoint.pt", weights_only=True)
    assert saved["progress"]["step"] == 4
    run(spec, tmp_path)
    assert load_run(path).epochs[1]["train_seconds"] > saved["times"]["wall_ns"]["train"] / 1e9 > 0


def test_same_seed_same_result_and_other_seed_another(tmp_path: Path, spec_of) -> None:
    one, same, other = (
        load_run(run(spec_of("NTR", seed=seed), tmp_path / name).path)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert comparable(one) == comparable(same)
    assert one.final != other.final


def test_methods_share_initial_parameters_and_batches(tmp_path: Path, spec_of) -> None:
    records = [load_run(run(spec_of(method), tmp_path).path) for method in ("TR", "NAPTS", "Adam")]
    assert len({record.epochs[0]["val_loss"] for record in records}) == 1
    assert len({record.steps[0]["loss"] for record in records}) == 1
    assert not torch.equal(epoch_permutation(0, 1, 300), epoch_permutation(0, 2, 300))


def test_double_precision(tmp_path: Path, spec_of) -> None:
    single = load_run(run(spec_of("TR"), tmp_path).path)
    double = load_run(run(spec_of("TR", precision="float64"), tmp_path).path)
    assert single.epochs[0]["val_loss"] == pytest.approx(double.epochs[0]["val_loss"], rel=1e-5)
    assert single.epochs[0]["val_loss"] != double.epochs[0]["val_loss"]


def test_evaluation_disturbs_neither_generators_nor_network(spec_of) -> None:
    setup = trainer.Setup.of(spec_of("Adam", "synthetic-batchnorm"), None)
    model = setup.network.module.train()
    before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    setup.network.evaluate(setup.splits.validation)
    assert torch.equal(torch.get_rng_state(), before[0])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[1][name])
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("method", OTHERS)
def test_images_may_lie_channels_last(tmp_path: Path, spec_of, method: str) -> None:
    def final(*, channels_last: bool) -> Mapping[str, float]:
        spec = spec_of(
            method,
            "digits-cnn",
            epochs=1,
            execution={"channels_last": channels_last},
            options={"lr": 0.01} if method == "LBFGS" else {},
            precision="float64",
        )
        outcome = run(spec, tmp_path / str(channels_last))
        assert outcome.state == "done"
        assert outcome.final is not None
        return outcome.final

    lying, usual = final(channels_last=True), final(channels_last=False)
    assert lying["train_loss"] == pytest.approx(usual["train_loss"], rel=1e-6)


def test_steps_need_not_be_recorded(tmp_path: Path, spec_of) -> None:
    record = load_run(run(spec_of(execution={"record_steps": False}), tmp_path).path)
    assert record.steps == []
    assert record.epochs[-1]["batches"] == 5


def test_cached_leaves_a_done_run_untouched(tmp_path: Path, spec_of) -> None:
    path = run(spec_of(), tmp_path).path
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.iterdir()}
    for mode in ("cached", "retry"):
        again = run(spec_of(), tmp_path, mode=mode)
        assert (again.state, again.ran) == ("done", False)
    (path / "lock").write_bytes(before[path / "lock"][1])
    after = {file: file.read_bytes() for file in path.iterdir()}
    assert after == {file: contents for file, (_, contents) in before.items()}


def test_force_starts_anew(tmp_path: Path, spec_of) -> None:
    first = load_run(run(spec_of("NAPTS"), tmp_path).path)
    outcome = run(spec_of("NAPTS"), tmp_path, mode="force")
    second = load_run(outcome.path)
    assert outcome.ran
    assert comparable(first) == comparable(second)
    assert {row["attempt"] for row in (*second.epochs, *second.steps)} == {2}
    assert second.restarts[1]["reason"] == "started anew: forced"


def test_unknown_mode_is_refused(tmp_path: Path, spec_of) -> None:
    with pytest.raises(ValueError, match="mode: found 'again', allowed: cached, retry, force"):
        run(spec_of(), tmp_path, mode="again")


def test_divergence_is_a_result(tmp_path: Path, spec_of) -> None:
    spec = spec_of("SGD", options={"lr": 1e30, "momentum": 0.0})
    outcome = run(spec, tmp_path)
    assert (outcome.state, outcome.final) == ("diverged", None)
    assert outcome.error is not None
    assert "training loss" in outcome.error
    record = load_run(outcome.path)
    assert [row["epoch"] for row in record.epochs] == [0]
    assert math.isfinite(record.steps[0]["loss"])
    assert not math.isfinite(record.steps[-1]["loss"])
    assert record.restarts[0]["attempt"] == 1
    assert not (outcome.path / "checkpoint.pt").exists()
    assert not run(spec, tmp_path).ran
    retried = run(spec, tmp_path, mode="retry")
    assert (retried.ran, retried.state) == (True, "diverged")
    assert load_run(outcome.path).restarts[1]["reason"] == "started anew: retried, it had diverged"


def test_failure_is_recorded_and_raised(tmp_path: Path, spec_of) -> None:
    spec = spec_of("NTR")
    with pytest.raises(ZeroDivisionError):
        run(spec, tmp_path, observer=Stopper(2, 2, ZeroDivisionError("no good")))
    outcome = run(spec, tmp_path)
    assert (outcome.state, outcome.ran) == ("failed", False)
    assert re.fullmatch(r"test_runner\.py:\d+: ZeroDivisionError: no good", outcome.error or "")
    assert load_run(outcome.path).steps[-1]["step"] == 2
    again = run(spec, tmp_path, mode="retry")
    assert (again.state, again.ran) == ("done", True)
    assert {row["attempt"] for row in load_run(again.path).steps} == {2}


def test_full_disk_interrupts_and_the_run_can_go_on(tmp_path: Path, spec_of) -> None:
    spec = spec_of("NAPTS")
    path = tmp_path / "tests" / spec.run_key

    full = ExitStack()

    class FillDisk(Observer):
        def on_epoch(self, row: Mapping[str, Any]) -> None:
            if row["epoch"] == 1:
                full.enter_context(no_room_for("checkpoint.pt"))

    match = r"checkpoint\.pt: cannot be written, No space left"
    with full, pytest.raises(RecordWriteError, match=match):
        run(spec, tmp_path, observer=FillDisk())
    record = load_run(path)
    assert record.state == "interrupted"
    assert "No space left on device" in record.status["error"]
    resumed = load_run(run(spec, tmp_path).path)
    assert resumed.restarts[1]["resumed_from_epoch"] == 0
    assert comparable(resumed) == comparable(load_run(run(spec, tmp_path / "other").path))


def test_damaged_checkpoint_is_told_and_survived(tmp_path: Path, spec_of) -> None:
    spec = spec_of("NAPTS", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path, observer=Stopper(3, 1, KeyboardInterrupt()))
    path = tmp_path / "tests" / spec.run_key
    (path / "checkpoint.pt").write_bytes(b"torn")
    record = load_run(run(spec, tmp_path).path)
    assert "checkpoint.pt is damaged" in record.restarts[1]["reason"]
    assert record.restarts[1]["resumed_from_epoch"] == 1
    assert comparable(record) == comparable(load_run(run(spec, tmp_path / "other").path))


def test_changed_data_are_refused_on_resumption(tmp_path: Path, spec_of, monkeypatch) -> None:
    spec = spec_of("Adam")
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path, observer=Stopper(1, 2, KeyboardInterrupt()))
    monkeypatch.setattr("napts.problems.splits.digest", lambda _: "other")
    with pytest.raises(ValueError, match="found data with digest other"):
        run(spec, tmp_path)
    assert run(spec, tmp_path, mode="force").state == "done"


def test_missing_data_leave_no_record(tmp_path: Path, spec_of) -> None:
    spec = spec_of("Adam", "mnist-fcnn")
    with pytest.raises(DataMissing, match="napts data prepare mnist"):
        run(spec, tmp_path / "records", data_root=tmp_path)
    assert not (tmp_path / "records").exists()


def test_missing_device_is_named(tmp_path: Path, spec_of) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match=r"execution\.device: found cuda, allowed here: cpu"):
        run(spec_of(execution={"device": "cuda"}), tmp_path)
    assert run(spec_of(execution={"device": "auto"}), tmp_path).state == "done"


def test_threads_are_those_of_the_spec_during_the_run_only(tmp_path: Path, spec_of) -> None:
    seen = []

    class Look(Observer):
        def on_epoch(self, row: Mapping[str, Any]) -> None:
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    outcome = run(spec_of(execution={"threads": before + 1}), tmp_path, observer=Look())
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before
    assert load_run(outcome.path).environment["threads"] == before + 1


def test_an_outcome_is_shown_in_one_line(tmp_path: Path, spec_of) -> None:
    outcome = run(spec_of("Adam", epochs=1), tmp_path)
    shown = rf"<RunOutcome {outcome.run_key}: done, test_accuracy \d+\.\d\d %>"
    assert re.fullmatch(shown, repr(outcome))
