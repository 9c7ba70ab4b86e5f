"""Methods that somebody registers: any optimizer, with the options of its signature."""

from collections.abc import Iterable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

import napts
from napts.experiment import RunSpec, SpecError, method_named, parse_spec
from napts.experiment.methods import registry as methods


class HeavyBall(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        *,
        momentum: float | Tensor = 0.9,
        kind: Literal["heavy", "light"] = "heavy",
        parts: tuple[int, ...] = (1, 2),
        weight=0.0,
        hook: Any = print,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
                velocity.mul_(group["momentum"]).sub_(p.grad, alpha=group["lr"])
                p.add_(velocity)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))
    napts.register_method("heavy-ball")(HeavyBall)


def spec(**options: Any) -> RunSpec:
    data = {"experiment": "e", "workload": {"name": "synthetic-blobs"}, "budget": {"epochs": 1}}
    found = parse_spec({**data, "optimizer": {"method": "heavy-ball", **options}}, "here")
    assert isinstance(found, RunSpec)
    return found


def test_options_come_from_the_signature_and_are_stored() -> None:
    stored = spec(lr=1, parts=[3]).as_dict()["optimizer"]
    assert stored == {
        **{"method": "heavy-ball", "lr": 1.0, "momentum": 0.9, "kind": "heavy"},
        **{"parts": [3], "weight": 0.0},
    }
    assert parse_spec(spec().as_dict()) == spec()
    assert spec(lr=0.5).run_key != spec().run_key
    assert spec(lr=0.01).run_key == spec().run_key
    assert spec().run_key.startswith("heavy-ball-s0-")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": "fast"}, "optimizer.lr: found 'fast', allowed: number"),
        ({"kind": "x"}, "optimizer.kind: found 'x', allowed: heavy or light"),
        ({"parts": [1, 0.5]}, "optimizer.parts[1]: found 0.5, allowed: integer"),
        ({"momentun": 1}, "optimizer.momentun: unknown key, did you mean momentum? allowed: "),
        ({"hook": 1}, "optimizer.hook: unknown key, allowed: "),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(**options)
    assert str(caught.value).startswith(f"here: {message}")


def test_it_runs() -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = method_named("heavy-ball").build(spec(lr=0.1).optimizer, model)
    inputs = torch.ones(4, 3)
    losses = [optimizer.step(lambda: model(inputs).square().mean()) for _ in range(3)]
    assert losses[2] < losses[0]


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="There is already a method 'Adam': adam in "):
        napts.register_method("Adam")(HeavyBall)
    napts.register_method("heavy-ball")(HeavyBall)  # its file was imported again
    for name in ("heavy.ball", "", "-/", "-x", 3):
        with pytest.raises(ValueError, match="Invalid name of a method"):
            napts.register_method(name)  # pyright: ignore[reportArgumentType]
    message = "allowed: TR, NTR, APTS, .*, Adam, SGD, LBFGS, DoG, heavy-ball"
    with pytest.raises(ValueError, match=f"found 'x', {message}"):
        method_named("x")


def test_what_a_spec_cannot_hold_needs_a_default() -> None:
    def needs(params: Iterable[Tensor], scale: Tensor) -> torch.optim.Optimizer:
        raise NotImplementedError

    def reserved(params: Iterable[Tensor], label: str = "") -> torch.optim.Optimizer:
        raise NotImplementedError

    with pytest.raises(ValueError, match=r"needs: scale is not a number, .* give it a default"):
        napts.register_method("needs")(needs)
    with pytest.raises(ValueError, match=r"reserved: an option cannot be called label"):
        napts.register_method("reserved")(reserved)


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.Adagrad, torch.optim.RMSprop])
def test_optimizers_of_torch(optimizer: type[torch.optim.Optimizer]) -> None:
    napts.register_method("theirs")(optimizer)
    options = method_named("theirs").options.model_validate({"method": "theirs", "lr": 0.2})
    built: Any = method_named("theirs").build(options, torch.nn.Linear(2, 2))
    assert built.param_groups[0]["lr"] == 0.2
