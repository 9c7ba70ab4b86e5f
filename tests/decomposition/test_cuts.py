"""Inputs and outputs of any form, cuts by hand, and what is said of what cannot be cut."""

import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import napts
from tests.helpers.gap import ROUNDING, gap, gaps
from tests.helpers.networks import batch, closure, plain, same, smooth, snapshot, with_relu


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
        (["nothing"], "Invalid cut: nothing is not a module inside the model"),
        (["weight"], "is not a module"),
        ([nn.Linear(2, 2)], "Invalid cut: Linear is not a module inside"),
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
    model = with_relu()
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
    model = smooth()
    optimizer = napts.NAPTS(napts.partition_layers(model, 2))
    with pytest.raises(RuntimeError, match=r"inside a transform of torch\.func"):
        optimizer.step(lambda: torch.func.vmap(torch.func.jacrev(model))(batch()[0]).mean())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's, while it is imported
def test_a_compiled_model_is_told() -> None:
    with pytest.raises(napts.PartitionError, match="partition the original model"):
        napts.partition_layers(torch.compile(with_relu()), 2)  # pyright: ignore[reportArgumentType]


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


class Scaled(nn.Linear):
    """A layer of the user's own: one step of a residual network, with a slope that is trained."""

    def __init__(self, *, in_place: bool = False) -> None:
        super().__init__(6, 6)
        self.slope, self.in_place = nn.Parameter(torch.tensor(0.7)), in_place

    def forward(self, input: Tensor) -> Tensor:
        change = torch.tanh(self.slope * super().forward(input))
        return input.add_(change) if self.in_place else input + change


def test_a_model_is_cut_between_layers_of_the_users_own() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), *(Scaled() for _ in range(3)), nn.Linear(6, 4)).double()
    stages = napts.partition_layers(model, 5)
    found = [{id(p) for p in part} for part in stages.parameter_sets]
    assert found == [{id(p) for p in layer.parameters()} for layer in model]
    assert [stage.names for stage in stages] == [["0"], ["1"], ["2"], ["3"], ["4"]]
    assert gap(stages, closure(model, batch())) < ROUNDING


def test_no_cut_before_a_layer_of_the_users_own_that_overwrites_what_it_takes() -> None:
    model = nn.Sequential(nn.Linear(6, 6), Scaled(in_place=True), nn.Linear(6, 4)).double()
    stages = napts.partition_layers(model, 2)
    assert [len(part) for part in stages.parameter_sets] == [5, 2]
    with pytest.raises(napts.PartitionError, match="at most 2 blocks"):
        napts.partition_layers(model, 3)
