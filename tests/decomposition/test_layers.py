"""Layer blocks: where networks are cut, how blocks are balanced, what they cache."""

import copy
import itertools
import pickle
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import napts
from napts.decomposition.partition import balance
from tests.helpers.networks import batch, closure, noisy, plain, same, snapshot


class Residual(nn.Module):
    """A block with a skip connection, an in-place sum and one activation used twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.second(self.relu(self.first(inputs)))
        outputs += inputs
        return self.relu(outputs)


class ResNet(nn.Module):
    """Residual blocks between two layers, with a function between modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.blocks = nn.Sequential(*[Residual(8) for _ in range(3)])
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.flatten(self.blocks(self.stem(inputs)), 1))


def _resnet() -> nn.Module:
    torch.manual_seed(0)
    return ResNet().double()


NETWORKS = {"plain": plain, "noisy": noisy, "resnet": _resnet}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_every_parameter_is_in_one_block(network: str, parts: int) -> None:
    model = NETWORKS[network]()
    sets = napts.partition_layers(model, parts).parameter_sets
    assert len(sets) == parts
    assert all(sets)
    flat = [id(p) for part in sets for p in part]
    assert flat == [id(p) for p in model.parameters()]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("parts", [2, 4])
def test_local_gradients_start_as_the_global_one(network: str, parts: int) -> None:
    """Eq. (2) at t = 0, with dropout masks, BatchNorm and skip connections: bit for bit."""
    model = NETWORKS[network]()
    stages = napts.partition_layers(model, parts)
    with stages.capture():
        loss = closure(model, batch())()
    boundaries = stages.boundaries()
    gradients = torch.autograd.grad(loss, [*model.parameters(), *boundaries])
    stages.set_downstream(gradients[-parts:])
    local = [g for d in range(parts) for g in stages.local_gradient(d)]
    for mine, whole in zip(local, gradients, strict=False):
        torch.testing.assert_close(mine, whole, rtol=1e-12, atol=1e-15)


def test_the_exact_gradient_of_the_last_block() -> None:
    """It is the loss's own gradient, at changed weights of that block too."""
    model = plain()
    stages = napts.partition_layers(model, 4)
    with stages.capture():
        loss = closure(model, batch())()
    stages.set_downstream(torch.autograd.grad(loss, stages.boundaries()))
    last = stages[-1].parameters()
    with torch.no_grad():
        last[0].mul_(3.0)
    exact = stages.exact_gradient_of_last(closure(model, batch()))
    whole = torch.autograd.grad(closure(model, batch())(), last)
    for mine, expected in zip(exact, whole, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-15)
    frozen = stages.local_gradient(3)
    assert not torch.allclose(frozen[0], whole[0], rtol=1e-3)
    assert "forward" not in vars(model)


def test_the_model_carries_no_hooks_afterwards() -> None:
    model = _resnet()
    before = snapshot(model)
    stages = napts.partition_layers(model, 4)
    optimizer = napts.NAPTS(stages)
    optimizer.step(closure(model, batch()))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert not same(before, snapshot(model))


def test_residual_blocks_stay_whole_and_in_place_layers_are_respected() -> None:
    stages = napts.partition_layers(_resnet(), 5)
    assert [stage.names[0] for stage in stages] == [
        "stem", "blocks.0.first", "blocks.1.first", "blocks.2.first", "head"
    ]  # fmt: skip
    with pytest.raises(napts.PartitionError, match=r"at most 5 blocks .* 6 were asked for"):
        napts.partition_layers(_resnet(), 6)


def test_resnet18() -> None:
    from napts.problems.torchvision_shim import load_torchvision

    model = load_torchvision().models.resnet18(weights=None)
    stages = napts.partition_layers(model, 4, example_inputs=torch.randn(2, 3, 64, 64))
    sizes = [sum(p.numel() for p in part) for part in stages.parameter_sets]
    assert sum(sizes) == 11_689_512
    assert sum(len(part) for part in stages.parameter_sets) == 62
    optimizer = napts.NAPTS(stages, local_steps=2, radius=1e-3)
    inputs, targets = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    optimizer.step(closure(model, (inputs, targets)))
    assert optimizer.last_step is not None
    assert optimizer.last_step.coefficient == 0.0


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_partitions_survive_copying_with_their_model(clone) -> None:
    model = _resnet()
    model_twin, stages = clone((model, napts.partition_layers(model, 4)))
    assert stages.model is model_twin
    assert [id(p) for part in stages.parameter_sets for p in part] == [
        id(p) for p in model_twin.parameters()
    ]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.data())
@settings(max_examples=60)
def test_the_balance_is_the_best_there_is(costs: list[int], data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, len(costs)))
    bounds = balance(costs, parts)
    assert bounds[0] == 0
    assert bounds[-1] == len(costs)
    assert all(a < b for a, b in itertools.pairwise(bounds))
    assert _largest(costs, bounds) == min(_largest(costs, b) for b in _all(len(costs), parts))


def _largest(costs: list[int], bounds: list[int]) -> int:
    return max(sum(costs[a:b]) for a, b in itertools.pairwise(bounds))


def _all(length: int, parts: int) -> Iterator[list[int]]:
    for inner in itertools.combinations(range(1, length), parts - 1):
        yield [0, *inner, length]


@pytest.mark.parametrize("cost", ["parameters", "flops", "seconds"])
def test_costs_leave_no_trace(cost) -> None:
    model = noisy()
    before, random = snapshot(model), torch.get_rng_state()
    napts.partition_layers(model, 2, cost=cost, example_inputs=batch()[0])
    assert same(before, snapshot(model))
    assert torch.equal(random, torch.get_rng_state())


def test_operations_and_parameters_balance_differently() -> None:
    """A convolution has few parameters and many operations."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1), nn.Flatten(),
        nn.Linear(8 * 16 * 16, 8), nn.Linear(8, 10),
    )  # fmt: skip
    inputs = torch.randn(2, 3, 16, 16)
    by_size = napts.partition_layers(model, 2)
    by_work = napts.partition_layers(model, 2, example_inputs=inputs)
    assert len(by_size.parameter_sets[0]) == 4
    assert len(by_work.parameter_sets[0]) == 2


class TwoInputs(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs) if inputs.sum() > 0 else -self.layer(inputs)


class Spare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.used(inputs)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.between = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(self.between(self.layer(inputs)))


@pytest.mark.parametrize(
    ("model", "parts", "message"),
    [
        (TwoInputs(), 1, "must have one input, found: first, second"),
        (Branching(), 1, "torch.fx cannot trace its forward"),
        (Spare(), 1, "not used by the model's forward: unused.weight, unused.bias"),
        (Tied(), 2, "at most 1 blocks"),
        (plain(), 0, "n_subdomains must be at least 1, got 0"),
        (plain(), 9, "at most 4 blocks with trainable parameters, but 9 were asked for"),
    ],
)
def test_what_cannot_be_divided_is_said(model: nn.Module, parts: int, message: str) -> None:
    with pytest.raises(napts.PartitionError, match=message):
        napts.partition_layers(model, parts)


def test_counting_operations_needs_inputs() -> None:
    with pytest.raises(napts.PartitionError, match="needs example_inputs"):
        napts.partition_layers(plain(), 2, cost="flops")


def test_the_model_has_to_be_called() -> None:
    model = plain()
    optimizer = napts.NAPTS(napts.partition_layers(model, 2))
    inputs, _ = batch()
    with pytest.raises(RuntimeError, match=r"must call the partitioned model \(Sequential\)"):
        optimizer.step(lambda: model[0](inputs).sum())


def test_the_former_name_of_parameter_subsets_warns() -> None:
    for home in (napts, napts.decomposition):
        with pytest.warns(DeprecationWarning, match="is now called .*ParameterSubsets"):
            assert home.TensorSets is napts.ParameterSubsets
    assert type(napts.deal_parameters(nn.Linear(2, 2), 1)) is napts.ParameterSubsets
