"""What is remembered follows the parameters that are trained."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim.vectors import Layout
from tests.helpers.networks import ALL_METHODS, batch, closure, make, plain, same, snapshot


def _run(optimizer: Any, model: nn.Module, first: int, last: int) -> list[float]:
    return [optimizer.step(closure(model, batch(step % 3))) for step in range(first, last)]


def _memory(optimizer: Any) -> dict[str, Any]:
    return optimizer.state_dict()["state"][0]


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((method, {}) for method in ALL_METHODS),
    ("TR", {"order": 2}),
    ("NTR", {"history_scope": "reeval"}),
    ("NTR", {"history": "constant-memory", "history_scope": "reeval", "order": 2}),
    ("APTSW", {"order": 2}),
    ("NAPTS", {"history_scope": "reeval", "moments": "kept"}),
    ("NAPTS", {"last_block_exact": True}),
    ("APTS", {"shares": "joint", "local_fraction": 0.5}),
]


@pytest.mark.parametrize(("method", "options"), VARIANTS)
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_stage_can_be_frozen_and_unfrozen(
    method: str, options: dict[str, Any], stage: int
) -> None:
    model = plain()
    frozen = model[2 * stage]
    optimizer = make(method, model, **options)
    _run(optimizer, model, 0, 4)
    frozen.requires_grad_(False)
    before = copy.deepcopy(frozen.state_dict())
    losses = _run(optimizer, model, 4, 10)
    assert same(before, frozen.state_dict())
    assert losses[-1] < losses[0]
    frozen.requires_grad_(True)
    _run(optimizer, model, 10, 14)
    assert not same(before, frozen.state_dict())


@pytest.mark.parametrize(("method", "options"), VARIANTS)
def test_part_of_a_stage_can_be_frozen(method: str, options: dict[str, Any]) -> None:
    model = plain()
    optimizer = make(method, model, **options)
    _run(optimizer, model, 0, 4)
    model[0].weight.requires_grad_(False)
    model[6].bias.requires_grad_(False)
    before = model[0].weight.clone(), model[6].bias.clone()
    _run(optimizer, model, 4, 8)
    assert torch.equal(before[0], model[0].weight)
    assert torch.equal(before[1], model[6].bias)


@pytest.mark.parametrize(("method", "options"), VARIANTS)
def test_frozen_from_the_first_step_on(method: str, options: dict[str, Any]) -> None:
    """A stage that is frozen before the first step is as if the others were all there is."""
    model = plain()
    optimizer = make(method, model, **options)
    model[2].requires_grad_(False)
    losses = _run(optimizer, model, 0, 8)
    assert losses[-1] < losses[0]


def test_nothing_left_to_train() -> None:
    for method in ALL_METHODS:
        model = plain()
        optimizer = make(method, model)
        _run(optimizer, model, 0, 1)
        model.requires_grad_(False)
        with pytest.raises(ValueError, match=f"{method}: no parameter requires a gradient"):
            _run(optimizer, model, 1, 2)


def test_empty_blocks_are_left_out() -> None:
    blocks = [[], [torch.ones(2)], [], [torch.ones(3), torch.ones(1)], []]
    layout = Layout(blocks)
    assert layout.subdomains == [1, 3]
    assert layout.sizes == [2, 4]
    assert layout.last_subdomain == 4


def test_remembered_iterates_are_completed_with_present_values() -> None:
    """In a new order, without what was frozen, with what was added."""
    model = plain()
    frozen, late = model[0], model[6]
    early = [p for layer in model[:6] for p in layer.parameters()]
    optimizer = napts.NTR(early, history_scope="reeval")
    past = [p.detach().clone() for p in early]
    _run(optimizer, model, 0, 1)
    frozen.requires_grad_(False)
    optimizer.add_param_group({"params": list(late.parameters())})
    present = [p.detach().clone() for p in late.parameters()]
    _run(optimizer, model, 1, 2)
    theta = _memory(optimizer)["histories"][0]["entries"][0]["theta"]
    assert torch.equal(theta[0], torch.cat([p.reshape(-1) for p in past[2:]]))
    assert torch.equal(theta[1], torch.cat([p.reshape(-1) for p in present]))


def test_pairs_are_forgotten_with_other_parameters() -> None:
    model = plain()
    optimizer = make("TR", model, order=2)
    _run(optimizer, model, 0, 5)
    assert _memory(optimizer)["local_model"]["pairs"]
    model[0].requires_grad_(False)
    _run(optimizer, model, 5, 6)
    assert not _memory(optimizer)["local_model"]["pairs"]
    _run(optimizer, model, 6, 9)
    assert _memory(optimizer)["local_model"]["pairs"]


def test_moments_go_on_where_nothing_has_changed() -> None:
    """Not where sizes agree alone: two biases of one size change places here."""
    torch.manual_seed(0)
    layers = [nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)]
    model = nn.Sequential(*layers).double()
    optimizer = make("NAPTS", model, moments="kept")
    model[1].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    _run(optimizer, model, 0, 3)
    assert _memory(optimizer)["moments"]["count"] == 3
    model[1].weight.requires_grad_(True)
    model[1].bias.requires_grad_(False)
    model[0].requires_grad_(False)
    _run(optimizer, model, 3, 4)
    moments = _memory(optimizer)["moments"]
    assert moments["counts"] == [1, 4, 4]
    other = make("NAPTS", copy.deepcopy(model).requires_grad_(True), moments="kept")
    other.load_state_dict(optimizer.state_dict())
    assert _memory(other)["moments"]["counts"] == [1, 4, 4]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("NTR", {"order": 2, "history_scope": "reeval"}),
        ("NAPTS", {"moments": "kept", "history_scope": "reeval"}),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resumed_run_follows_as_well(method: str, options: dict[str, Any], when: str) -> None:
    """Frozen between saving and the next step, whether before or after loading."""
    runs = []
    for resumed in (False, True):
        model = plain()
        optimizer = make(method, model, **options)
        model[4].requires_grad_(False)
        losses = _run(optimizer, model, 0, 5)
        saved = copy.deepcopy(optimizer.state_dict())
        model.requires_grad_(True)
        if resumed:
            optimizer = make(method, model, **options)
        model[2].requires_grad_(when == "after")
        if resumed:
            optimizer.load_state_dict(saved)
        model[2].requires_grad_(False)
        runs.append((losses + _run(optimizer, model, 5, 9), snapshot(model)))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])


def test_a_state_of_other_parameters_is_refused() -> None:
    model = plain()
    optimizer = make("NTR", model, history_scope="reeval")
    _run(optimizer, model, 0, 2)
    saved = optimizer.state_dict()
    other = nn.Sequential(*[nn.Linear(6, 6) for _ in range(4)]).double()
    with pytest.raises(ValueError, match="state dict has vectors of"):
        make("NTR", other, history_scope="reeval").load_state_dict(saved)


class _Mixed(nn.Module):
    """A layer in single precision first, so that torch would cast everything to it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 8).double()
        self.third = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(inputs.float())).double()
        return self.third(torch.tanh(self.second(hidden)).float())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("TR", {"order": 2}),
        ("NTR", {"history_scope": "reeval"}),
        ("NTR", {"history": "constant-memory", "history_scope": "reeval", "order": 2}),
        ("NAPTS", {"moments": "kept", "history_scope": "reeval"}),
    ],
)
def test_mixed_dtypes_resume_to_the_last_bit(method: str, options: dict[str, Any]) -> None:
    def optimizer_of(model: nn.Module) -> Any:
        if method == "NAPTS":
            return napts.NAPTS(napts.partition_layers(model, 3), **options)
        return getattr(napts, method)(model.parameters(), **options)

    runs = []
    for resumed in (False, True):
        model = _Mixed()
        optimizer = optimizer_of(model)
        losses = _run(optimizer, model, 0, 6)
        if resumed:
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            optimizer = optimizer_of(model)
            optimizer.load_state_dict(torch.load(file, weights_only=True))
        losses += _run(optimizer, model, 6, 14)
        runs.append((losses, snapshot(model)))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])


class _Sets:
    """Subdomains that are whatever of two layers is trained now."""

    def __init__(self, *layers: nn.Module) -> None:
        self._layers = layers

    @property
    def parameter_sets(self) -> list[list[Tensor]]:
        return [[p for p in layer.parameters() if p.requires_grad] for layer in self._layers]


@pytest.mark.parametrize("frozen", ["all of a subdomain", "a bias"])
def test_what_is_unfrozen_later_is_trained(frozen: str) -> None:
    """Although no parameter group knew of it, and as if it had been there."""
    models = plain(), plain()
    model = models[0]
    part = model[2] if frozen.startswith("all") else model[2].bias
    part.requires_grad_(False)
    late, early = (napts.APTSW(_Sets(*(m[i] for i in (0, 2, 4, 6)))) for m in models)
    part.requires_grad_(True)
    for step in range(4):
        data = batch(step % 3)
        assert late.step(closure(models[0], data)) == early.step(closure(models[1], data))
    assert sum(len(group["params"]) for group in late.param_groups) == 8


def test_what_was_frozen_when_it_was_dealt_belongs_to_nobody() -> None:
    model = plain()
    next(model.parameters()).requires_grad_(False)
    optimizer = napts.APTSW(napts.deal_parameters(model, 3))
    optimizer.step(closure(model, batch()))
    next(model.parameters()).requires_grad_(True)
    with pytest.raises(napts.PartitionError, match=r"of no subdomain: 0.weight .* deal_parameters"):
        optimizer.step(closure(model, batch()))
