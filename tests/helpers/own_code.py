"""A problem and an optimizer of a user's, as files; written by the tests into folders of theirs."""

from pathlib import Path

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
