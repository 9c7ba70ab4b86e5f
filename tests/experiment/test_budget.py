"""Where a run ends: the limits of its budget, and its target."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from napts.analysis import load_collection
from napts.analysis.summary import comparison
from napts.console import ConsoleObserver, target_text
from napts.experiment import Budget, Observer, RunSpec, SpecError, parse_spec, run
from napts.experiment.clock import Clock, Times
from napts.experiment.progress import Progress
from napts.experiment.setup import Setup
from napts.experiment.trainer import Trainer
from napts.optim import StepRecord
from napts.records import RunRecord, load_run

BATCHES, SAMPLES = 5, 300  # an epoch of synthetic-blobs: 4 batches of 64 and one of 44


def trained(root: Path, spec: RunSpec, observer: Observer | None = None) -> RunRecord:
    return load_run(run(spec, root, observer=observer).path)


class Cut(Observer):
    """Interrupts at one step, and notes what share of the budget was spent."""

    def __init__(self, epoch: int = 0, step: int = 0) -> None:
        self._at = (epoch, step)
        self.shares: list[float] = []

    def on_progress(self, share: float) -> None:
        self.shares.append(share)

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        if (epoch, step) == self._at:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("budget", "rows", "ended_by"),
    [
        ({"samples": SAMPLES + 65}, [5, 2], "samples"),
        ({"samples": SAMPLES}, [5], "samples"),
        ({"samples": 1, "epochs": 3}, [1], "samples"),
        ({"epochs": 2, "samples": 10**9}, [5, 5], "epochs"),
        ({"passes": 7}, [5, 2], "passes"),  # one of Adam's steps is one pass
        ({"passes": 6.5, "epochs": 9}, [5, 2], "passes"),
    ],
)
def test_the_first_limit_that_is_reached_ends_the_run(
    budget: dict[str, Any], rows: list[int], ended_by: str, tmp_path: Path, spec_of
) -> None:
    record = trained(tmp_path, spec_of("Adam", budget=budget))
    assert record.state == "done"
    assert [row["batches"] for row in record.epochs] == [0, *rows]
    assert record.status["ended_by"] == ended_by
    assert record.status["epochs"] == budget.get("epochs")
    assert record.epochs[-1]["val_loss"] == (record.final or {})["val_loss"]
    sizes = [64, 64, 64, 64, 44]
    assert [row["samples"] for row in record.epochs] == [0, *(sum(sizes[:n]) for n in rows)]


def test_passes_are_counted_as_the_analysis_counts_them(tmp_path: Path, spec_of) -> None:
    options = {"local_fraction": 0.5}
    record = trained(tmp_path, spec_of("NAPTS", options=options, budget={"passes": 20}))
    [section] = load_collection(tmp_path).sections
    passes = section.epochs["pass_equivalents_total"].tolist()
    steps = record.steps
    last = steps[-1]
    cost = last["forwards"] / 3 + last["backwards"] * 2 / 3 + last["local_passes"] / 2
    assert passes[-1] >= 20 > passes[-1] - cost
    assert record.status["ended_by"] == "passes"


def test_an_epoch_that_is_cut_short_does_not_make_epochs_look_fast(tmp_path: Path, spec_of) -> None:
    record = trained(tmp_path, spec_of("Adam", budget={"samples": SAMPLES + 1}))
    [section] = load_collection(tmp_path).sections
    assert section.runs["seconds_per_epoch"].tolist() == [record.epochs[1]["train_seconds"]]
    assert len(comparison(section.runs)) == 1


class Ticks:
    """A clock that goes on by a tenth of a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 10**8
        return self.now


def test_seconds_are_those_of_training(tmp_path: Path, spec_of, monkeypatch) -> None:
    monkeypatch.setattr(
        "napts.experiment.trainer.Clock", lambda device: Clock(device, wall=Ticks())
    )
    record = trained(tmp_path, spec_of("Adam", budget={"seconds": 1.25}))
    assert record.status["ended_by"] == "seconds"
    spent = sum(row["train_seconds"] for row in record.epochs)
    # Seen after every step, and one more look when the epoch ends.
    assert 1.25 <= spent <= 1.25 + 0.2
    assert record.epochs[-1]["batches"] < BATCHES


def test_seconds_survive_an_interruption(tmp_path: Path, spec_of, monkeypatch) -> None:
    spec = spec_of("Adam", budget={"seconds": 2.05}, execution={"checkpoint_every_s": 0.0})
    monkeypatch.setattr(
        "napts.experiment.trainer.Clock", lambda device: Clock(device, wall=Ticks())
    )
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path, observer=Cut(2, 3))
    record = trained(tmp_path, spec)
    assert record.restarts[-1]["resumed_from_epoch"] == 1
    spent = sum(row["train_seconds"] for row in record.epochs)
    assert 2.05 <= spent <= 2.05 + 0.5


@pytest.mark.parametrize("cut", [(1, 3), (2, 1), (2, 2)])
def test_an_interruption_changes_nothing(cut: tuple[int, int], tmp_path: Path, spec_of) -> None:
    spec = spec_of(
        "NAPTS",
        "synthetic-batchnorm",
        budget={"samples": SAMPLES + 65},
        execution={"checkpoint_every_s": 0.0},
    )
    expected = trained(tmp_path / "undisturbed", spec)
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "cut", observer=Cut(*cut))
    found = trained(tmp_path / "cut", spec)
    assert found.final == expected.final
    assert [row["batches"] for row in found.epochs] == [0, 5, 2]


def test_a_checkpoint_after_the_last_step_of_the_budget(tmp_path: Path, spec_of) -> None:
    """The evaluation is missing, no further step is taken."""
    spec = spec_of(budget={"samples": 65}, execution={"checkpoint_every_s": 0.0})
    setup = Setup.of(spec, None)
    stop = iter([None, "SIGTERM"])
    trainer = Trainer(setup, None, Progress(), Times(), Observer(), lambda: next(stop))
    with pytest.raises(Exception, match="stopped by SIGTERM"):
        trainer.train()
    assert trainer.progress.ended_by == "samples"
    again = Setup.of(spec, None)
    progress = again.restore(trainer.state())
    resumed = Trainer(again, None, progress, Times(), Observer(), lambda: "never asked")
    resumed.train()
    assert (resumed.progress.epoch, resumed.progress.spent.steps) == (1, 2)


def test_a_checkpoint_of_an_older_version_after_the_last_epoch(spec_of) -> None:
    setup = Setup.of(spec_of(epochs=2), None)
    progress = Progress(epoch=2, latest={"train_loss": 1.0})
    old = {k: v for k, v in progress.as_dict().items() if k not in ("spent", "ended_by", "target")}
    trainer = Trainer(
        setup, None, Progress.from_dict(old), Times(), Observer(), lambda: "never asked"
    )
    trainer.train()
    assert trainer.progress.epoch == 2


def test_the_observer_learns_how_much_is_spent(tmp_path: Path, spec_of) -> None:
    watch = Cut()
    run(spec_of("Adam", budget={"samples": 128, "epochs": 4}), tmp_path, observer=watch)
    assert watch.shares == [0.5, 1.0]


def test_full_batches(tmp_path: Path, spec_of) -> None:
    record = trained(tmp_path, spec_of("TR", budget={"epochs": 2, "batch_size": "full"}))
    assert [row["batches"] for row in record.epochs] == [0, 1, 1]
    assert record.epochs[1]["samples"] == SAMPLES
    assert record.spec["budget"]["batch_size"] == "full"


TARGET = {"metric": "val_accuracy", "value": 0.5}


def test_a_run_stops_at_its_target_and_says_what_it_cost(tmp_path: Path, spec_of) -> None:
    free = trained(tmp_path / "free", spec_of("NAPTS", budget={"epochs": 6}))
    values = [row["val_accuracy"] for row in free.epochs]
    aim = values[0] + 0.6 * (max(values) - values[0])
    first = next(n for n, value in enumerate(values) if value >= aim)
    assert 0 < first < 6
    budget = {"epochs": 6, "target": {"metric": "val_accuracy", "value": aim}}
    outcome = run(spec_of("NAPTS", budget=budget), tmp_path)
    record = load_run(outcome.path)
    assert record.state == "done"
    assert record.status["ended_by"] == "target"
    assert [row["val_accuracy"] for row in record.epochs] == values[: first + 1]
    told = record.status["target"]
    assert told == outcome.target
    [section] = load_collection(tmp_path).sections[-1:]
    assert told == {
        "metric": "val_accuracy",
        "value": aim,
        "goal": "max",
        "reached": True,
        "found": values[first],
        "epoch": first,
        "steps": first * BATCHES,
        "samples": first * SAMPLES,
        "passes": pytest.approx(section.epochs["pass_equivalents_total"].iloc[-1], rel=1e-12),
        "train_seconds": pytest.approx(sum(r["train_seconds"] for r in record.epochs), rel=1e-9),
        "cpu_seconds": pytest.approx(sum(r["cpu_seconds"] for r in record.epochs[1:]), rel=1e-9),
    }
    assert f"reached in epoch {first} (" in target_text(told)


def test_a_missed_target_is_told_as_missed(tmp_path: Path, spec_of) -> None:
    budget = {"epochs": 2, "target": {"metric": "train_loss", "value": 0.0}}
    console = Console(file=(tmp_path / "shown").open("w"), width=200)
    with ConsoleObserver(1, console) as observer:
        outcome = run(spec_of("Adam", budget=budget), tmp_path, observer=observer)
    console.file.close()
    record = load_run(outcome.path)
    assert (record.state, record.status["ended_by"]) == ("done", "epochs")
    losses = [row["train_loss"] for row in record.epochs[1:]]
    assert outcome.target is not None
    assert (outcome.target["reached"], outcome.target["found"]) == (False, min(losses))
    assert "target train_loss <= 0 missed, best" in (tmp_path / "shown").read_text()


def test_a_target_survives_an_interruption(tmp_path: Path, spec_of) -> None:
    budget = {"epochs": 4, "target": {"metric": "val_loss", "value": 0.0}}
    spec = spec_of("NTR", budget=budget, execution={"checkpoint_every_s": 0.0})
    expected = trained(tmp_path / "undisturbed", spec).status["target"]
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "cut", observer=Cut(3, 2))
    found = trained(tmp_path / "cut", spec).status["target"]
    for times in ("train_seconds", "cpu_seconds"):
        assert found.pop(times) > 0
        assert expected.pop(times) > 0
    assert found == expected


def test_an_unknown_metric_fails_with_the_known_ones(tmp_path: Path, spec_of) -> None:
    target = {"metric": "val_r2", "value": 1, "goal": "max"}
    spec = spec_of(budget={"epochs": 1, "target": target})
    message = r"budget\.target\.metric: found val_r2, allowed: train_loss, val_loss, val_accuracy"
    with pytest.raises(ValueError, match=message):
        run(spec, tmp_path)
    assert run(spec, tmp_path).state == "failed"


def problem_of(budget: Mapping[str, Any]) -> str:
    data = {
        "experiment": "x",
        "workload": {"name": "synthetic-blobs"},
        "optimizer": {"method": "Adam"},
        "budget": budget,
    }
    with pytest.raises(SpecError) as caught:
        parse_spec(data, "here")
    [line] = caught.value.problems
    return line


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (
            {"batch_size": 3},
            "budget: found no limit, allowed: one or more of epochs, passes, samples, seconds",
        ),
        ({"passes": 0}, "budget.passes: found 0, allowed: number > 0.0 (passes)"),
        ({"samples": 1.5}, "budget.samples: found 1.5, allowed: integer"),
        (
            {"epochs": 1, "batch_size": 0},
            "budget.batch_size: found 0, allowed: integer >= 1 (samples), or full",
        ),
        (
            {"epochs": 1, "batch_size": "all"},
            "budget.batch_size: found 'all', allowed: integer >= 1 (samples), or full",
        ),
        (
            {"epochs": 1, "target": {"metric": "accuracy", "value": 1}},
            "budget.target.metric: found 'accuracy', allowed: train_loss, val_loss or val_METRIC",
        ),
        (
            {"epochs": 1, "target": {"metric": "val_r2", "value": 1}},
            "budget.target.goal: missing, allowed: max or min (only losses and val_accuracy have "
            "a default)",
        ),
        ({"epochs": 1, "target": {"value": 1}}, "budget.target.metric: missing"),
    ],
)
def test_errors_say_what_is_allowed(budget: dict[str, Any], message: str) -> None:
    assert problem_of(budget) == f"here: {message}"


def test_what_is_not_given_is_not_in_the_record(spec_of) -> None:
    spec = spec_of("Adam")
    assert spec.as_dict()["budget"] == {"epochs": 2, "batch_size": 64, "overlap": 0.0}
    assert spec.run_key == "adam-s0-ceb4b316b9"
    samples = spec_of("Adam", budget={"samples": 10})
    assert samples.as_dict()["budget"] == {"samples": 10, "batch_size": 64, "overlap": 0.0}
    assert RunSpec.model_validate_json(samples.model_dump_json()) == samples


def test_the_goal_belongs_to_the_key(spec_of) -> None:
    given, default = (
        spec_of("Adam", budget={"epochs": 1, "target": {**TARGET, **goal}})
        for goal in ({"goal": "max"}, {})
    )
    assert given.run_key == default.run_key
    assert default.budget.target is not None
    assert default.budget.target.goal == "max"
    other = spec_of("Adam", budget={"epochs": 1, "target": {**TARGET, "goal": "min"}})
    assert other.run_key != given.run_key


def test_limits_of_a_budget_by_name() -> None:
    assert Budget(epochs=3, seconds=1.5).limits() == {"epochs": 3, "seconds": 1.5}


class Modes:
    """An optimizer that notes in which mode it is asked for what."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls: list[str] = []

    @property
    def last_step(self) -> StepRecord | None:
        return self._inner.last_step

    def step(self, closure: Any, /) -> float:
        self.calls.append("step")
        return self._inner.step(closure)

    def train_mode(self) -> None:
        self.calls.append("train")

    def eval_mode(self) -> None:
        self.calls.append("eval")

    def state_dict(self) -> dict[str, Any]:
        self.calls.append("state")
        return self._inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self._inner.load_state_dict(state_dict)


def test_checkpoints_leave_the_mode_alone(spec_of) -> None:
    """Going to the average and back rounds: how often may not depend on when checkpoints are."""
    found = []
    for every_s in (0.0, 1000.0):
        spec = spec_of(epochs=1, execution={"checkpoint_every_s": every_s})
        setup = Setup.of(spec, None)
        modes = Modes(setup.optimizer)
        setup = replace(setup, optimizer=modes)
        Trainer(setup, None, Progress(), Times(), Observer(), lambda: None).train()
        assert modes.calls.count("state") == (2 + BATCHES if every_s == 0.0 else 2)
        found.append([call for call in modes.calls if call != "state"])
    assert found[0] == found[1] == ["eval", "train", *["step"] * BATCHES, "eval"]


def test_a_pipeline_stops_at_its_budget(tmp_path: Path, spec_of) -> None:
    budget = {"samples": 65, "target": {"metric": "val_loss", "value": 0.0}}
    record = trained(tmp_path, spec_of("Adam", budget=budget, pipeline={"stages": 2}))
    assert [row["batches"] for row in record.epochs] == [0, 2]
    assert record.status["target"]["reached"] is False


def test_the_rank_whose_time_is_up_ends_the_run_for_all(spec_of, monkeypatch) -> None:
    setup = Setup.of(spec_of(budget={"seconds": 1000.0}), None)
    answers = iter([[False, False, False], [False, False, True]])
    monkeypatch.setattr(setup.network, "agree", lambda *wishes: next(answers))
    trainer = Trainer(setup, None, Progress(), Times(), Observer(), lambda: None)
    trainer.train()
    assert (trainer.progress.ended_by, trainer.progress.spent.steps) == ("seconds", 2)
