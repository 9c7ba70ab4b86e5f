"""A problem and an optimizer of a user's, as files; written by the tests into folders of theirs."""

import textwrap
from pathlib import Path

import pytest

from napts.experiment.methods import registry as methods
from napts.problems import registry as problems

PROBLEM = """
import napts, torch
from torch import nn
{imports}

@napts.register_problem("line")
class Line(napts.Classification):
    batch_size, subdomains = 20, 2

    def network(self):
        return nn.Sequential(nn.Linear(3, {width}), nn.Tanh(), nn.Linear({width}, 2))

    def data(self, root=None):
        inputs = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
        targets = (inputs.sum(1) > 0).long()
        parts = zip(inputs.split((60, 40, 20)), targets.split((60, 40, 20)))
        return tuple(parts)
{more}
"""
METHOD = """
import napts, torch

@napts.register_method("plain")
class Plain(torch.optim.SGD):
    def __init__(self, params, *, lr: float = 0.05):
        super().__init__(params, lr=lr)
"""
SPEC = """
experiment = "own"
seeds = [0]
[workload]
name = "line"
[budget]
epochs = {epochs}
[[methods]]
method = "NTR"
[[methods]]
method = "Adam"
"""


def write_problem(
    folder: Path, *, width: object = 4, imports: str = "", more: str = "", epochs: int = 1
) -> Path:
    """Write ``line.py`` and ``line.toml``, and return the first."""
    folder.mkdir(parents=True, exist_ok=True)
    text = PROBLEM.format(width=width, imports=imports, more=more)
    (folder / "line.py").write_text(text)
    (folder / "line.toml").write_text(SPEC.format(epochs=epochs))
    return folder / "line.py"


FAILING = """
import napts, torch
from torch import nn

class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        {sample}
        return torch.full((3,), index / 40), torch.ones(1)

@napts.register_problem("{name}")
class Own(napts.Problem):
    primary = ("error", "min")

    def __init__(self, options=None):
        super().__init__(options)
        {problem}

    def network(self):
        {network}
        return nn.Linear(3, 1)

    def data(self, root=None):
        {data}
        return Samples(), Samples(), Samples()

    def loss(self, model, batch):
        inputs, targets = batch
        {loss}
        return ((model(inputs) - targets) ** 2).mean()

    def metrics(self, model, samples):
        {metrics}
        return {{"error": 1.0}}

    def augment(self, batch):
        {augment}
        return batch

@napts.register_method("{name}")
class Descent(torch.optim.SGD):
    def __init__(self, params, *, lr: float = 0.1):
        {constructor}
        super().__init__(params, lr)

    def step(self, closure):
        {step}
        return super().step(closure)

    def train(self):
        {train}

    def eval(self):
        {eval}

    def state_dict(self):
        {state}
        return super().state_dict()
"""
"""Where something bad may stand: in every part of a problem and of an optimizer."""

IN_A_RUN = (
    *("network", "data", "sample", "loss", "metrics", "augment"),
    *("constructor", "step", "train", "eval", "state"),
)
"""The parts that a run calls; ``problem``, the constructor, is called when a spec is read."""


def write_failing(folder: Path, name: str, **bad: str) -> Path:
    """Write a problem and an optimizer of that name, with bad code in some of their parts."""
    parts = {part: bad.pop(part, "pass") for part in (*IN_A_RUN, "problem")}
    assert not bad, bad
    file = folder / f"{name.replace('-', '_')}.py"
    file.write_text(textwrap.dedent(FAILING).format(name=name, **parts))
    return file


def forget_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test registers end with the test."""
    for place, table in ((problems, "_PROBLEMS"), (methods, "_METHODS")):
        monkeypatch.setattr(place, table, dict(getattr(place, table)))


def line_of(text: str, file: Path) -> int:
    """Return the number of the first line with a text."""
    return next(n for n, line in enumerate(file.read_text().splitlines(), 1) if text in line)
