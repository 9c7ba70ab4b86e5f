"""Blocks compute what the model computes, whatever its code reads and whatever changes later."""

import contextlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import napts
from tests.helpers.gap import ROUNDING, gap
from tests.helpers.networks import batch, closure, same, snapshot, with_relu


class Aside(nn.Module):
    """Keeps something after its output is there."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)
        self.probabilities = torch.empty(0)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.second(torch.tanh(self.first(inputs)))
        self.probabilities = torch.softmax(outputs, 1)
        return outputs


class ByMode(nn.Module):
    """Another function in training than in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        return self.second(torch.tanh(hidden) if self.training else hidden)


class Opaque(nn.Module):
    """A submodule with control flow, which uses an activation of the model's."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.layer, self.activation = nn.Linear(8, 8), activation

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.layer(self.activation(inputs))
        return hidden if hidden.sum() > 0 else -hidden


class SharedActivation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.activation = nn.Tanh()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)
        self.inner = Opaque(self.activation)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.activation(self.inner(self.first(inputs))))


class Noise(nn.Module):
    """Draws random numbers, of a shape that a tracer knows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(inputs)) * torch.randn(8, dtype=torch.float64))


class Scaled(nn.Module):
    """A buffer and an attribute of its own in its forward."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.second = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.register_buffer("scale", torch.full((8,), 0.5))
        self.factor, self.factors = 1.0, [1.0, 2.0]

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.middle(self.first(inputs) * self.scale) * self.factor
        return self.second(torch.tanh(hidden * self.factors[1]))


class Running(nn.Module):
    """Rebinds a buffer and an attribute in its forward."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("decayed", torch.ones(8))
        self.seen, self.log = 0, []

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        self.mean = 0.9 * self.mean + 0.1 * hidden.detach().mean(0)
        self.decayed.mul_(0.9)
        self.seen = self.seen + 1
        self.log.append(hidden)
        return self.second(torch.tanh(hidden))


@pytest.mark.parametrize("build", [Aside, ByMode, SharedActivation, Noise, Scaled, Running])
def test_blocks_compute_what_the_model_computes(build: Callable[[], nn.Module]) -> None:
    model = build().double()
    before, buffers, values = dict(vars(model)), dict(model.named_buffers()), snapshot(model)
    stages = napts.partition_layers(model, 2)
    # Tracing has run its forward: nothing is left of that.
    assert dict(vars(model)) == before
    assert all(b is buffers[name] for name, b in model.named_buffers())
    assert same(values, snapshot(model))
    assert not getattr(model, "log", [])
    assert gap(stages, closure(model, batch())) < ROUNDING


def test_a_branch_on_the_mode_is_found() -> None:
    model = ByMode().double().eval()
    stages = napts.partition_layers(model, 2)
    for training in (True, False, True):
        model.train(training)
        assert gap(stages, closure(model, batch())) < ROUNDING


def _rebound_buffer(model: Any) -> None:
    model.scale = torch.full((8,), 3.0, dtype=torch.float64)


def _converted(model: Any) -> None:
    model.float().double()
    model.scale = model.scale * 1.5


def _attribute(model: Any) -> None:
    model.factor = 0.3


def _entry_of_a_list(model: Any) -> None:
    model.factors[1] = 0.3


def _hook(model: Any) -> None:
    model.middle.register_forward_hook(lambda _m, _i, outputs: outputs * 0.3)
    model.register_forward_hook(lambda _m, _i, outputs: outputs * 3.0)


def _submodule(model: Any) -> None:
    model.activation = nn.Tanh()


@pytest.mark.parametrize(
    "change", [_rebound_buffer, _converted, _attribute, _entry_of_a_list, _hook, _submodule]
)
@pytest.mark.parametrize("used", [False, True])
def test_changes_after_partitioning_are_found(change: Callable[[Any], None], used: bool) -> None:
    model = Scaled().double()
    stages = napts.partition_layers(model, 3)
    if used:
        assert gap(stages, closure(model, batch())) < ROUNDING
    change(model)
    for _ in range(2):
        assert gap(stages, closure(model, batch())) < ROUNDING


class Configured(nn.Module):
    """Reads numbers where no look at its attributes would find them."""

    def __init__(self, read: Callable[["Configured"], float]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.second = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.settings = types.SimpleNamespace(scale=1.0)
        self.nested = {"a": {"b": 1.0}}
        self.many = [1.0] * 40
        self.array = np.ones(1)
        self.register_buffer("number", torch.ones(()))
        self.read, self.step = read, 0

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(
            torch.tanh(self.read(self) * torch.tanh(self.middle(self.first(inputs))))
        )


HIDDEN: dict[str, tuple[Callable[[Any], float], Callable[[Any, float], object]]] = {
    "object": (lambda m: m.settings.scale, lambda m, x: setattr(m.settings, "scale", x)),
    "nested": (lambda m: m.nested["a"]["b"], lambda m, x: m.nested["a"].update(b=x)),
    "long": (lambda m: m.many[30], lambda m, x: m.many.__setitem__(30, x)),
    "array": (lambda m: float(m.array[0]), lambda m, x: m.array.fill(x)),
    "buffer": (lambda m: m.number.item(), lambda m, x: m.number.fill_(x)),
}


@pytest.mark.parametrize("kind", HIDDEN)
def test_numbers_that_no_look_shows(kind: str) -> None:
    read, write = HIDDEN[kind]
    model = Configured(read).double()
    stages = napts.partition_layers(model, 3)
    for value in (1.0, 1.0, -3.0, 0.5):
        write(model, value)
        assert gap(stages, closure(model, batch())) < ROUNDING


@pytest.mark.parametrize("local_fraction", [1.0, 0.5])
def test_a_schedule_that_matters_late(local_fraction: float) -> None:
    """A counter that changes in every step and at first has no consequence."""
    model = Configured(lambda m: 1.0 if m.step <= 12 else -2.0).double()
    stages = napts.partition_layers(model, 3)
    optimizer = napts.NAPTS(stages, local_fraction=local_fraction)
    for model.step in range(1, 16):
        told = pytest.raises(RuntimeError, match="its attribute step keeps changing")
        with told if local_fraction < 1.0 and model.step > 4 else contextlib.nullcontext():
            optimizer.step(closure(model, batch()))
        assert gap(stages, closure(model, batch())) < ROUNDING


def test_parts_run_by_copies_as_long_as_these_are_the_model() -> None:
    model = Scaled().double()
    stages = napts.partition_layers(model, 3)
    optimizer = napts.NAPTS(stages, local_fraction=0.5)
    optimizer.step(closure(model, batch()))
    model.factor = 0.3
    with pytest.raises(RuntimeError, match=r"local_fraction: found 0.5.*traced copy"):
        optimizer.step(closure(model, batch()))
    assert gap(stages, closure(model, batch())) < ROUNDING


class InPlace(nn.Module):
    """Overwrites what its modules return."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = (nn.Linear(6, 6) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.second(self.first(inputs))
        outputs += inputs
        return self.third(self.relu(outputs))


def test_operations_in_place_do_not_wear_captured_data() -> None:
    model = InPlace().double()
    stages = napts.partition_layers(model, cuts=["third"])
    inputs, _ = batch()
    for _ in range(3):
        assert gap(stages, lambda: model(inputs).square().mean()) < ROUNDING


@pytest.mark.parametrize("cuts", [None, ["2", "4"]])
def test_bfloat16_local_steps_have_gradients(cuts: list[str] | None) -> None:
    """Rounded, not lost: conversions of outputs belong to the graph."""
    model, data = with_relu().float(), batch(dtype=torch.float32)
    stages = napts.partition_layers(model, None if cuts else 3, cuts=cuts)
    with stages.capture():
        loss = closure(model, data)()
    stages.set_downstream(torch.autograd.grad(loss, stages.boundaries()))
    with torch.no_grad():
        for stage in range(3):
            full = torch.cat([g.reshape(-1) for g in stages.local_gradient(stage)])
            with torch.autocast("cpu", torch.bfloat16):
                rounded = torch.cat([g.reshape(-1) for g in stages.local_gradient(stage)])
            assert 0 < (rounded - full).norm() < 0.05 * full.norm()


def test_what_depends_on_something_else_is_refused() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)
            self.calls = 0

        def forward(self, inputs: Tensor) -> Tensor:
            self.calls += 1
            return self.second(torch.tanh(self.first(inputs)) / self.calls)

    model = Counting().double()
    stages = napts.partition_layers(model, cuts=["second"])
    with pytest.raises(RuntimeError, match="block 0, run again on the same inputs"):
        gap(stages, closure(model, batch()))


def test_batchnorm_in_evaluation_stays_so() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 4)).double()
    model[1].eval()
    napts.partition_layers(model, 2)
    assert [m.training for m in model] == [True, False, True, True]
    assert model.training


def test_a_forward_of_the_instance_is_kept() -> None:
    model, data = with_relu(), batch()
    own = model.forward

    def doubled(inputs: Tensor) -> Tensor:
        return 2 * own(inputs)

    model.forward = doubled
    stages = napts.partition_layers(model, 3)
    optimizer = napts.NAPTS(stages, last_block_exact=True)
    assert gap(stages, closure(model, data), last_block_exact=True) < ROUNDING
    optimizer.step(closure(model, data))
    assert model.forward is doubled
    assert set(vars(model)) >= {"forward"}
    assert all("_call_impl" not in vars(m) for m in model.modules())
