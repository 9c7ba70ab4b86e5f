"""Runs of problems that are no classification: recorded, interrupted, resumed, pipelined."""

import random
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import napts
from napts.experiment import run
from napts.experiment.observer import Observer
from napts.experiment.spec.run_spec import RunSpec
from napts.problems import register_problem, registry
from napts.records.read import load_run
from tests.helpers import rank_runs


@pytest.fixture(autouse=True)
def names(monkeypatch):
    monkeypatch.setattr(registry, "_PROBLEMS", dict(registry._PROBLEMS))


class Noisy(Dataset):
    """Draws its inputs whenever they are read, by three kinds of random numbers."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int):
        noise = torch.rand(()).item() + numpy.random.rand() + random.random()
        return torch.tensor([index / 20, noise]), torch.tensor([index / 20])


class Own(napts.Regression):
    """A loader, augmentation and dropout: whatever may go wrong in a resumed epoch."""

    batch_size = 4

    def network(self):
        return nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1))

    def data(self, root=None):
        return DataLoader(Noisy(), batch_size=4, shuffle=True), Noisy(), Noisy()

    def augment(self, batch):
        inputs, targets = batch
        return inputs + 0.1 * torch.randn(inputs.shape), targets


class Mapped(Own):
    def data(self, root=None):
        return Noisy(), Noisy(), DataLoader(Noisy(), batch_size=7)


class Stopper(Observer):
    def __init__(self, epoch: int, step: int) -> None:
        self._at = (epoch, step)

    def on_step(self, record, epoch: int, step: int) -> None:
        if (epoch, step) == self._at:
            raise KeyboardInterrupt


def spec_of(workload, method: str = "NAPTS", epochs: int = 2, **more) -> RunSpec:
    return RunSpec.model_validate(
        {
            "experiment": "tests",
            "workload": workload if isinstance(workload, dict) else {"name": workload},
            "optimizer": {"method": method},
            "budget": {"epochs": epochs},
            "execution": {"checkpoint_every_s": 0},
            **more,
        }
    )


def numbers(path: Path):
    record = load_run(path)
    losses = [row["loss"] for row in record.steps]
    return losses, [{k: v for k, v in row.items() if k.startswith("val_")} for row in record.epochs]


@pytest.mark.parametrize("kind", [Own, Mapped])
def test_a_resumed_run_sees_the_batches_that_it_would_have_seen(kind, tmp_path: Path):
    register_problem("own")(kind)
    spec = spec_of("own")
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "a", observer=Stopper(2, 3))
    resumed = run(spec, tmp_path / "a")
    whole = run(spec, tmp_path / "b")
    assert resumed.state == whole.state == "done"
    assert len(load_run(resumed.path).restarts) == 2
    assert resumed.final == whole.final
    losses, rows = numbers(resumed.path)
    assert (losses, rows) == numbers(whole.path)
    assert len(losses) == 10
    assert set(rows[-1]) == {"val_loss", "val_r2", "val_rmse"}


def test_an_equation_is_solved_in_full_batches(tmp_path: Path):
    workload = {"name": "poisson-pinn", "points": 32, "hidden": 8}
    spec = spec_of(workload, epochs=4, precision="float64")
    outcome = run(spec, tmp_path)
    losses, rows = numbers(outcome.path)
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert set(rows[-1]) == {"val_loss", "val_relative_error"}
    assert spec.as_dict()["budget"]["batch_size"] == "full"


def test_a_batch_size_that_is_not_the_loaders_is_refused_before_training(tmp_path):
    register_problem("own")(Own)
    spec = spec_of("own", budget={"epochs": 1, "batch_size": 5})
    with pytest.raises(ValueError, match=r"budget.batch_size: found 5, allowed: 4, that of the Da"):
        run(spec, tmp_path)
    assert not any(path.read_text() for path in tmp_path.rglob("epochs.jsonl"))


def test_regression_runs_on_a_pipeline_with_the_same_metrics(tmp_path: Path):
    whole = run(spec_of("diabetes-mlp"), tmp_path / "a")
    spread = run(spec_of("diabetes-mlp", pipeline={"micro_batches": 1}), tmp_path / "b")
    assert spread.final == pytest.approx(whole.final, rel=1e-4)
    assert set(spread.final) >= {"val_r2", "test_rmse", "val_loss"}


def test_a_language_model_runs_on_a_pipeline(tmp_path: Path):
    workload = {"name": "text-gpt", "train_samples": 32, "validation_size": 8, "test_size": 8}
    found = run(spec_of(workload, "TR", 1, pipeline={"stages": 4}), tmp_path)
    assert found.state == "done"
    assert "test_bits_per_character" in found.final


def test_a_loss_of_the_whole_network_is_refused_on_a_pipeline():
    message = r"found cancer-logistic, allowed with \[pipeline\]: .* CancerLogistic is not"
    with pytest.raises(ValueError, match=message):
        spec_of("cancer-logistic", "TR", pipeline={"stages": 1})


RANKS = """
experiment = "ranks"
workload = { name = "diabetes-mlp" }
optimizer = { method = "TR" }
budget = { epochs = 1 }
pipeline = { stages = 2 }
"""


def test_two_ranks_find_the_metrics_of_one(tmp_path: Path):
    (tmp_path / "spec.toml").write_text(RANKS)
    rank_runs.finish(tmp_path, 2)
    alone = run(spec_of("diabetes-mlp", "TR", 1, pipeline={"stages": 2}), tmp_path / "alone")
    found = rank_runs.status(tmp_path)["final"]
    assert found == pytest.approx(dict(alone.final), rel=1e-5)
    assert "test_r2" in found
