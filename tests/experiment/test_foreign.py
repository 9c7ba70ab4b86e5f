"""Methods by import path in specs and runs: read, checked, trained, killed and resumed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from napts.experiment import RunSpec, SpecError, parse_spec, run
from napts.experiment.methods import foreign
from napts.experiment.methods.scheduled import Scheduled
from napts.experiment.observer import Observer
from napts.optim import StepRecord
from napts.records import load_run

SCHEDULERS = "torch.optim.lr_scheduler"
FREE = (
    *("prodigyopt.Prodigy", "schedulefree.AdamWScheduleFree", "schedulefree.SGDScheduleFree"),
    *("dadaptation.DAdaptAdam", "DoG"),
)


def spec_of(optimizer: dict[str, Any], **changes: Any) -> RunSpec:
    data = {
        "experiment": "foreign",
        "workload": {"name": "digits-cnn"},
        "budget": {"epochs": 2, "batch_size": 300},
        "execution": {"checkpoint_every_s": 0.0},
        "optimizer": optimizer,
    }
    return RunSpec.model_validate({**data, **changes})


def test_reading_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prodigyopt")
    for name in [n for n in sys.modules if n.partition(".")[0] == "prodigyopt"]:
        monkeypatch.delitem(sys.modules, name)
    scheduler = {"method": f"{SCHEDULERS}.StepLR", "step_size": 3}
    options = {"method": "prodigyopt.Prodigy", "d_coef": 2.0, "scheduler": scheduler}
    spec = spec_of(options)
    assert spec.run_key.startswith("prodigy-s0-")
    assert spec.display_label == "Prodigy"
    stored = json.loads(json.dumps(spec.as_dict()))
    assert stored["optimizer"] == {**options, "scheduler": {**scheduler, "every": "epoch"}}
    assert RunSpec.model_validate(stored).run_key == spec.run_key
    assert "prodigyopt" not in sys.modules
    spec_of({"method": "no_such_package.Optimizer"})  # a report can still be made of it
    foreign.check(spec.optimizer)
    assert "prodigyopt" in sys.modules


@pytest.mark.parametrize("method", ["Adam", "TR", "torch.optim.SGD"])
def test_what_is_not_given_is_not_told(method: str) -> None:
    spec = spec_of({"method": method})
    assert not {"scheduler", "parameters", "rest"} & spec.as_dict()["optimizer"].keys()
    assert not {"scheduler", "parameters", "rest"} & spec.optimizer.science().keys()
    other = spec_of({"method": method, "scheduler": {"method": f"{SCHEDULERS}.ConstantLR"}})
    assert other.run_key != spec.run_key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "torch.optim.Ädam"}, "optimizer.method: found 'torch.optim.Ädam', allowed: "),
        ({"method": "a..b"}, "optimizer.method: found 'a..b', allowed: an import path"),
        ({"method": "napts.TR"}, "optimizer.method: found 'napts.TR', allowed: 'TR', without"),
        (
            {"method": "a.B", "lr": float("nan")},
            "optimizer: lr: found nan, allowed: finite numbers",
        ),
        ({"method": "a.B", "parameters": "matrices"}, "found parameters without rest"),
        ({"method": "a.B", "rest": {"method": "Adam"}}, "found rest without parameters"),
        (
            {"method": "a.B", "parameters": ["x"], "rest": {"method": "NAPTS"}},
            "rest.method: found NAPTS, allowed: optimizers that take gradients as given",
        ),
        (
            {"method": "a.B", "parameters": ["x"], "rest": {"method": "Adam", "lr": -1.0}},
            "rest.lr: ",
        ),
        ({"method": "a.B", "parameters": ["x"], "rest": {"lr": 1.0}}, "rest: missing method"),
        (
            {"method": "a.B", "parameters": ["x"], "rest": {"method": "c.D", "rest": {}}},
            "rest.rest: allowed only beside rest, not in it",
        ),
        ({"method": "a.B", "scheduler": {"method": "StepLR"}}, "allowed: an import path such as"),
    ],
)
def test_what_is_refused_when_it_is_read(options: dict[str, Any], message: str) -> None:
    data = spec_of({"method": "Adam"}).as_dict()
    with pytest.raises(SpecError) as caught:
        parse_spec({**data, "optimizer": options})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "torch.optim.AdamW", "lrr": 1},
            "optimizer.lrr: torch.optim.AdamW has no such argument, did you mean lr?",
        ),
        (
            {"method": "torch.optim.AdamW", "lr": -1},
            "optimizer: torch.optim.AdamW refuses its arguments: ValueError: Invalid learning",
        ),
        ({"method": "torch.optim.Muon"}, "Muon only supports 2D parameters"),
        (
            {"method": "torch.optim.LBFGS", "parameters": "matrices", "rest": {"method": "Adam"}},
            "optimizer.rest: LBFGS evaluates the loss itself, allowed: alone",
        ),
        (
            {"method": "torch.optim.SGD", "parameters": "matrices", "rest": {"method": "a.B"}},
            "optimizer.rest.method: found 'a', which no package installed here provides",
        ),
        (
            {"method": "TR", "scheduler": {"method": f"{SCHEDULERS}.StepLR"}},
            f"optimizer.scheduler.step_size: missing, {SCHEDULERS}.StepLR needs it",
        ),
        (
            {"method": "TR", "scheduler": {"method": "torch.optim.SGD"}},
            "optimizer.scheduler.method: found 'torch.optim.SGD', which is no LRScheduler",
        ),
        (
            {
                "method": "Adam",
                "scheduler": {"method": f"{SCHEDULERS}.ReduceLROnPlateau", "every": "step"},
            },
            "optimizer.scheduler.every: found step, allowed: epoch, since",
        ),
        (
            {"method": "Adam", "scheduler": {"method": f"{SCHEDULERS}.LambdaLR", "lr_lambda": 1}},
            "LambdaLR refuses its arguments: TypeError: 'int' object is not callable",
        ),
        (
            {"method": "NAPTS", "subdomains": 4, "scheduler": {"method": f"{SCHEDULERS}.No"}},
            "which is nothing",
        ),
    ],
)
def test_what_is_refused_when_it_is_imported(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    spec = spec_of(options)
    with pytest.raises(ValueError, match="optimizer") as caught:
        foreign.check(spec.optimizer)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="optimizer"):
        run(spec, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_several_ranks_are_for_what_needs_no_sums() -> None:
    shared = {"pipeline": {"stages": 2}, "execution": {"ranks": 2}}
    assert spec_of({"method": "torch.optim.AdamW"}, **shared).shared
    with pytest.raises(
        ValueError, match=r"found prodigyopt\.Prodigy, allowed with \[pipeline\]: other"
    ):
        spec_of({"method": "prodigyopt.Prodigy"}, **shared)


def test_a_path_is_the_class_itself(tmp_path: Path) -> None:
    """torch.optim.Adam by its path gives what Adam gives by its name, to the last bit."""
    runs = [
        run(spec_of({"method": method, "lr": 0.01}), tmp_path).path
        for method in ("Adam", "torch.optim.Adam")
    ]
    first, second = (load_run(path) for path in runs)
    losses = [[row["train_loss"] for row in record.epochs] for record in (first, second)]
    assert losses[0] == losses[1]
    assert first.final == second.final
    assert first.path != second.path


class _StopAfter(Observer):
    """Fails a run after some steps, as a kill would."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_step(self, record: StepRecord, epoch: int, step: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


KILLED = [
    *({"method": method} for method in FREE),
    {
        "method": "torch.optim.Muon",
        "lr": 0.02,
        "parameters": "matrices",
        "rest": {"method": "schedulefree.AdamWScheduleFree"},
    },
    {
        "method": "torch.optim.AdamW",
        "scheduler": {
            "method": f"{SCHEDULERS}.OneCycleLR",
            "max_lr": 0.01,
            "total_steps": 20,
            "every": "step",
        },
    },
    {
        "method": "TR",
        "scheduler": {"method": f"{SCHEDULERS}.ReduceLROnPlateau", "patience": 0, "threshold": 9.0},
    },
]


@pytest.mark.parametrize("options", KILLED, ids=lambda o: o["method"] + "+" * (len(o) > 1))
def test_killed_and_resumed_to_the_last_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    """Within an epoch and between two; with a checkpoint after every step, or none within."""
    pytest.importorskip("prodigyopt")
    spec = spec_of(options)
    whole = spec_of(options, execution={"checkpoint_every_s": 600.0})
    expected = load_run(run(whole, tmp_path / "whole").path)
    for steps in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            run(spec, tmp_path / "killed", observer=_StopAfter(steps))
    outcome = run(spec, tmp_path / "killed")
    found = load_run(outcome.path)
    assert outcome.state == "done"
    assert len(found.restarts) == 3
    columns = ("train_loss", "val_loss", "val_accuracy", "forwards", "backwards")
    assert [[row[c] for c in columns] for row in found.epochs] == [
        [row[c] for c in columns] for row in expected.epochs
    ]
    assert found.final == expected.final
    assert len({row["val_loss"] for row in found.epochs}) == 3


def test_schedules_go_by_steps_or_epochs() -> None:
    def rates(every: str, method: str = "StepLR", **arguments: Any) -> list[float]:
        scheduler = {"method": f"{SCHEDULERS}.{method}", "every": every, **arguments}
        optimizer = _built({"method": "torch.optim.SGD", "lr": 1.0, "scheduler": scheduler})
        assert isinstance(optimizer, Scheduled)
        weight, found = optimizer.optimizer.param_groups[0]["params"][0], []
        for _ in range(2):
            for _ in range(2):
                optimizer.step(lambda: (weight**2).sum())
                found.append(optimizer.optimizer.param_groups[0]["lr"])
            optimizer.finish_epoch(1.0)
        return [*found, optimizer.optimizer.param_groups[0]["lr"]]

    halves = {"step_size": 1, "gamma": 0.5}
    assert rates("step", **halves) == [0.5, 0.25, 0.125, 0.0625, 0.0625]
    assert rates("epoch", **halves) == [1.0, 1.0, 0.5, 0.5, 0.25]
    plateau = rates("epoch", "ReduceLROnPlateau", patience=0, factor=0.5)
    assert plateau == [1.0, 1.0, 1.0, 1.0, 0.5]


def _built(options: dict[str, Any]) -> Any:
    from napts.experiment import build_optimizer

    torch.manual_seed(0)
    return build_optimizer(spec_of(options).optimizer, torch.nn.Linear(2, 2))
