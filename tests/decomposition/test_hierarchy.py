"""Hierarchies of residual networks: transfers, who stands where, what is refused."""

import copy
import pickle
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.decomposition import squares_in_time
from napts.optim import vectors
from napts.optim.multilevel.time_transfers import TRANSFERS, TimeTransfer
from tests.helpers.residual import WIDTH, network, random, samples, write

DEPTHS: dict[TimeTransfer, list[int]] = {
    "cell": [2, 4, 8],
    "nodal": [3, 5, 9],
    "nodal-weighted": [3, 5, 9],
}
NAMES = list(TRANSFERS)


class TwoStages(nn.Module):
    """A user's own: two lists of blocks of different width, other names, no class of ours."""

    class Part(nn.Module):
        def __init__(self, channels: int, depth: int) -> None:
            super().__init__()
            self.steps = nn.ModuleList(
                nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)
            )

        def forward(self, y: Tensor) -> Tensor:
            for step in self.steps:
                y = y + torch.relu(step(y)) / len(self.steps)
            return y

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.widen = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 6, 3, stride=2)
        self.early, self.late = self.Part(3, 4), self.Part(6, 8)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.late(self.widen(self.early(self.stem(x))))
        return self.head(y.mean((2, 3)))


@torch.no_grad()
@pytest.mark.parametrize("transfer", NAMES)
def test_transfers_are_adjoint_and_projections_undo_prolongations(transfer: TimeTransfer) -> None:
    depths = DEPTHS[transfer]
    hierarchy = napts.residual_hierarchy(network(depths[-1]), 3, transfer=transfer)
    assert hierarchy.depths == depths
    for level, move in enumerate(hierarchy.transfers):
        coarse, fine = hierarchy.layouts[level], hierarchy.layouts[level + 1]
        g, s = random(fine, 1), random(coarse, 2)
        lifted = move.prolong(s)
        assert vectors.dot(move.restrict(g), s) == pytest.approx(vectors.dot(g, lifted))
        back = move.project(lifted)
        assert all(map(torch.equal, back, s)) == move.exact == (transfer != "nodal-weighted")
        for kind in ("l2", "inf"):
            length, stretched = vectors.norm(s, kind), vectors.norm(lifted, kind)
            assert stretched <= move.stretch * length
        assert vectors.norm(lifted, "inf") == vectors.norm(s, "inf")


def test_lengths_under_the_transfer_of_cells() -> None:
    """``||I s||_2 = sqrt(2) ||s||_2`` on the blocks; the other layers are copied."""
    hierarchy = napts.residual_hierarchy(network(8), 2)
    step = random(hierarchy.layouts[0], 3)
    common, stage = hierarchy.transfers[0].prolong(step)
    assert torch.equal(common, step[0])
    assert vectors.norm([stage], "l2") == pytest.approx(2**0.5 * vectors.norm([step[1]], "l2"))


@torch.no_grad()
@pytest.mark.parametrize("transfer", NAMES)
def test_a_prolonged_network_is_the_coarse_one_but_for_the_step_length(
    transfer: TimeTransfer,
) -> None:
    """The difference of the outputs halves when the number of blocks doubles."""
    kind, inputs = TRANSFERS[transfer], samples()[0]
    grid: Any = "cells" if transfer == "cell" else "nodes"
    deepest = [16]
    for _ in range(4):
        deepest.append(kind.finer(deepest[-1]))
    model = napts.residual_network(
        nn.Linear(2, WIDTH),
        [nn.Linear(WIDTH, WIDTH) for _ in range(deepest[-1])],
        nn.Linear(WIDTH, 1),
        grid=grid,
    ).double()
    hierarchy = napts.residual_hierarchy(model, 5, transfer=transfer)
    common, stage = vectors.scale(0.5, random(hierarchy.layouts[0], 4))
    rows, times = stage.view(16, -1), torch.linspace(0, 1, 16, dtype=torch.float64)
    theta, outputs = [common, (rows[0] + times[:, None] * rows[1]).reshape(-1)], []
    for level in range(5):
        write(hierarchy, level, theta)
        with hierarchy.at(level):
            outputs.append(model(inputs))
        if level < 4:
            theta = hierarchy.transfers[level].prolong(theta)
    gaps = [(b - a).abs().max().item() for a, b in pairwise(outputs)]
    for gap, next_gap in pairwise(gaps):
        assert 1.7 < gap / next_gap < 2.3


@torch.no_grad()
def test_the_penalty_of_a_prolonged_network_is_that_of_the_coarse_one() -> None:
    model = network(8)
    hierarchy = napts.residual_hierarchy(model, 2)
    theta = random(hierarchy.layouts[0], 5)
    write(hierarchy, 0, theta)
    with hierarchy.at(0):
        coarse = squares_in_time(model)
    write(hierarchy, 1, hierarchy.transfers[0].prolong(theta))
    torch.testing.assert_close(squares_in_time(model), coarse)


def test_a_network_of_the_users_own_with_two_stages() -> None:
    torch.manual_seed(0)
    model = TwoStages()
    with pytest.raises(ValueError, match="found TwoStages without residual blocks"):
        napts.residual_hierarchy(model)
    hierarchy = napts.residual_hierarchy(model, 3, blocks="steps")
    assert hierarchy.depths == [3, 6, 12]
    x, y = torch.randn(30, 1, 8, 8), torch.randint(2, (30,))
    optimizer = napts.RMTR(hierarchy)
    losses = [optimizer.step(lambda: nn.functional.cross_entropy(model(x), y)) for _ in range(8)]
    assert losses[-1] < losses[0]
    assert len(model.late.steps) == 8
    assert optimizer.last_step is not None
    assert optimizer.last_step.work_level_1 == pytest.approx(5 * 0.25, abs=1.01)


def test_who_stands_where() -> None:
    model = network(8)
    hierarchy = napts.residual_hierarchy(model, 3)
    own, names = list(blocks_of(model)), list(model.state_dict())
    with hierarchy.at(0):
        assert len(blocks_of(model)) == 2
        assert not set(blocks_of(model)) & set(own)
    with pytest.raises(RuntimeError), hierarchy.at(1):
        raise RuntimeError
    assert list(blocks_of(model)) == own
    assert list(model.state_dict()) == names
    assert sum(map(torch.numel, hierarchy.parameters)) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_are_of_another_network(copied: Any) -> None:
    hierarchy = napts.residual_hierarchy(network(4), 2)
    other = copied(hierarchy)
    other.follow()
    assert other.model is not hierarchy.model
    inside = {id(p) for p in other.model.parameters()}
    assert {id(p) for p in other.parameters} == inside


def test_it_follows_the_type_and_refuses_other_parameters() -> None:
    model = network(4)
    hierarchy = napts.residual_hierarchy(model, 2)
    model.float()
    hierarchy.follow()
    with hierarchy.at(0):
        assert all(p.dtype == torch.float32 for p in model.parameters())
    next(model[0].parameters()).requires_grad_(False)
    with pytest.raises(ValueError, match="the trained parameters have changed"):
        hierarchy.follow()


class Fixed(nn.Module):
    """It does not go through its list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(4))
        self.kept = tuple(self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.kept:
            x = x + torch.tanh(block(x)) / len(self.kept)
        return x


def test_a_forward_that_does_not_go_through_its_list_is_refused() -> None:
    model, x = Fixed(), samples()[0].float()
    optimizer = napts.RMTR(napts.residual_hierarchy(model, 2))
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match="forward\\(\\) takes its blocks from"):
        optimizer.step(lambda: model(x).square().mean())
    assert all(map(torch.equal, before, model.parameters()))


def blocks_of(model: nn.Sequential) -> nn.ModuleList:
    stage = model[2]
    assert isinstance(stage, napts.ResidualStage)
    return stage.blocks


def _with(block: nn.Module) -> nn.Sequential:
    model = network(4)
    blocks_of(model)[1] = block
    return model


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (nn.Linear(2, 2), {}, "found Linear without residual blocks"),
        (network(12), {"levels": 4}, "found 4, allowed: 1 to 3 for a stage of 12 blocks"),
        (network(8), {"levels": 2, "transfer": "nodal"}, "allowed: 1 to 1 .* to 2 n - 1"),
        (network(8), {"levels": 0}, "Invalid levels: 0, must be integer >= 1"),
        (network(8), {"transfer": "linear"}, "must be one of cell, nodal, nodal-weighted"),
        (_with(nn.Linear(4, 4, bias=False).double()), {"levels": 2}, "different parameters"),
        (_with(nn.Dropout(0.5)), {"levels": 2}, r"found Dropout at 2\.blocks\.1"),
        (_with(nn.BatchNorm1d(4)), {"levels": 2}, "found BatchNorm1d"),
        (network(4).requires_grad_(False), {"levels": 2}, "blocks without trained parameters"),
    ],
)
def test_what_is_refused(model: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        napts.residual_hierarchy(model, **options)


def test_shared_blocks_are_refused() -> None:
    one = nn.Linear(4, 4)
    with pytest.raises(ValueError, match="parameters that blocks share"):
        napts.residual_hierarchy(napts.ResidualStage([one, one]), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": []}, "blocks: found none"),
        ({"time": 0.0}, "Invalid time: 0.0, must be above 0"),
        ({"grid": "points"}, "Invalid grid: points"),
    ],
)
def test_stages_that_are_none(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        napts.ResidualStage(**{"blocks": [nn.Linear(1, 1)], **arguments})
