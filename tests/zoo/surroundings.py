"""Loops whose surroundings do something of their own: processes, scalers, clipping, Lightning."""

import functools
import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.parallel.conftest import torchrun
from tests.zoo import two_processes
from tests.zoo.packages import load
from tests.zoo.problems import STEPS, batch, fallen, make, network, trains

cross_entropy = nn.functional.cross_entropy


@functools.cache
def _told() -> list[dict[str, Any]]:
    """Return what each of two processes told, which have trained with every method."""
    with tempfile.TemporaryDirectory() as folder:
        ended = torchrun(2, two_processes.__file__, folder)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(2)]


def data_parallel(method: str) -> None:
    """Two gloo processes, each with half of a batch, take the same steps."""
    first, second = (told[method] for told in _told())
    assert first["parameters"] == second["parameters"]  # to the last bit
    assert fallen(first["before"], first["after"])


def scaled(method: str) -> None:
    """As the documentation of torch.amp writes it."""
    model, (inputs, targets) = network(), batch()
    chosen, scaler = make(method, model), torch.amp.GradScaler("cpu")
    scaler.scale(cross_entropy(model(inputs), targets)).backward()
    scaler.step(chosen)


def clipped(method: str) -> None:
    """A loop that has kept its backward and its clipping."""
    model, (inputs, targets) = network(), batch()
    chosen = make(method, model)

    def backward() -> None:
        cross_entropy(model(inputs), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    def step(times: int) -> None:
        for _ in range(times):
            backward()
            chosen.step(lambda: cross_entropy(model(inputs), targets))

    before = float(cross_entropy(model(inputs), targets).detach())
    with pytest.warns(UserWarning, match="clipping them has no effect") as found:
        step(STEPS)
    assert len(found) == 1
    assert fallen(before, float(cross_entropy(model(inputs), targets).detach()))


def _lightning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load("pytorch_lightning")


def _module(method: str, *, manual: bool) -> tuple[Any, nn.Module]:
    """Return a LightningModule and its network."""
    net = network()

    class Module(_lightning().LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.automatic_optimization = not manual

        def training_step(self, pair: list[Tensor], _index: int) -> Tensor | None:
            inputs, targets = pair
            if not manual:
                return cross_entropy(self.net(inputs), targets)
            self.optimizers().step(lambda: cross_entropy(self.net(inputs), targets))
            return None

        def configure_optimizers(self) -> Any:
            return make(method, self.net)

    return Module(), net


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advice about workers and logging."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _fit(method: str, *, manual: bool) -> None:
    module, net = _module(method, manual=manual)
    inputs, targets = batch()
    switches = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    before = float(cross_entropy(net(inputs), targets).detach())
    with _quiet():
        trainer = _lightning().Trainer(
            accelerator="cpu", devices=1, max_epochs=STEPS // 2, **dict.fromkeys(switches, False)
        )
        trainer.fit(module, DataLoader(TensorDataset(inputs, targets), len(inputs) // 2))
    assert fallen(before, float(cross_entropy(net(inputs), targets).detach()))


lightning_by_hand = functools.partial(_fit, manual=True)
lightning_automatic = functools.partial(_fit, manual=False)


def zeroed(method: str) -> None:
    """A loop that calls ``zero_grad`` before every step, as one is used to."""
    model, (inputs, targets) = network(), batch()
    chosen = make(method, model)
    assert isinstance(chosen, torch.optim.Optimizer)

    def closure() -> Tensor:
        return cross_entropy(model(inputs), targets)

    trains(chosen, model, closure, after=chosen.zero_grad)
