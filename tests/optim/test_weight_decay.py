"""Weight decay: as part of the loss it is a penalty in the closure, decoupled it is not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim.local_model import FirstOrder
from napts.optim.objective import Objective
from napts.optim.record import PassCounts
from napts.optim.vectors import Layout
from napts.optim.weight_decay import Penalty
from tests.helpers.networks import ALL_METHODS, batch, closure, make, plain, same, snapshot

WEIGHT = 0.05
WIDE = {"norm": "l2", "radius": 0.8, "radius_min": 0.01, "radius_max": 4.0}


def _penalised(model: nn.Module, data: tuple[Tensor, Tensor]) -> Any:
    plain_loss = closure(model, data)
    return lambda: (
        plain_loss()
        + WEIGHT / 2 * torch.stack([p.square().sum() for p in model.parameters()]).sum()
    )


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("TR", {}),
    ("TR", {"order": 2}),
    ("NTR", {"history_scope": "reeval"}),
    ("NTR", {"norm": "inf", "direction": "sign"}),
    ("APTSW", {}),
    ("APTSW", {"forced_decrease": True, "order": 2}),
]


@pytest.mark.parametrize(("method", "options"), VARIANTS)
def test_it_is_a_penalty_in_the_closure(method: str, options: dict[str, Any]) -> None:
    """Losses, radii and parameters of a run, in double precision."""
    one, two = plain(), plain()
    options = {**WIDE, **options}
    decayed, written = (
        make(method, one, weight_decay=WEIGHT, **options),
        make(method, two, **options),
    )
    for seed in range(10):
        data = batch(seed % 3)
        loss = decayed.step(closure(one, data))
        assert loss == pytest.approx(written.step(_penalised(two, data)), rel=1e-12)
        assert decayed.last_step.rejections == written.last_step.rejections
        assert decayed.radius == written.radius
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_local_gradients_are_the_parts_of_the_global_one() -> None:
    model = plain()
    stages = napts.partition_layers(model, 4)
    layout = Layout(stages.parameter_sets)
    penalty = Penalty(layout, [0.3] * len(layout.parameters))
    loss = closure(model, batch())
    with torch.no_grad():
        objective = Objective(loss, layout, FirstOrder(), PassCounts(), penalty=penalty)
        gradient = objective.linearise(stages).model.gradient
        for block, whole in enumerate(gradient):
            with objective.local_pass():
                found = objective.with_decay(block, stages.local_gradient(block))
            torch.testing.assert_close(layout.flatten_block(found), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", ["APTS", "APTSA", "NAPTS"])
@pytest.mark.parametrize("options", [{}, {"last_block_exact": True}, {"shares": "joint"}])
def test_local_steps_see_the_present_weights(method: str, options: dict[str, Any]) -> None:
    """As if the penalty were in the closure and a decomposition added its gradient itself."""

    def linear_loss(model: nn.Module) -> Tensor:
        return model(torch.ones(3, 6, dtype=torch.float64)).sum()

    def run(decay: float) -> tuple[list[float], nn.Module]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)).double()
        stages = napts.partition_layers(model, 2)
        optimizer = getattr(napts, method)(
            stages, weight_decay=decay, **{**WIDE, "local_steps": 3}, **options
        )
        return [optimizer.step(lambda: linear_loss(model)) for _ in range(4)], model

    losses, model = run(2.0)
    torch.manual_seed(0)
    other = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)).double()
    stages = napts.partition_layers(other, 2)
    optimizer = getattr(napts, method)(stages, **{**WIDE, "local_steps": 3}, **options)
    # The same with the penalty's gradient added to every local gradient by hand.
    inner, exact = stages.local_gradient, stages.exact_gradient_of_last

    def local_gradient(subdomain: int, part: Any = None, **more: Any) -> list[Tensor]:
        found, own = inner(subdomain, part, **more), stages.parameter_sets[subdomain]
        return [g + 2.0 * p.detach() for g, p in zip(found, own, strict=True)]

    def exact_gradient_of_last(_: Any) -> list[Tensor]:
        found = exact(lambda: linear_loss(other))
        return [g + 2.0 * p.detach() for g, p in zip(found, stages.parameter_sets[-1], strict=True)]

    stages.local_gradient = local_gradient  # pyright: ignore[reportAttributeAccessIssue]
    stages.exact_gradient_of_last = exact_gradient_of_last  # pyright: ignore[reportAttributeAccessIssue]

    def penalised() -> Tensor:
        return linear_loss(other) + sum(p.square().sum() for p in other.parameters())

    expected = [optimizer.step(penalised) for _ in range(4)]
    assert losses == pytest.approx(expected, rel=1e-12)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-11)


def test_shards_have_their_part_of_it() -> None:
    one, two = plain(), plain()
    decayed = napts.APTSD(one.parameters(), weight_decay=WEIGHT, **WIDE)
    written = napts.APTSD(two.parameters(), **WIDE)

    def loss(inputs: Tensor, targets: Tensor) -> Tensor:
        return _penalised(two, (inputs, targets))()

    for seed in range(6):
        data = batch(seed % 3)
        plain_loss = napts.SplitBatch(lambda x, y: closure(one, (x, y))(), *data)
        expected = written.step(napts.SplitBatch(loss, *data))
        assert decayed.step(plain_loss) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", ALL_METHODS)
def test_decoupled_decay_is_a_step_on_its_own(method: str) -> None:
    one, two = plain(), plain()
    decayed = make(method, one, weight_decay=0.1, decoupled_weight_decay=True)
    by_hand = make(method, two)
    for seed in range(5):
        for group in (*decayed.param_groups, *by_hand.param_groups):
            group["lr"] = 0.5
        with torch.no_grad():
            for parameter in two.parameters():
                parameter.mul_(1 - 0.5 * 0.1)
        data = batch(seed % 3)
        assert decayed.step(closure(one, data)) == by_hand.step(closure(two, data))
    assert same(snapshot(one), snapshot(two))


def test_groups_may_have_their_own() -> None:
    """As biases, which are often left alone."""
    one, two = plain(), plain()
    weights = [p for p in one.parameters() if p.dim() > 1]
    biases = [p for p in one.parameters() if p.dim() == 1]
    optimizer = napts.TR([{"params": weights, "weight_decay": WEIGHT}], **WIDE)
    optimizer.add_param_group({"params": biases, "weight_decay": 0.0})
    written = napts.TR(two.parameters(), **WIDE)

    def penalised() -> Tensor:
        squares = [p.square().sum() for p in two.parameters() if p.dim() > 1]
        return closure(two, batch())() + WEIGHT / 2 * torch.stack(squares).sum()

    for _ in range(6):
        loss = optimizer.step(closure(one, batch()))
        assert loss == pytest.approx(written.step(penalised), rel=1e-12)
    with pytest.raises(ValueError, match="Invalid weight_decay"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "weight_decay": -1.0})


def test_an_edited_decay_counts() -> None:
    model = plain()
    optimizer = make("NAPTS", model)
    before = optimizer.step(closure(model, batch()))
    optimizer.param_groups[1]["weight_decay"] = 1.0
    with torch.no_grad():
        plain_loss = float(closure(model, batch())())
        own = sum(float(p.square().sum()) for p in optimizer.param_groups[1]["params"])
    assert optimizer.step(closure(model, batch())) == pytest.approx(plain_loss + own / 2)
    assert before > plain_loss


def test_what_is_out_of_range_is_refused() -> None:
    for value in (-0.1, float("inf"), float("nan"), True):
        with pytest.raises(ValueError, match="Invalid weight_decay"):
            make("TR", plain(), weight_decay=value)
    with pytest.raises(ValueError, match=r"Invalid weight_decay: 1\.5, must be below 1"):
        make("TR", plain(), weight_decay=1.5, decoupled_weight_decay=True)
    model = plain()
    optimizer = make("TR", model, weight_decay=0.5, decoupled_weight_decay=True)
    optimizer.param_groups[0]["lr"] = 3.0
    for _ in range(2):
        with pytest.raises(ValueError, match=r"lr \* weight_decay is 1\.5, must be at most 1"):
            optimizer.step(closure(model, batch()))
