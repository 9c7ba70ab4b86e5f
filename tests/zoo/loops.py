"""Training loops as people write them, each with every method that it makes sense for."""

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.zoo import own_models as own
from tests.zoo import surroundings
from tests.zoo.problems import STEPS, batch, make, network, trains
from tests.zoo.training import METHODS, METHODS_OF_LOOPS

cross_entropy = nn.functional.cross_entropy


@dataclass(frozen=True)
class Loop:
    """A way to train.

    Attributes:
        name: Name for the table.
        run: Trains with a method and asserts that it did.
        methods: With which methods.
        refusals: What others say, in place of training.
        remark: For the table: what is said along with it, and why a method is left out.
    """

    name: str
    run: Callable[[str], None]
    methods: tuple[str, ...] = METHODS_OF_LOOPS
    refusals: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    def __str__(self) -> str:
        return self.name


def _weights_penalised(method: str) -> None:
    model, (inputs, targets) = network(), batch()

    def closure() -> Tensor:
        penalty = sum(p.square().sum() for p in model.parameters())
        return cross_entropy(model(inputs), targets) + 0.01 * penalty

    trains(make(method, model), model, closure)


def _activations_penalised(method: str) -> None:
    model, (inputs, targets) = network(), batch()
    seen: list[Tensor] = []
    chosen = make(method, model)
    model[3].register_forward_hook(lambda _module, _inputs, output: seen.append(output))

    def closure() -> Tensor:
        seen.clear()
        loss = cross_entropy(model(inputs), targets)
        return loss + 0.1 * seen[0].square().mean()

    trains(chosen, model, closure)


def _two_calls(method: str) -> None:
    model, (inputs, targets) = network(), batch()

    def closure() -> Tensor:
        flipped = cross_entropy(model(-inputs), 2 - targets)
        return cross_entropy(model(inputs), targets) + flipped

    trains(make(method, model), model, closure)


def _accumulated(method: str) -> None:
    model, (inputs, targets) = network(nn.BatchNorm1d(16)), batch()

    def closure() -> Tensor:
        parts = zip(inputs.chunk(3), targets.chunk(3), strict=True)
        return torch.stack([cross_entropy(model(x), y) for x, y in parts]).mean()

    trains(make(method, model), model, closure)


def _derivatives(method: str) -> None:
    model, (inputs, targets) = network(), batch()

    def closure() -> Tensor:
        points = inputs.clone().requires_grad_()
        outputs = model(points)
        (slope,) = torch.autograd.grad(outputs.square().sum(), points, create_graph=True)
        return cross_entropy(outputs, targets) + 0.1 * slope.square().mean()

    trains(make(method, model), model, closure)


def _autocast(method: str, *, inside: bool) -> None:
    model, (inputs, targets) = network().float(), batch()
    inputs, lower = inputs.float(), partial(torch.autocast, "cpu", dtype=torch.bfloat16)

    def closure() -> Tensor:
        with lower() if inside else nullcontext():
            return cross_entropy(model(inputs).float(), targets)

    around = nullcontext if inside else lower
    trains(make(method, model), model, closure, around=around)


def _scheduled(method: str) -> None:
    model, (inputs, targets) = network(), batch()
    chosen = make(method, model)
    first = chosen.param_groups[0]["lr"]
    largest = chosen.param_groups[0].get("radius_max")
    scheduler = torch.optim.lr_scheduler.ExponentialLR(chosen, 0.5)

    def closure() -> Tensor:
        return cross_entropy(model(inputs), targets)

    trains(chosen, model, closure, after=scheduler.step)
    assert chosen.param_groups[0]["lr"] == first * 0.5**STEPS
    if largest is not None and method != "STTR":  # a factor on its radius, which has no such bound
        assert chosen.radius <= largest * 0.5 ** (STEPS - 1) * (1 + 1e-12)


def _decayed(method: str) -> None:
    model, (inputs, targets) = network(), batch()
    chosen = make(method, model, weight_decay=0.01)
    trains(chosen, model, lambda: cross_entropy(model(inputs), targets))


def _frozen(method: str) -> None:
    model, (inputs, targets) = network(), batch()
    chosen = make(method, model)

    def closure() -> Tensor:
        return cross_entropy(model(inputs), targets)

    layer = model[2]
    layer.requires_grad_(False)
    still = [p.clone() for p in layer.parameters()]
    trains(chosen, model, closure)
    assert all(torch.equal(p, q) for p, q in zip(still, layer.parameters(), strict=True))
    layer.requires_grad_(True)
    trains(chosen, model, closure)
    assert not any(torch.equal(p, q) for p, q in zip(still, layer.parameters(), strict=True))


def _resumed(method: str) -> None:
    models = [network(nn.BatchNorm1d(16), nn.Dropout(0.2)) for _ in range(2)]
    inputs, targets = batch()
    first, second = (make(method, model) for model in models)
    closures = [lambda m=model: cross_entropy(m(inputs), targets) for model in models]
    trains(first, models[0], closures[0])
    models[1].load_state_dict(models[0].state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))  # as from a file
    losses = []
    for chosen, closure in zip((first, second), closures, strict=True):
        torch.manual_seed(5)
        losses.append([float(chosen.step(closure)) for _ in range(3)])
    assert losses[0] == losses[1]


class _Checkpointed(nn.Module):
    """A block that keeps no activations and computes them again in the backward."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Dropout(0.1))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = checkpoint(self.inner, inputs, use_reentrant=False)
        assert isinstance(outputs, Tensor)
        return outputs


def _checkpointed(method: str) -> None:
    model, (inputs, targets) = network(_Checkpointed(), _Checkpointed()), batch()
    model.double()
    trains(make(method, model), model, lambda: cross_entropy(model(inputs), targets))


def _reparametrised(method: str, how: Callable[[nn.Module], nn.Module]) -> None:
    model, (inputs, targets) = network(), batch()
    for index in (0, 2, 4):
        how(model[index])
    trains(make(method, model), model, lambda: cross_entropy(model(inputs), targets))


def _nan_batch(method: str) -> None:
    model, (inputs, targets) = network(), batch()
    chosen = make(method, model)
    before = [p.clone() for p in model.parameters()]
    chosen.step(lambda: cross_entropy(model(inputs * float("nan")), targets))
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))
    trains(chosen, model, lambda: cross_entropy(model(inputs), targets))


def _adversaries(method: str) -> None:
    """A generator and a discriminator, each with its own optimizer, in turns."""
    torch.manual_seed(0)
    generator = own.chain(4, 12, 12, 12, 2).double()
    judge = own.chain(2, 12, 12, 12, 1).double()
    noise = torch.randn(32, 4, dtype=torch.float64)
    real = torch.randn(32, 2, dtype=torch.float64) * 0.3 + 2
    softplus = nn.functional.softplus

    def judged() -> Tensor:
        fake = generator(noise).detach()
        return softplus(-judge(real)).mean() + softplus(judge(fake)).mean()

    def made() -> Tensor:
        return softplus(-judge(generator(noise))).mean()

    trains(make(method, judge), judge, judged)
    trains(make(method, generator), generator, made)


LOOPS = [
    Loop("penalty on the weights", _weights_penalised),
    Loop("penalty on activations, by a hook", _activations_penalised),
    Loop("model called twice", _two_calls),
    Loop("accumulation over micro-batches", _accumulated),
    Loop("derivatives by the input", _derivatives),
    Loop("autocast inside the closure", partial(_autocast, inside=True)),
    Loop("autocast around step", partial(_autocast, inside=False)),
    Loop(
        "learning-rate scheduler",
        _scheduled,
        remark="drives the largest radius; of STTR, a factor on it",
    ),
    Loop("weight decay", _decayed),
    Loop("freezing and unfreezing", _frozen),
    Loop("resuming from state_dict", _resumed),
    Loop("activation checkpointing", _checkpointed),
    Loop("weight_norm", partial(_reparametrised, how=nn.utils.parametrizations.weight_norm)),
    Loop("spectral_norm", partial(_reparametrised, how=nn.utils.parametrizations.spectral_norm)),
    Loop("a batch with NaN", _nan_batch),
    Loop("two adversaries, two optimizers", _adversaries),
    Loop("zero_grad before every step", surroundings.zeroed),
    Loop("DistributedDataParallel, two processes", surroundings.data_parallel),
    Loop("Lightning, optimization by hand", surroundings.lightning_by_hand),
    Loop(
        "Lightning, automatic optimization",
        surroundings.lightning_automatic,
        methods=(),
        refusals=dict.fromkeys(METHODS_OF_LOOPS, r"self\.automatic_optimization = False"),
    ),
    Loop(
        "gradient clipping",
        surroundings.clipped,
        methods=METHODS,
        remark="a warning: it has no effect; the baseline's closure leaves no gradients to clip",
    ),
    Loop(
        "GradScaler",
        surroundings.scaled,
        methods=(),
        refusals=dict.fromkeys(METHODS_OF_LOOPS, "GradScaler: these optimizers need no scaling"),
    ),
]
