"""The checklist of torch's own optimizer tests."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import napts
from tests.helpers.networks import ALL_METHODS as METHODS
from tests.helpers.networks import batch, closure, make, noisy, plain, same, snapshot

BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"radius": -1.0}, r"Invalid radius: -1\.0"),
    ({"radius": 0.0}, "Invalid radius"),
    ({"radius": float("nan")}, "Invalid radius"),
    ({"radius": 3.0}, r"must lie in \[0\.0"),
    ({"radius_min": 1.0}, r"must lie in \[1.0"),
    ({"shrink": 1.0}, "Invalid shrink"),
    ({"grow": 1.0}, "Invalid grow"),
    ({"eta_1": 0.8}, "Invalid eta_1"),
    ({"eta_2": 1.0}, "Invalid eta_2"),
    ({"norm": "l1"}, "Invalid norm: l1, must be one of l2, inf"),
    ({"direction": "up"}, "Invalid direction"),
    ({"max_tries": 0}, "Invalid max_tries"),
    ({"max_tries": 2.5}, "Invalid max_tries"),
]
BAD_SCHWARZ: list[tuple[dict[str, Any], str]] = [
    ({"local_steps": 0}, "Invalid local_steps"),
    ({"betas": (0.9, 1.0)}, "Invalid betas"),
    ({"eps": 0.0}, "Invalid eps"),
    ({"cap": "cut"}, "Invalid cap"),
    ({"moments": "lost"}, "Invalid moments: lost, must be one of reset, kept"),
    ({"shares": "fair"}, "Invalid shares"),
    ({"local_fraction": 0.0}, r"Invalid local_fraction: 0\.0, must be in \(0, 1\]"),
    ({"local_fraction": 1.5}, "Invalid local_fraction"),
    ({"local_fraction": 0.5, "last_block_exact": True}, "must be 1 with last_block_exact"),
    ({"retry": "again"}, "Invalid retry"),
    ({"global_step": "sometimes"}, "Invalid global_step"),
]
BAD_HISTORY: list[tuple[dict[str, Any], str]] = [
    ({"window": -1}, "Invalid window"),
    ({"history": "long"}, "Invalid history: long"),
    ({"history_scope": "ever"}, "Invalid history_scope"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_bad_arguments(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(method, plain(), **options)


@pytest.mark.parametrize(("options", "message"), [*BAD_SCHWARZ, *BAD_HISTORY])
def test_bad_arguments_of_napts(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("NAPTS", plain(), **options)


@pytest.mark.parametrize("weights", [(0.0,), (0.5, 1.2)])
def test_bad_correction_weights(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="Invalid correction"):
        make("APTS", plain(), correction=weights)


def test_schwarz_methods_need_subdomains() -> None:
    with pytest.raises(ValueError, match=r"must be a decomposition such as napts\.partition_lay"):
        napts.NAPTS(plain().parameters())  # pyright: ignore[reportArgumentType]


def test_no_trainable_parameter() -> None:
    model = plain().requires_grad_(False)
    optimizer = napts.TR(model.parameters())
    with pytest.raises(ValueError, match="no parameter requires a gradient"):
        optimizer.step(closure(model, batch()))


def _run(optimizer: Any, model: nn.Module, first: int, last: int) -> list[float]:
    return [optimizer.step(closure(model, batch(step % 3))) for step in range(first, last)]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"history": "constant-memory", "window": 2},
    {"history_scope": "reeval"},
    {"history": "constant-memory", "history_scope": "reeval"},
]
KEPT: list[dict[str, Any]] = [
    {"moments": "kept"},
    {"moments": "kept", "local_steps": 1, "shares": "joint", "local_fraction": 0.5},
]
VARIANTS = [
    *((m, o) for m in METHODS for o in (OPTIONS if m in ("NTR", "NAPTS") else OPTIONS[:1])),
    *((m, o) for m in ("APTS", "APTSA", "NAPTS") for o in KEPT),
    *((m, {"shared_radius": False, "radius_min": 0.05}) for m in ("APTS", "NAPTS")),
]


@pytest.mark.parametrize(("method", "options"), VARIANTS)
def test_a_saved_run_goes_on_as_if_never_stopped(method: str, options: dict[str, Any]) -> None:
    """state_dict round trip in the middle, through torch.save and weights_only loading."""
    undisturbed, model = noisy(), noisy()
    torch.manual_seed(3)
    whole = _run(make(method, undisturbed, **options), undisturbed, 0, 20)
    torch.manual_seed(3)
    optimizer = make(method, model, **options)
    losses = _run(optimizer, model, 0, 9)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    model = noisy_again(saved["model"])
    # Another radius and window: loading must bring back those of the saved run.
    other = {"window": 1} if method in ("NTR", "NAPTS") else {}
    resumed = make(method, model, **{**options, **other, "radius": 0.06})
    resumed.load_state_dict(saved["optimizer"])
    assert losses + _run(resumed, model, 9, 20) == whole
    assert same(snapshot(model), snapshot(undisturbed))


def noisy_again(state: dict[str, torch.Tensor]) -> nn.Module:
    random = torch.get_rng_state()
    model = noisy()
    torch.set_rng_state(random)
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize(("method", "options"), VARIANTS)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_are_independent_and_equal(method: str, options: dict[str, Any], clone: Any) -> None:
    model = plain()
    optimizer = make(method, model, **options)
    _run(optimizer, model, 0, 5)
    twin_model, twin = clone((model, optimizer))
    expected = _run(optimizer, model, 5, 10)
    moved = snapshot(model)
    assert _run(twin, twin_model, 5, 10) == expected
    assert same(moved, snapshot(model))
    assert same(moved, snapshot(twin_model))


@pytest.mark.parametrize("method", METHODS)
def test_step_hooks_run(method: str) -> None:
    model = plain()
    optimizer = make(method, model)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    _run(optimizer, model, 0, 1)
    assert seen == ["before", "after"]


@pytest.mark.parametrize("method", ["TR", "NTR"])
def test_a_parameter_without_a_gradient_stays(method: str) -> None:
    model = plain()
    spare = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = getattr(napts, method)([*model.parameters(), spare])
    _run(optimizer, model, 0, 3)
    assert torch.equal(spare, torch.ones_like(spare))


@pytest.mark.parametrize("method", METHODS)
def test_frozen_parameters_stay(method: str) -> None:
    model = plain()
    optimizer = make(method, model)
    model[2].weight.requires_grad_(False)
    before = model[2].weight.clone()
    _run(optimizer, model, 0, 3)
    assert torch.equal(before, model[2].weight)
    model[2].weight.requires_grad_(True)
    _run(optimizer, model, 3, 6)
    assert not torch.equal(before, model[2].weight)


def test_groups_share_one_trust_region() -> None:
    one, two = plain(), plain()
    whole = napts.NTR(one.parameters())
    parts = napts.NTR([{"params": list(two[:3].parameters())}])
    parts.add_param_group({"params": list(two[3:].parameters())})
    assert _run(whole, one, 0, 10) == pytest.approx(_run(parts, two, 0, 10))
    with pytest.raises(ValueError, match="radius cannot differ between groups"):
        napts.TR([{"params": list(plain().parameters()), "radius": 0.2}])


def test_subdomains_are_fixed() -> None:
    optimizer = make("NAPTS", plain())
    with pytest.raises(ValueError, match="subdomains are fixed at construction"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})


def test_dtypes_may_be_mixed() -> None:
    """Blocks by dtype: the steps are those of one dtype, up to single precision."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Linear(6, 8).double()
            self.second = nn.Linear(8, 4)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(inputs).float())

    mixed = Mixed()
    pure = copy.deepcopy(mixed).double()
    pure.forward = lambda x: pure.second(pure.first(x))
    expected = _run(napts.NTR(pure.parameters()), pure, 0, 10)
    assert _run(napts.NTR(mixed.parameters()), mixed, 0, 10) == pytest.approx(expected, rel=1e-4)


def test_options_show_in_param_groups() -> None:
    optimizer = make("NAPTS", plain(), window=7)
    assert len(optimizer.param_groups) == 4
    assert all(group["window"] == 7 and group["radius"] == 0.1 for group in optimizer.param_groups)
    assert "window: 7" in repr(optimizer)


@pytest.mark.parametrize(("norm", "radii"), [("l2", (0.1, 1e-3, 2.0)), ("inf", (1e-2, 1e-4, 1e-1))])
def test_default_radii_follow_the_norm(norm: str, radii: tuple[float, ...]) -> None:
    group = make("TR", plain(), norm=norm).param_groups[0]
    assert tuple(group[n] for n in ("radius", "radius_min", "radius_max")) == radii
