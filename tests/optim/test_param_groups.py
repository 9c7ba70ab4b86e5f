"""Options in parameter groups: edits are obeyed, and what may not differ is refused."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

import napts
from tests.helpers.networks import ALL_METHODS, batch, closure, make, noisy, plain, same, snapshot


def _run(optimizer: Any, model: nn.Module, first: int, last: int) -> list[float]:
    return [optimizer.step(closure(model, batch(step % 3))) for step in range(first, last)]


@pytest.mark.parametrize("method", ALL_METHODS)
def test_an_edit_holds_from_the_next_step_on(method: str) -> None:
    model = plain()
    optimizer = make(method, model, radius=0.05, radius_min=0.001, radius_max=0.05, norm="l2")
    _run(optimizer, model, 0, 1)
    optimizer.param_groups[0]["eta_2"] = 1e-4
    optimizer.param_groups[0]["eta_1"] = 1e-4
    optimizer.param_groups[0]["grow"] = 3.0
    optimizer.param_groups[0]["radius_max"] = 50.0
    before = optimizer.radius
    _run(optimizer, model, 1, 2)
    assert optimizer.radius > 2.9 * before
    assert all(group["grow"] == 3.0 for group in optimizer.param_groups)


def test_memories_outlive_an_edit() -> None:
    """An edit that changes nothing that matters changes no bit, whatever is remembered."""
    for method, options in (
        ("NTR", {"order": 2, "history_scope": "reeval"}),
        ("NTR", {"history": "constant-memory", "window": 2}),
        ("NAPTS", {"moments": "kept", "shared_history": False}),
        ("NAPTS", {"history_scope": "reeval"}),
    ):
        one, two = noisy(), noisy()
        undisturbed, edited = make(method, one, **options), make(method, two, **options)
        torch.manual_seed(1)
        expected = _run(undisturbed, one, 0, 12)
        torch.manual_seed(1)
        found = _run(edited, two, 0, 6)
        edited.param_groups[0]["radius_max"] = 2.5
        assert found + _run(edited, two, 6, 12) == expected
        assert same(snapshot(one), snapshot(two))


@pytest.mark.parametrize("kind", ["windowed", "constant-memory"])
def test_a_memory_may_get_another_length(kind: str) -> None:
    model = plain()
    optimizer = make("NTR", model, history=kind, window=6)
    _run(optimizer, model, 0, 8)
    optimizer.param_groups[0]["window"] = 2
    _run(optimizer, model, 8, 9)
    (history,) = optimizer.state_dict()["state"][0]["histories"]
    assert len(history.get("entries", "..")) == 2
    assert history.get("since_minimum", 0) <= 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("eta_1", 0.9, "Invalid eta_1"),
        ("shrink", 1.5, "Invalid shrink"),
        ("norm", "l1", "Invalid norm: l1, must be one of l2, inf"),
        ("radius", 7.0, "Invalid radius: 7.0, must lie in"),
        ("radius_max", 1e-4, "Invalid radius_min: 0.001, must be at most radius_max = 0.0001"),
        (
            "radius_floor",
            "soft",
            "Invalid radius_floor: soft, must be one of yielding, fixed, repeated",
        ),
        ("weight_decay", -1.0, "Invalid weight_decay: -1.0"),
        ("lr", -0.5, "Invalid lr: -0.5, must be at least 0 and finite"),
        ("lr", float("nan"), "Invalid lr: nan"),
    ],
)
def test_edits_are_checked(name: str, value: Any, message: str) -> None:
    model = plain()
    optimizer = make("TR", model)
    optimizer.param_groups[0][name] = value
    for _ in range(2):  # it stays wrong until it is put right
        with pytest.raises(ValueError, match=message):
            _run(optimizer, model, 0, 1)


@pytest.mark.parametrize(("name", "value"), [("eta_1", 0.1), ("lr", 0.5), ("radius", 0.2)])
def test_groups_that_differ_are_refused(name: str, value: float) -> None:
    model = plain()
    optimizer = make("NAPTS", model)
    optimizer.param_groups[2][name] = value
    with pytest.raises(ValueError, match=rf"{name} cannot differ between groups, found .* group 2"):
        _run(optimizer, model, 0, 1)


def test_a_resumed_run_obeys_the_same_edits() -> None:
    """Also one that was made after the last step before saving."""
    edits = {"eta_1": 0.4, "eta_2": 0.5, "radius": 0.02, "radius_max": 0.06}
    runs = []
    for saved in (False, True):
        model = plain()
        optimizer = make("APTS", model)
        losses = _run(optimizer, model, 0, 4)
        for group in optimizer.param_groups:
            group.update(edits)
        if saved:
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            optimizer = make("APTS", model)
            optimizer.load_state_dict(torch.load(file, weights_only=True))
        runs.append((losses + _run(optimizer, model, 4, 12), optimizer.radius))
    assert runs[0] == runs[1]


def test_editing_the_radius_sets_the_current_one() -> None:
    model = plain()
    optimizer = make("NAPTS", model, shared_radius=False)
    optimizer.param_groups[0]["radius"] = 0.4
    _run(optimizer, model, 0, 1)
    assert optimizer.last_step.radius_before == 0.4
    assert next(t for t in optimizer.last_step.trials if t.phase == "proposal").radius == 0.4


def test_the_radius_can_be_set() -> None:
    model = plain()
    optimizer = make("NAPTS", model, shared_radius=False)
    optimizer.radius = 0.05
    assert optimizer.radius == 0.05
    _run(optimizer, model, 0, 1)
    assert {t.radius for t in optimizer.last_step.trials[:1]} == {0.05}
    for value in (1e-4, 3.0, float("nan")):
        with pytest.raises(ValueError, match=r"Invalid radius: .*, must lie in \[0.001, 2.0\]"):
            optimizer.radius = value


def test_a_new_group_has_the_edited_options() -> None:
    model = plain()
    optimizer = napts.TR(model[:3].parameters(), radius=0.1)
    optimizer.param_groups[0]["eta_1"] = 0.5
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.add_param_group({"params": list(model[3:].parameters())})
    _run(optimizer, model, 0, 3)
    assert [(g["eta_1"], g["lr"]) for g in optimizer.param_groups] == [(0.5, 0.5)] * 2


def test_an_older_state_loads() -> None:
    """One without what has come since: the factor, decay, floor, blocks, counts of each block."""
    model = plain()
    optimizer = make("NAPTS", model, moments="kept", radius_floor="fixed")
    _run(optimizer, model, 0, 4)
    saved = copy.deepcopy(optimizer.state_dict())
    for group in saved["param_groups"]:
        for name in ("lr", "weight_decay", "decoupled_weight_decay", "radius_floor"):
            del group[name]
    own = saved["state"][0]
    for name in ("yielded", "rejected"):
        del own[name]
    twin = copy.deepcopy(model)
    resumed = make("NAPTS", twin, moments="kept", radius_floor="fixed")
    resumed.load_state_dict(saved)
    assert _run(resumed, twin, 4, 8) == _run(optimizer, model, 4, 8)


def test_step_without_a_closure() -> None:
    optimizer = make("TR", plain())
    with pytest.raises(ValueError, match=r"needs a closure .* found none: write `optimizer\.step"):
        optimizer.step()
    with pytest.raises(ValueError, match=r"needs a closure .* found Tensor"):
        optimizer.step(torch.ones(()))


@pytest.mark.parametrize("baseline", [False, True])
def test_a_gradient_scaler_is_told_what_to_do(baseline: bool) -> None:
    model = plain(torch.float32)
    adam = torch.optim.Adam(model.parameters())
    optimizer = napts.Baseline(adam) if baseline else make("TR", model)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(closure(model, batch(dtype=torch.float32))()).backward()
    with pytest.raises(RuntimeError, match="need no scaling of the loss"):
        scaler.step(optimizer)
    off = torch.amp.GradScaler("cpu", enabled=False)
    with pytest.raises(ValueError, match="needs a closure"):
        off.step(optimizer)


def test_gradients_that_are_not_used_are_told_of_once() -> None:
    model = plain()
    optimizer = make("TR", model)
    closure(model, batch())().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    with pytest.warns(UserWarning, match=r"found in \.grad are not used, so clipping") as found:
        _run(optimizer, model, 0, 2)
    assert len(found) == 1
    assert found[0].filename == __file__
    fresh = make("TR", model)
    fresh.zero_grad()
    _run(fresh, model, 0, 1)
