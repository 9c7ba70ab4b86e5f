"""Random small networks, closures and cuts: plain data first, then what they stand for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

import napts

WIDTH, SAMPLES, CLASSES = 6, 8, 3
T = TypeVar("T")
# Blocks that are shared, never called or without weights: few would cut there.
_NOT_A_START = ("shared", "shared_activation", "tied", "activation", "dropout")


class Choose(Protocol):
    """Picks one of several; drawn by Hypothesis or by a seeded generator."""

    def __call__(self, options: Sequence[T], /) -> T: ...


KINDS = (
    *("linear", "linear", "linear", "residual", "activation"),
    *("batch_norm", "layer_norm", "dropout", "functional_dropout", "in_place"),
    *("shared", "shared_activation", "tied", "tuple", "recurrent", "attention"),
    *("opaque", "attribute", "mode", "noise", "counter", "parametrised"),
)
OUTPUTS = ("tensor", "tensor", "tensor", "tuple", "dict", "last_but_not_latest")
TERMS = ("weights", "activations", "hook", "derivatives", "hidden", "detached", "scaled")
CHANGES = (
    *("none", "none", "none", "none", "evaluate_some", "evaluate_all", "attribute"),
    *("hook", "buffer", "freeze", "freeze_block"),
)


@dataclass(frozen=True)
class Case:
    """A network, a closure and a cut.

    Attributes:
        kinds: What each block is.
        skips: For each block the earlier one whose output is added to its input, or -1.
        outputs: What the forward returns.
        calls: How often the closure calls the model.
        terms: What the closure adds to the loss.
        cuts: Number of blocks, or the blocks that begin new subdomains.
        change: What happens to the model after it was partitioned.
    """

    kinds: tuple[str, ...]
    skips: tuple[int, ...]
    outputs: str
    calls: int
    terms: tuple[str, ...]
    cuts: int | tuple[int, ...]
    change: str


def draw_case(choose: Choose) -> Case:
    """Draw one."""
    length = choose(range(2, 7))
    kinds = tuple(choose(KINDS) for _ in range(length))
    skips = tuple(choose([-1, -1, -1, *range(i)]) if i else -1 for i in range(length))
    by_hand = choose([False, True])
    own = [
        i for i in range(1, length) if kinds[i] not in _NOT_A_START or choose([False] * 7 + [True])
    ]
    starts = tuple(i for i in own if choose([False, True]))
    return Case(
        kinds,
        skips,
        choose(OUTPUTS),
        choose([1, 1, 1, 2, 3]),
        tuple(term for term in TERMS if choose([False, False, False, True])),
        starts if by_hand and starts else choose([1, 2, 2, 2, 3]),
        choose(CHANGES),
    )


class _Opaque(nn.Module):
    """Control flow that depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(self.first(inputs) if inputs.sum() > 0 else self.second(inputs))


class _Attribute(nn.Module):
    """A branch on a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.bent = nn.Linear(WIDTH, WIDTH), False

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.layer(inputs)
        return torch.sin(outputs) if self.bent else torch.tanh(outputs)


class _Mode(nn.Module):
    """A branch on training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs) * 0.5 if self.training else self.layer(inputs)


class _Noise(nn.Module):
    """Draws in its forward, without a module of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.layer(inputs)
        return outputs + 0.1 * torch.randn_like(outputs)


class _FunctionalDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(inputs), 0.2, training=self.training)


class _Counter(nn.Module):
    """A buffer of its own that every call changes and uses."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.scale.mul_(0.9).add_(0.1 * inputs.detach().abs().mean())
        return self.layer(inputs) * self.scale.clone()


class _Tuple(nn.Module):
    """Two outputs, both used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(self.first(inputs)), self.second(inputs)


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu = nn.Linear(WIDTH, WIDTH), nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.relu(self.layer(inputs))


class _Attention(nn.Module):
    """The samples attend to one another."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        row = inputs[None]
        return self.attention(row, row, row)[0][0]


def _parametrised() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))


def _in_place() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True))


_MAKERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "residual": _Residual,
    "activation": nn.Tanh,
    "batch_norm": lambda: nn.BatchNorm1d(WIDTH),
    "layer_norm": lambda: nn.LayerNorm(WIDTH),
    "dropout": lambda: nn.Dropout(0.2),
    "functional_dropout": _FunctionalDropout,
    "in_place": _in_place,
    "tied": nn.Identity,
    "tuple": _Tuple,
    "recurrent": lambda: nn.GRU(WIDTH, WIDTH, batch_first=True),
    "attention": _Attention,
    "opaque": _Opaque,
    "attribute": _Attribute,
    "mode": _Mode,
    "noise": _Noise,
    "counter": _Counter,
    "parametrised": _parametrised,
}


class RandomNetwork(nn.Module):
    """The network of a case."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.entry = nn.Linear(WIDTH, WIDTH)
        self.shared, self.activation = nn.Linear(WIDTH, WIDTH), nn.Tanh()
        self.blocks = nn.ModuleList([self._block(kind) for kind in case.kinds])
        self.head = nn.Linear(WIDTH, CLASSES)
        if "shared" not in case.kinds:
            self.shared = nn.Identity()

    def _block(self, kind: str) -> nn.Module:
        if kind == "shared":
            return self.shared
        return self.activation if kind == "shared_activation" else _MAKERS[kind]()

    def forward(self, inputs: Tensor) -> Any:
        hidden = self.entry(inputs)
        outputs: list[Tensor] = []
        for block, kind, skip in zip(self.blocks, self.case.kinds, self.case.skips, strict=True):
            if skip >= 0:
                hidden = hidden + outputs[skip]
            hidden = self._through(block, kind, hidden)
            outputs.append(hidden)
        result = self.head(hidden)
        return self._result(result, hidden)

    def _through(self, block: nn.Module, kind: str, hidden: Tensor) -> Tensor:
        if kind == "tied":
            return torch.tanh(nn.functional.linear(hidden, self.entry.weight))
        if kind == "tuple":
            first, second = block(hidden)
            return first + 0.5 * second
        return block(hidden)[0] if kind == "recurrent" else block(hidden)

    def _result(self, result: Tensor, hidden: Tensor) -> Any:
        kind = self.case.outputs
        if kind == "tuple":
            return result, hidden
        if kind == "dict":
            return {"logits": result, "hidden": hidden}
        if kind == "last_but_not_latest":
            self.probabilities = result.softmax(1)
        return result


class Problem:
    """The network of a case with its closure, in double precision.

    Args:
        case: What it is made of.
    """

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.case = case
        self.model = RandomNetwork(case).double()
        generator = torch.Generator().manual_seed(1)
        shape = (case.calls, SAMPLES, WIDTH)
        self._inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
        self._targets = torch.randint(CLASSES, shape[:2], generator=generator)
        self._seen: list[Tensor] = []

    def partition(self) -> Any:
        """Cut the network as the case says."""
        cuts = self.case.cuts
        if isinstance(cuts, int):
            return napts.partition_layers(self.model, cuts)
        return napts.partition_layers(self.model, cuts=[f"blocks.{index}" for index in cuts])

    def change(self) -> None:
        """Do to the network what the case says happens after it was partitioned."""
        change, model = self.case.change, self.model
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
        if change == "evaluate_some":
            for module in norms:
                module.eval()
        elif change == "evaluate_all":
            model.eval()
        elif change == "attribute":
            for module in model.modules():
                if isinstance(module, _Attribute):
                    module.bent = True
        elif change == "hook":
            model.blocks[0].register_forward_hook(_doubled)
        elif change == "buffer":
            for module in norms:
                module.running_mean = torch.full_like(module.running_mean, 0.5)
        elif change == "freeze":
            model.head.bias.requires_grad_(False)
        elif change == "freeze_block":
            model.blocks[-1].requires_grad_(False)

    def listen(self) -> None:
        """Set the user's own hook, if the closure has a term that needs it."""
        if "hook" in self.case.terms:
            self.model.entry.register_forward_hook(self._hear)

    def _hear(self, _module: nn.Module, _inputs: object, outputs: Tensor) -> None:
        self._seen.append(outputs)

    def loss(self) -> Tensor:
        """The closure."""
        self._seen.clear()
        pairs = zip(self._inputs, self._targets, strict=True)
        total = torch.stack([self._of_call(x, y) for x, y in pairs]).sum()
        if "hook" in self.case.terms:
            total = total + 0.1 * torch.stack([s.square().mean() for s in self._seen]).sum()
        if "weights" in self.case.terms:
            total = total + 0.01 * sum(p.square().sum() for p in self.model.parameters())
        return total

    def _of_call(self, inputs: Tensor, targets: Tensor) -> Tensor:
        terms = self.case.terms
        if "derivatives" in terms:
            inputs = inputs.clone().requires_grad_()
        outputs, hidden = self._parts(self.model(inputs))
        loss = nn.functional.cross_entropy(outputs, targets)
        if "scaled" in terms:
            loss = 3 * loss
        if "activations" in terms:
            loss = loss + 0.1 * outputs.square().mean()
        if "hidden" in terms and hidden is not None:
            loss = loss + 0.1 * hidden.abs().mean()
        if "detached" in terms:
            loss = loss + 0.1 * (outputs * outputs.detach()).mean()
        if "derivatives" in terms:
            (slope,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
            loss = loss + 0.1 * slope.square().mean()
        return loss

    @staticmethod
    def _parts(outputs: Any) -> tuple[Tensor, Tensor | None]:
        if isinstance(outputs, tuple):
            return outputs
        return (
            (outputs["logits"], outputs["hidden"]) if isinstance(outputs, dict) else (outputs, None)
        )


def _doubled(_module: nn.Module, _inputs: object, outputs: Any) -> Any:
    if isinstance(outputs, tuple):
        return (2 * outputs[0], *outputs[1:])
    return 2 * outputs
