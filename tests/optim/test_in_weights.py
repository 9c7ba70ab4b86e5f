"""APTS in weights: against the flat-vector reference, its budget of passes and of the radius."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import napts
from napts.optim import vectors
from napts.optim.local_model import FirstOrder
from napts.optim.objective import Objective
from napts.optim.quadratic_model import SecondOrder
from napts.optim.record import PassCounts
from tests.helpers.networks import batch, closure, noisy, plain, same, snapshot
from tests.helpers.problems import SIZES, batches, flat, network, start_from
from tests.reference.in_weights import InWeights, WeightsOptions
from tests.reference.mlp import MLPProblem

WIDE = {"radius": 0.5, "radius_min": 0.2, "radius_max": 1.0}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"forced_decrease": True},
    {"forced_decrease": True, **WIDE},
    {"forced_decrease": True, "correction": (0.5,), **WIDE},
    {"forced_decrease": True, "correction": (0.5, 0.2, 0.5), **WIDE},
    {"forced_decrease": True, "forced_as": "sequential_code", **WIDE},
    {"forced_decrease": True, "forced_as": "code_2024", **WIDE},
    {**napts.preset("APTSW", "apts-2023-code"), **WIDE},
    {"order": 2},
    {"order": 2, "forced_decrease": True, **WIDE},
    {"order": 2, "pairs": 2, "local_steps": 3},
    {"local_steps": 1},
    {"local_budget": 0.5, "direction": "sign"},
    {"norm": "l2", "radius": 0.1, "radius_min": 1e-3, "radius_max": 2.0},
    {"max_tries": 4, **WIDE},
    {**WIDE},
]


def _indices(model: nn.Module, sets: napts.ParameterSubsets) -> list[np.ndarray]:
    places, start = {}, 0
    for name, parameter in model.named_parameters():
        places[name] = np.arange(start, start + parameter.numel())
        start += parameter.numel()
    return [np.concatenate([places[name] for name in names]) for names in sets.names]


def _take_over_pairs(
    reference: InWeights, optimizer: napts.APTSW, model: nn.Module, sets: napts.ParameterSubsets
) -> None:
    family = optimizer._method.local_model
    if not isinstance(family, SecondOrder):
        return
    order = np.argsort(np.concatenate(_indices(model, sets)))

    def flat(vector: vectors.Vector) -> np.ndarray:
        return torch.cat(vector).numpy()[order]

    state, theirs = family.memory.state_dict(), reference.model.pairs
    assert len(state["pairs"]) == len(theirs.pairs)
    for (s, y), (s_ref, y_ref) in zip(state["pairs"], theirs.pairs, strict=True):
        length = np.linalg.norm(s_ref)
        np.testing.assert_allclose(flat(s), s_ref / length, atol=1e-6)
        np.testing.assert_allclose(flat(y), y_ref / length, atol=1e-5)
    theirs.pairs = [(flat(s), flat(y)) for s, y in state["pairs"]]
    theirs.last = flat(state["last"][0]), flat(state["last"][1])


@pytest.mark.filterwarnings("ignore:APTSW. no step was accepted")  # its floor is fixed
@pytest.mark.parametrize("subdomains", [1, 3, 8])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_follows_the_reference(options: dict[str, Any], subdomains: int) -> None:
    problem, model = MLPProblem(SIZES), network()
    start = problem.initial(seed=3)
    start_from(model, start)
    sets = napts.deal_parameters(model, subdomains, seed=1)
    optimizer = napts.APTSW(sets, **{**options, "radius_floor": "fixed"})
    known = {name: value for name, value in options.items() if name != "radius_floor"}
    reference = InWeights(problem, _indices(model, sets), start, WeightsOptions(**known))
    data = batches((40, 40, 23))
    for step in range(25):
        x, y = data[step % len(data)]
        loss = optimizer.step(closure(model, (torch.from_numpy(x), torch.from_numpy(y))))
        assert loss == pytest.approx(reference.step((x, y)), rel=1e-6), step
        record = optimizer.last_step
        assert record is not None
        assert record.radius_after == pytest.approx(reference.radius, rel=1e-9), step
        assert (record.forwards, record.backwards) == (reference.forwards, reference.backwards)
        np.testing.assert_allclose(flat(model), reference.theta, rtol=0, atol=1e-7)
        # Parts of pairs can be nearly orthogonal to what is missing, which enlarges rounding: go on
        # from the same iterate and the same pairs.
        reference.theta = flat(model).copy()
        _take_over_pairs(reference, optimizer, model, sets)


def test_without_forced_decrease_every_finite_proposal_is_taken() -> None:
    model = plain()
    optimizer = napts.APTSW(napts.deal_parameters(model, 4), **WIDE)
    for _ in range(10):
        optimizer.step(closure(model, batch()))
        assert optimizer.last_step is not None
        assert optimizer.last_step.trials[0].accepted
        assert optimizer.last_step.rejections_correction == 0


def test_forced_decrease_keeps_the_loss_from_growing() -> None:
    """Every proposal that is taken lowers the loss, the last weight of a series excepted."""
    model = plain()
    optimizer = napts.APTSW(napts.deal_parameters(model, 8), forced_decrease=True, **WIDE)
    corrected = 0
    for seed in range(30):
        optimizer.step(closure(model, batch(seed, samples=10)))
        assert optimizer.last_step is not None
        for trial in optimizer.last_step.trials:
            if trial.phase != "global" and trial.coefficient != 1.0:
                assert trial.accepted == (trial.trial_loss <= trial.loss)
                corrected += not trial.accepted
    assert corrected > 0


@pytest.mark.parametrize("norm", ["inf", "l2"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_proposal_stays_in_the_region(norm: Any, order: Any) -> None:
    model = plain()
    sets = napts.deal_parameters(model, 4)
    optimizer = napts.APTSW(sets, norm=norm, order=order, radius=0.05, radius_min=1e-3)
    for _ in range(15):
        optimizer.step(closure(model, batch()))
        assert optimizer.last_step is not None
        proposal = optimizer.last_step.trials[0]
        assert proposal.step_norm <= proposal.radius * (1 + 1e-9)


@torch.no_grad()
@pytest.mark.parametrize("make", [plain, noisy])
def test_local_problems_agree_with_the_loss_to_first_order(make: Any) -> None:
    """At the iterate: that is why they need no term for consistency."""
    model = make()
    layout = vectors.Layout(napts.deal_parameters(model, 3).parameter_sets)
    objective = Objective(closure(model, batch()), layout, FirstOrder("inf"), PassCounts())
    point = objective.linearise(None)
    loss = objective.loss_of(point)
    for block, (start, slope) in enumerate(zip(point.theta, point.model.gradient, strict=True)):
        value, _ = objective.evaluate_block(block, start, 0.0, keep_graph=True)
        assert value == loss
        torch.testing.assert_close(objective.block_gradient(block), slope, rtol=0, atol=1e-12)


def test_one_iteration_sees_one_loss() -> None:
    """Dropout and BatchNorm: evaluations at one point agree, and the state moves on by one."""
    model = noisy()
    optimizer = napts.APTSW(napts.deal_parameters(model, 3), forced_decrease=True)
    torch.manual_seed(0)
    optimizer.step(closure(model, batch()))
    after = torch.get_rng_state()
    torch.manual_seed(0)
    closure(model, batch())()
    assert torch.equal(after, torch.get_rng_state())
    assert int(model[1].num_batches_tracked) == 2  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("order", [1, 2])
def test_going_on_from_a_saved_state(order: Any) -> None:
    model, other = plain(), plain()
    optimizer = napts.APTSW(napts.deal_parameters(model, 4), order=order)
    for _ in range(5):
        optimizer.step(closure(model, batch()))
    other.load_state_dict(model.state_dict())
    resumed = napts.APTSW(napts.deal_parameters(other, 4), order=order)
    resumed.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        optimizer.step(closure(model, batch()))
        resumed.step(closure(other, batch()))
        assert resumed.last_step == optimizer.last_step
    assert same(snapshot(model), snapshot(other))


def test_a_loss_that_is_not_finite_leaves_everything() -> None:
    model = plain()
    optimizer = napts.APTSW(napts.deal_parameters(model, 4))
    before = snapshot(model)
    inputs, targets = batch()
    assert math.isnan(optimizer.step(closure(model, (inputs * math.nan, targets))))
    assert same(before, snapshot(model))


def test_layer_blocks_will_do() -> None:
    model = plain()
    optimizer = napts.APTSW(napts.partition_layers(model, 4))
    losses = [optimizer.step(closure(model, batch())) for _ in range(20)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"local_budget": 0.0}, "Invalid local_budget"),
        ({"local_steps": 0}, "Invalid local_steps"),
        ({"order": 3}, "Invalid order"),
        ({"correction": (0.0,)}, "Invalid correction"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        napts.APTSW(napts.deal_parameters(plain(), 2), **options)
    with pytest.raises(ValueError, match="Invalid sets: Sequential, must be sets"):
        napts.APTSW(plain())  # pyright: ignore[reportArgumentType]


# --- how parameters are dealt --------------------------------------------------------------------


@pytest.mark.parametrize("deal", ["random", "layers"])
@pytest.mark.parametrize("subdomains", [1, 2, 3, 4])
def test_the_sets_are_a_partition(deal: Any, subdomains: int) -> None:
    model = plain()
    sets = napts.deal_parameters(model, subdomains, deal=deal)
    dealt = [parameter for own in sets.parameter_sets for parameter in own]
    assert len(sets) == subdomains
    assert {id(p) for p in dealt} == {id(p) for p in model.parameters()}
    assert len(dealt) == len(list(model.parameters()))
    sizes = [len(names) for names in sets.names]
    assert max(sizes) - min(sizes) <= (2 if deal == "layers" else 1)


def test_layers_stay_together_and_tensors_are_shuffled() -> None:
    model = plain()
    assert napts.deal_parameters(model, 2, deal="layers").names == [
        ["0.weight", "0.bias", "2.weight", "2.bias"],
        ["4.weight", "4.bias", "6.weight", "6.bias"],
    ]
    state = torch.get_rng_state()
    first, again, other = (napts.deal_parameters(model, 2, seed=s).names for s in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert first == again != other


def test_only_trained_parameters_are_dealt() -> None:
    model = plain()
    model[0].requires_grad_(False)
    sets = napts.deal_parameters(model, 3)
    assert sum(len(names) for names in sets.names) == 6
    with pytest.raises(napts.PartitionError, match=r"6 trained tensors.*\[1, 6\], got 7"):
        napts.deal_parameters(model, 7)
    with pytest.raises(napts.PartitionError, match="3 layers with trained parameters"):
        napts.deal_parameters(model, 0, deal="layers")


def test_exact_subdomains_see_the_sum_of_squares_of_their_steps() -> None:
    """In the infinity norm the lifted step is as long as the longest of the local ones."""
    model = plain()
    sets = napts.deal_parameters(model, 4)
    optimizer = napts.APTSW(sets, local_steps=1, eta_1=1e-6)
    before = [torch.cat([p.detach().reshape(-1) for p in own]) for own in sets.parameter_sets]
    optimizer.step(closure(model, batch()))
    assert optimizer.last_step is not None
    proposal = optimizer.last_step.trials[0]
    assert proposal.step_norm == pytest.approx(0.01)
    assert float(vectors.norm(before, "inf")) > 0
