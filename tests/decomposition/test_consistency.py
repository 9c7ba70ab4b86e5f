"""Local gradients at the iterate are those of the loss, whatever the loss and the model are."""

import contextlib
import math
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import napts
from tests.helpers.gap import gap, gaps
from tests.helpers.networks import batch, closure, plain, same, snapshot

ROUNDING = 1e-9


def _mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    ).double()


# --- terms of the loss besides the outputs -------------------------------------------------------


def _weights(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    penalty = sum((p**2).sum() for p in model.parameters())
    return closure(model, data)() + 0.1 * penalty


def _activations(model: Any, data: tuple[Tensor, Tensor]) -> Tensor:
    seen: list[Tensor] = []
    # The layers themselves, not the places between blocks.
    handles = [m.register_forward_hook(lambda _m, _i, o: seen.append(o)) for m in model[:2]]
    loss = closure(model, data)()
    for handle in handles:
        handle.remove()
    return loss + sum(a.abs().mean() for a in seen)


def _slope(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    inputs = data[0].clone().requires_grad_()
    outputs = model(inputs)
    (slope,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    return functional.cross_entropy(outputs, data[1]) + (slope**2).mean()


TERMS: dict[str, Callable[[Any, tuple[Tensor, Tensor]], Tensor]] = {
    "weights": _weights,
    "activations": _activations,
    "derivatives by the input": _slope,
}


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("last_block_exact", [False, True])
def test_other_terms_are_followed_to_first_order(terms: str, last_block_exact: bool) -> None:
    model, data = _smooth() if terms.startswith("deriv") else _mlp(), batch()
    stages = napts.partition_layers(model, 3)
    if last_block_exact and terms.startswith("deriv"):
        with pytest.raises(RuntimeError, match="allowed: last_block_exact=False"):
            gap(stages, lambda: TERMS[terms](model, data), last_block_exact=True)
        return
    for _ in range(3):
        found = gap(stages, lambda: TERMS[terms](model, data), last_block_exact=last_block_exact)
        assert found < ROUNDING


def _smooth() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)
    ).double()


def test_a_term_costs_a_local_pass_where_there_is_one() -> None:
    model, data = _mlp(), batch()
    stages = napts.partition_layers(model, 3)

    def cost(loss: Callable[[], Tensor]) -> tuple[int, int, set[int]]:
        found = gaps(stages, loss)
        assert max(found.errors) < ROUNDING
        return found.counts.local_passes, found.counts.checks, found.terms

    assert cost(closure(model, data)) == (0, 1, set())
    assert cost(closure(model, data)) == (0, 0, set())
    assert cost(lambda: _weights(model, data)) == (1, 0, {0, 1, 2})
    # Nothing is left of it where the loss has no such term.
    assert cost(closure(model, data)) == (0, 0, set())


def test_a_penalised_proposal_is_rejected_no_more_often_than_others() -> None:
    """Without the term 26 of 40 proposals are rejected at this weight."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    ).double()
    optimizer = napts.NAPTS(napts.partition_layers(model, 3))
    rejected = 0
    for step in range(40):
        optimizer.step(lambda s=step: _weights(model, batch(s % 4)))
        assert optimizer.last_step is not None
        rejected += optimizer.last_step.rejections_proposal
    assert rejected <= 12


class Pinn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)


def _poisson(model: nn.Module) -> Callable[[], Tensor]:
    """``-u'' = pi^2 sin(pi x)`` with zero boundary values, in two calls."""
    inside = torch.linspace(-1, 1, 41, dtype=torch.float64)[1:-1, None]
    ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)

    def loss() -> Tensor:
        x = inside.clone().requires_grad_()
        u = model(x)
        (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
        residual = second + math.pi**2 * torch.sin(math.pi * x)
        return (residual**2).mean() / 100 + (model(ends) ** 2).mean()

    return loss


@pytest.mark.parametrize("method", ["NAPTS", "APTS"])
def test_a_physics_informed_network_trains(method: str) -> None:
    model = Pinn().double()
    stages = napts.partition_layers(model, 3)
    assert gap(stages, _poisson(model)) < ROUNDING
    optimizer = getattr(napts, method)(stages, radius_min=1e-6)
    losses = [optimizer.step(_poisson(model)) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


# --- several calls -------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [2, 5])
def test_several_calls_are_captured(calls: int) -> None:
    model = _mlp()
    parts = [batch(seed) for seed in range(calls)]
    stages = napts.partition_layers(model, 3)

    def loss() -> Tensor:
        return sum(w * closure(model, part)() for w, part in enumerate(parts, 1))  # pyright: ignore[reportReturnType]

    assert gap(stages, loss) < ROUNDING
    assert gap(stages, loss, last_block_exact=True) < ROUNDING
    optimizer = napts.NAPTS(stages, local_steps=3)
    values = [optimizer.step(loss) for _ in range(8)]
    assert optimizer.last_step is not None
    assert values[-1] < values[0]


def test_a_call_on_the_output_of_another() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6)).double()
    inputs, _ = batch()
    stages = napts.partition_layers(model, 2)
    assert gap(stages, lambda: model(model(inputs)).square().mean()) < ROUNDING


def test_calls_without_gradients_are_let_through() -> None:
    model, data = _mlp(), batch()
    stages = napts.partition_layers(model, 3)

    def loss() -> Tensor:
        with torch.no_grad():
            target = model(data[0])
        return (model(data[0]) - 0.5 * target).square().mean()

    assert gap(stages, loss) < ROUNDING


# --- traced blocks that are not the model --------------------------------------------------------


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
        told = pytest.raises(RuntimeError, match="its attribute step changes all the time")
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
    model, data = _mlp().float(), batch(dtype=torch.float32)
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
    model, data = _mlp(), batch()
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


# --- inputs, outputs, cuts -----------------------------------------------------------------------


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        sequence, (last, _) = self.rnn(inputs.unflatten(1, (2, 3)))
        return self.head(sequence[:, -1] + last[0])


class Named(nn.Module):
    """A dictionary with an auxiliary head, and an optional input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.aux = nn.Linear(6, 8), nn.Linear(8, 4)
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        hidden = torch.tanh(self.stem(inputs))
        if mask is not None:
            hidden = hidden * mask
        return {"out": self.head(torch.tanh(self.body(hidden))), "aux": self.aux(hidden)}


def _both_heads(model: nn.Module, **more: Tensor) -> Callable[[], Tensor]:
    inputs, targets = batch()

    def loss() -> Tensor:
        outputs = model(inputs=inputs, **more)
        heads = [functional.cross_entropy(outputs[name], targets) for name in ("out", "aux")]
        return heads[0] + 0.4 * heads[1]

    return loss


@pytest.mark.parametrize("last_block_exact", [False, True])
def test_outputs_of_any_form(last_block_exact: bool) -> None:
    recurrent = Recurrent().double()
    stages = napts.partition_layers(recurrent, 2)
    loss = closure(recurrent, batch())
    assert gap(stages, loss, last_block_exact=last_block_exact) < ROUNDING
    named = Named().double()
    stages = napts.partition_layers(named, 2)
    assert gap(stages, _both_heads(named), last_block_exact=last_block_exact) < ROUNDING
    mask = torch.rand(8, dtype=torch.float64)
    loss = _both_heads(named, mask=mask)
    assert gap(stages, loss, last_block_exact=last_block_exact) < ROUNDING
    optimizer = napts.NAPTS(stages, last_block_exact=last_block_exact)
    losses = [optimizer.step(loss) for _ in range(5)]
    assert losses[-1] < losses[0]


class Decoder(nn.Module):
    """Layers in a list, positions and a mask from outside, the first weights again at the end."""

    def __init__(self, layers: int = 6, *, tied: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.positions = nn.Embedding(11, 8), nn.Embedding(5, 8)
        self.h = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
            for _ in range(layers)
        )
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 11, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, *, tokens: Tensor) -> dict[str, Tensor]:
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, dtype=torch.float64)
        hidden = self.tokens(tokens) + self.positions(torch.arange(length))
        for layer in self.h:
            hidden = layer(src=hidden, src_mask=mask)
        logits = self.head(self.norm(hidden))
        targets = tokens[:, 1:].reshape(-1)
        loss = functional.cross_entropy(logits[:, :-1].reshape(-1, 11), targets)
        return {"loss": loss, "logits": logits}


def test_cuts_by_hand() -> None:
    model = Decoder().double()
    tokens = torch.randint(11, (7, 5), generator=torch.Generator().manual_seed(1))
    stages = napts.partition_layers(model, cuts=["h.1", model.h[3], "h.5"])
    assert len(stages) == 4
    assert sum(len(part) for part in stages.parameter_sets) == len(list(model.parameters()))
    before = snapshot(model)
    for _ in range(2):
        assert gap(stages, lambda: model(tokens=tokens)["loss"]) < ROUNDING
    assert same(before, snapshot(model))
    optimizer = napts.NAPTS(stages, local_steps=3)
    losses = [optimizer.step(lambda: model(tokens=tokens)["loss"]) for _ in range(15)]
    assert optimizer.last_step is not None
    assert losses[-1] < 0.9 * losses[0]
    assert all("_call_impl" not in vars(m) for m in model.modules())


@pytest.mark.parametrize("tied", [False, True])
def test_outputs_that_depend_on_each_other(tied: bool) -> None:
    """A loss beside its logits: what is used of each is kept apart, nothing counts twice."""
    model = Decoder(tied=tied).double()
    tokens = torch.randint(11, (7, 5), generator=torch.Generator().manual_seed(1))
    stages = napts.partition_layers(model, cuts=["h.1", "h.4"])

    def loss() -> Tensor:
        outputs = model(tokens=tokens)
        return outputs["loss"] + outputs["logits"].square().mean()

    found = gaps(stages, loss)
    assert max(found.errors) < ROUNDING
    assert found.terms == ({0} if tied else set())


def test_cuts_by_hand_take_the_same_steps_as_others() -> None:
    """Where a model can be cut either way, both agree bit for bit."""
    by_trace, by_hand = plain(), plain()
    first = napts.NAPTS(napts.partition_layers(by_trace, 4))
    second = napts.NAPTS(napts.partition_layers(by_hand, cuts=["2", "4", "6"]))
    for step in range(6):
        assert first.step(closure(by_trace, batch(step))) == second.step(
            closure(by_hand, batch(step))
        )
    assert same(snapshot(by_trace), snapshot(by_hand))


def test_the_same_parameters_in_the_wrong_order_are_told() -> None:
    class Unordered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first, self.middle = nn.Linear(8, 4), nn.Linear(6, 8), nn.Linear(8, 8)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.last(self.middle(torch.tanh(self.first(inputs))))

    model = Unordered().double()
    stages = napts.partition_layers(model, cuts=["middle"])
    with pytest.warns(UserWarning, match="parameters last.weight, last.bias are used outside"):
        found = gap(stages, closure(model, batch()))
    assert found < ROUNDING


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        (["nothing"], "Invalid cut: nothing is no module inside of the model"),
        (["weight"], "is no module"),
        ([nn.Linear(2, 2)], "Invalid cut: Linear is no module inside"),
        (["linear1"], "Invalid cut: linear1 fits h.0.linear1, h.1.linear1"),
        (["h.0", "h.0"], "cuts names a module twice"),
        (["h.0", "h.0.self_attn"], "the block that begins with h.0 has no trainable parameter"),
    ],
)
def test_cuts_that_cannot_be_made(cuts: list[Any], message: str) -> None:
    with pytest.raises(napts.PartitionError, match=message):
        napts.partition_layers(Decoder(2), cuts=cuts)


@pytest.mark.parametrize("cuts", [None, ["2"]])
def test_parameters_that_came_later_are_told(cuts: list[str] | None) -> None:
    model = _mlp()
    stages = napts.partition_layers(model, None if cuts else 2, cuts=cuts)
    optimizer = napts.NAPTS(stages)
    optimizer.step(closure(model, batch()))
    model[0] = nn.Linear(6, 16).double()
    with pytest.raises(RuntimeError, match=r"of no block: 0.weight, 0.bias .* partition it again"):
        optimizer.step(closure(model, batch()))


def test_outputs_that_hold_no_tensors_are_told() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 4)

        def forward(self, inputs: Tensor) -> Any:
            return types.SimpleNamespace(out=self.second(self.first(inputs)))

    model = Plain().double()
    stages = napts.partition_layers(model, cuts=["second"])
    with pytest.raises(RuntimeError, match="returned SimpleNamespace, in which no tensor"):
        gap(stages, lambda: model(batch()[0]).out.mean())


def test_transforms_of_functions_are_told() -> None:
    model = _smooth()
    optimizer = napts.NAPTS(napts.partition_layers(model, 2))
    with pytest.raises(RuntimeError, match=r"inside a transform of torch\.func"):
        optimizer.step(lambda: torch.func.vmap(torch.func.jacrev(model))(batch()[0]).mean())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's, while it is imported
def test_a_compiled_model_is_told() -> None:
    with pytest.raises(napts.PartitionError, match="partition the original model"):
        napts.partition_layers(torch.compile(_mlp()), 2)  # pyright: ignore[reportArgumentType]


def test_a_cut_at_a_module_that_is_not_called() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    stages = napts.partition_layers(model, cuts=["2"])
    model[2] = nn.Linear(8, 4).double()
    with pytest.raises(RuntimeError, match="stage 0 was not reached"), stages.capture():
        model(batch()[0])


def test_what_cannot_be_cut_is_told_what_helps() -> None:
    model = Decoder()
    with pytest.raises(napts.PartitionError, match=r"cuts=\['h\.3'\].*TR, NTR and APTSW take any"):
        napts.partition_layers(model, 4)


class _Named(nn.Module):
    """Layers with names of their own, as torchvision's, and one that is not traced."""

    def __init__(self) -> None:
        super().__init__()
        names = ("layer_a", "layer_b", "layer_c", "layer_d")
        layers: dict[str, nn.Module] = {name: nn.Linear(6, 6) for name in names}
        self.layers = nn.Sequential(OrderedDict({**layers, "act": nn.Tanh(), "drop": nn.Tanh()}))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs) if inputs.sum() > 0 else -self.layers(-inputs)


def test_what_helps_is_a_cut_that_can_be_made() -> None:
    model = _Named().double()
    with pytest.raises(napts.PartitionError, match=r"cuts=\['layers\.layer_c'\]"):
        napts.partition_layers(model, 2)
    stages = napts.partition_layers(model, cuts=["layers.layer_c"])
    assert [len(part) for part in stages.parameter_sets] == [4, 4]
    assert gap(stages, closure(model, batch())) < ROUNDING


@pytest.mark.parametrize("name", ["second.0", "again"])
def test_a_shared_module_goes_by_each_of_its_names(name: str) -> None:
    model = nn.Sequential(
        OrderedDict(first=nn.Linear(6, 6), again=nn.Linear(6, 6), second=nn.Sequential())
    )
    model.second.append(model.again)
    assert napts.partition_layers(model, cuts=[name]).cuts[0].name == "again"
    with pytest.raises(napts.PartitionError, match="cuts names a module twice"):
        napts.partition_layers(model, cuts=["again", "second.0"])


def test_parts_of_a_batch_need_traced_blocks() -> None:
    model = Decoder(4).double()
    tokens = torch.randint(11, (7, 5))
    optimizer = napts.NAPTS(napts.partition_layers(model, cuts=["h.2"]), local_fraction=0.5)
    with pytest.raises(RuntimeError, match=r"local_fraction: found 0.5, allowed .* 1"):
        optimizer.step(lambda: model(tokens=tokens)["loss"])


@pytest.mark.parametrize("where", ["inside", "around"])
def test_autocast_reaches_local_passes(where: str) -> None:
    """Outputs of blocks have the type that they had in the captured pass."""
    model = _mlp().float()
    data = batch(dtype=torch.float32)
    stages = napts.partition_layers(model, 3)

    def inside() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return closure(model, data)()

    if where == "inside":
        found = gap(stages, inside)
    else:
        with torch.autocast("cpu", torch.bfloat16):
            found = gap(stages, closure(model, data))
    assert found < 1e-6
