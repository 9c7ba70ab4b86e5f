"""The smallest radius: it yields where no step is accepted, or is fixed and says so."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from tests.helpers.networks import batch, closure, make, plain, same, snapshot

STUCK = "no step was accepted in the last 5 calls although each promised a reduction"


class _Bent(nn.Module):
    """``scale / 2 * ||theta - target||^2``: a step of the smallest radius overshoots."""

    def __init__(self, scale: float = 1e8, size: int = 4, start: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.theta = nn.Parameter(torch.full((size,), start, dtype=torch.float64))
        self.target = torch.full((size,), start + 1e-5, dtype=torch.float64)

    def loss(self) -> Tensor:
        return self.scale / 2 * (self.theta - self.target).square().sum()


def _network(name: str) -> tuple[nn.Module, Any]:
    from napts.problems.torchvision_shim import load_torchvision

    torch.manual_seed(0)
    model = getattr(load_torchvision().models, name)(weights=None, num_classes=10)
    inputs, targets = torch.randn(4, 3, 32, 32), torch.arange(4)
    return model, lambda: nn.functional.cross_entropy(model(inputs), targets)


def _repeat(optimizer: Any, loss: Any, times: int) -> None:
    for _ in range(times):
        optimizer.step(loss)


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x0_5"])
@pytest.mark.parametrize("method", ["TR", "NTR"])
def test_networks_train_whose_loss_bends_within_the_smallest_radius(name: str, method: str) -> None:
    model, loss = _network(name)
    optimizer = getattr(napts, method)(model.parameters())
    accepted = 0
    for _ in range(8):
        optimizer.step(loss)
        accepted += optimizer.last_step.accepted
    assert accepted >= 3
    assert optimizer.radius < 1e-3


@pytest.mark.parametrize("options", [{}, {"forced_decrease": True}])
def test_a_proposal_that_stays_put_is_no_accepted_step(options: dict[str, Any]) -> None:
    """Subdomains that all reject their own steps propose the iterate itself."""
    model = _Bent()
    sets = napts.deal_parameters(model, 1)
    optimizer = napts.APTSW(sets, local_steps=1, radius=1e-4, **options)
    before = float(model.loss().detach())
    for _ in range(3):
        optimizer.step(model.loss)
    trials = optimizer.last_step.trials
    assert optimizer.radius < 1e-4 or any(t.accepted and t.step_norm > 0 for t in trials)
    _repeat(optimizer, model.loss, 5)
    assert float(model.loss().detach()) < before


def test_a_fixed_floor_warns_once() -> None:
    model, loss = _network("shufflenet_v2_x0_5")
    optimizer = napts.TR(model.parameters(), radius_floor="fixed", radius=1e-3)
    before = [p.clone() for p in model.parameters()]
    with pytest.warns(UserWarning, match=STUCK) as found:
        _repeat(optimizer, loss, 7)
    assert len(found) == 1
    assert "radius is 0.001, which is radius_min" in str(found[0].message)
    assert found[0].filename == __file__
    assert optimizer.radius == 1e-3
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore:.*no step was accepted")
def test_the_floor_holds_while_steps_are_accepted() -> None:
    """And again, once the radius has grown back to it."""
    model = _Bent()
    optimizer = napts.TR(model.parameters(), radius=1e-3, max_tries=1)
    radii = []
    for _ in range(60):
        optimizer.step(model.loss)
        radii.append(optimizer.radius)
        if optimizer.last_step.accepted and len(radii) > 5:
            break
    # The first step is rejected at the floor, which yields from the next one on.
    assert radii[:4] == pytest.approx([1e-3, 5e-4, 2.5e-4, 1.25e-4])
    assert model.loss() < 1e8 / 2 * 4e-10
    model.scale, model.target = 1e-6, model.target + 1.0
    while optimizer.radius < 1e-3:
        optimizer.step(model.loss)
        assert optimizer.last_step.accepted
    assert not optimizer.state_dict()["state"][0]["yielded"][0]


@pytest.mark.filterwarnings("ignore:.*no step was accepted")
@pytest.mark.parametrize("norm", ["l2", "inf"])
@pytest.mark.parametrize("start", [1.0, 0.0])
def test_it_yields_no_further_than_to_rounding(norm: Any, start: float) -> None:
    """Also where the parameters are 0 and have no rounding."""
    model = _Bent(start=start)
    optimizer = napts.TR(model.parameters(), norm=norm, max_tries=20)
    rise = iter(range(10**6))
    for _ in range(30):
        # Every trial is worse, and every gradient promises something.
        optimizer.step(lambda: next(rise) + model.loss() + 1e4 * model.theta.sum())
    eps = torch.finfo(torch.float64).eps
    expected = eps if start else eps * (1e-3 if norm == "l2" else 1e-4)
    assert optimizer.radius == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.*no step was accepted")
@pytest.mark.parametrize("method", ["NAPTS", "APTS"])
@pytest.mark.parametrize("options", [{}, {"retry": "shrink"}, {"shared_radius": False}])
def test_proposals_have_the_same_floor(method: str, options: dict[str, Any]) -> None:
    model, bent = plain(), 1e7
    floors = {"yielding": 0, "fixed": 0}
    for floor in floors:
        twin = copy.deepcopy(model)
        optimizer = make(method, twin, radius=0.5, radius_min=0.5, radius_floor=floor, **options)
        for _ in range(8):
            optimizer.step(lambda m=twin: bent * closure(m, batch())().square())
            phases = {t.phase: t.radius for t in optimizer.last_step.trials}
            floors[floor] += phases.get("proposal", 1.0) < 0.5
        assert optimizer.radius <= 0.5 or optimizer.last_step.accepted
    assert floors["fixed"] == 0


@pytest.mark.filterwarnings("ignore:.*no step was accepted")
@pytest.mark.parametrize("stop", range(1, 8))
def test_a_run_resumes_below_the_floor(stop: int) -> None:
    runs = []
    for stopped in (False, True):
        model, radii = _Bent(), []
        optimizer = napts.NTR(model.parameters(), radius=4e-3, max_tries=2)
        for step in range(14):
            if stopped and step == stop:
                saved = copy.deepcopy(optimizer.state_dict())
                optimizer = napts.NTR(model.parameters(), radius=4e-3, max_tries=2)
                optimizer.load_state_dict(saved)
            optimizer.step(model.loss)
            radii.append(optimizer.radius)
        runs.append((radii, model.theta.tolist()))
    assert runs[0] == runs[1]
    assert min(runs[0][0]) < 1e-3


def test_what_is_accepted_changes_no_bit() -> None:
    one, two = plain(), plain()
    yielding, fixed = make("NAPTS", one), make("NAPTS", two, radius_floor="fixed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(10):
            data = batch(seed % 3)
            assert yielding.step(closure(one, data)) == fixed.step(closure(two, data))
    assert same(snapshot(one), snapshot(two))


def test_the_papers_presets_have_the_papers_floor() -> None:
    own = {"light": None, "paper-times": "repeated"}
    for name, methods in napts.PRESETS.items():
        for options in methods.values():
            assert options.get("radius_floor") == own.get(name, "fixed")


@pytest.mark.filterwarnings("ignore:.*no step was accepted")
@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "APTSA", "NAPTS"])
def test_tries_repeated_at_the_floor_cost_forwards_and_change_nothing_else(method: str) -> None:
    """Each wholly rejected global step at the floor counts the tries that it had left."""
    model, tries, repeats = plain(), 6, 0
    one, two = copy.deepcopy(model), copy.deepcopy(model)
    options = {"radius": 4.0, "radius_min": 4.0, "radius_max": 4.0, "max_tries": tries}
    fixed = make(method, one, radius_floor="fixed", **options)
    repeated = make(method, two, radius_floor="repeated", **options)
    for step in range(12):
        for optimizer, net in ((fixed, one), (repeated, two)):
            optimizer.step(lambda m=net, s=step: 10 * closure(m, batch(seed=s))().square())
        mine, theirs = (
            [t for t in o.last_step.trials if t.phase == "global"] for o in (fixed, repeated)
        )
        failed = not mine[-1].accepted
        assert len(mine) == 1
        assert theirs == mine * (tries if failed else 1)
        more = tries - 1 if failed else 0
        assert repeated.last_step.rejections == fixed.last_step.rejections + more
        assert repeated.last_step.forwards == fixed.last_step.forwards + more
        assert repeated.last_step.backwards == fixed.last_step.backwards
        assert same(snapshot(one), snapshot(two))
        repeats += failed
    assert repeats
