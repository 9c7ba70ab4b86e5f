"""Which parameters an optimizer gets where another one gets the rest."""

import pytest
import torch
from torch import nn

from napts.experiment.methods.parameter_filters import Filter, divide


class SmallGPT(nn.Module):
    """Embeddings, two blocks, and a last layer that shares its weight with the first."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(11, 8), nn.Embedding(5, 8)
        self.blocks = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 8))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 11, bias=False)
        if tied:
            self.head.weight = self.tokens.weight


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 7), nn.Linear(7, 2))


def _cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5), nn.Linear(5, 2))


BLOCKS = ["blocks.0.weight", "blocks.1.weight"]


@pytest.mark.parametrize(
    ("model", "chosen", "names"),
    [
        (_mlp(), "matrices", ["1.weight", "2.weight"]),
        (_cnn(), "matrices", ["2.weight"]),
        (SmallGPT(tied=False), "matrices", BLOCKS),
        (SmallGPT(tied=True), "matrices", BLOCKS),
        (
            SmallGPT(tied=True),
            ("blocks.*",),
            [n for b in "01" for n in (f"blocks.{b}.weight", f"blocks.{b}.bias")],
        ),
        (_mlp(), ("0.*", "?.bias"), ["0.weight", "0.bias", "1.bias", "2.bias", "3.bias"]),
    ],
)
def test_every_parameter_has_one_place(model: nn.Module, chosen: Filter, names: list[str]) -> None:
    first, rest = divide(model, chosen)
    named = {id(p): n for n, p in model.named_parameters()}
    assert [named[id(p)] for p in first] == names
    assert sorted(named[id(p)] for p in [*first, *rest]) == sorted(named.values())


@pytest.mark.parametrize(
    ("model", "chosen", "message"),
    [
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), "matrices", "matrices matches none of"),
        (nn.LayerNorm(3), "matrices", "matrices matches none of the network's trained parameters"),
        (_mlp(), ("*",), r"\* matches all of the network's trained parameters"),
        (_mlp(), ("0.*", "9.*"), r"'9\.\*' matches no parameter, allowed: patterns of 0\.weight"),
    ],
)
def test_what_divides_nothing(model: nn.Module, chosen: Filter, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divide(model, chosen)


def test_frozen_parameters_do_not_count() -> None:
    model = _mlp()
    model[1].weight.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    with pytest.raises(ValueError, match="matrices matches none of the network's trained"):
        divide(model, "matrices")


def test_muon_takes_the_matrices() -> None:
    first, rest = divide(_mlp(), "matrices")
    torch.optim.Muon(first)
    with pytest.raises(ValueError, match="2D"):
        torch.optim.Muon(rest)
