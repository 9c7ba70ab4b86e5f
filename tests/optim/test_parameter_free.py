"""DoG against its paper's formulas in plain NumPy; the packages of the others still work."""

import copy
import io
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napts.optim import Baseline
from napts.optim.combined import Combined
from napts.optim.dog import DoG
from tests.helpers.networks import batch, closure, noisy, plain, same, snapshot


def _flat_dog(
    model: nn.Module, steps: int, *, reps_rel: float, decay: float, gamma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Iterate and average after some steps: equation (DoG) of arXiv 2302.12022, word by word."""
    parameters = list(model.parameters())

    def flat(tensors: Any) -> np.ndarray:
        return np.concatenate([t.detach().numpy().ravel() for t in tensors])

    x = x_0 = average = flat(parameters)
    distances, squares = [reps_rel * (1 + np.linalg.norm(x_0))], 1e-8
    for t in range(1, steps + 1):
        for p in parameters:
            p.grad = None
        closure(model, batch(t))().backward()
        g = flat(p.grad for p in parameters) + decay * x
        distances.append(float(np.linalg.norm(x - x_0)))
        squares += float(g @ g)
        x = x - max(distances) / math.sqrt(squares) * g
        weight = (1 + gamma) / (t + gamma)
        average = (1 - weight) * average + weight * x
        values = torch.from_numpy(x).split([p.numel() for p in parameters])
        with torch.no_grad():
            for p, value in zip(parameters, values, strict=True):
                p.copy_(value.reshape(p.shape))
    return x, average


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_dog_is_its_formula(decay: float) -> None:
    model, twin = plain(), plain()
    options = {"reps_rel": 1e-3, "weight_decay": decay, "gamma": 3.0}
    adapted = Baseline(DoG(model.parameters(), **options))
    for step in range(1, 41):
        adapted.step(closure(model, batch(step)))
    x, average = _flat_dog(twin, 40, reps_rel=1e-3, decay=decay, gamma=3.0)
    found = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    np.testing.assert_allclose(found, x, rtol=1e-9)
    iterate = snapshot(model)
    adapted.eval_mode()
    found = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    np.testing.assert_allclose(found, average, rtol=1e-9)
    assert np.abs(found - x).max() > 1e-4
    with pytest.raises(RuntimeError, match="allowed: call train"):
        adapted.step(closure(model, batch()))
    adapted.train_mode()
    assert same(iterate, snapshot(model))  # to the last bit


@pytest.mark.parametrize("at", ["training", "evaluation"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dog_resumes(at: str, dtype: torch.dtype) -> None:
    model = plain(dtype)
    first = Baseline(DoG(model.parameters(), reps_rel=1e-2))
    for step in range(5):
        first.step(closure(model, batch(step, dtype=dtype)))
    if at == "evaluation":
        first.eval_mode()
    file = io.BytesIO()
    torch.save((model.state_dict(), first.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    twin = plain(dtype)
    twin.load_state_dict(weights)
    second = Baseline(DoG(twin.parameters()))
    second.load_state_dict(state)
    clone, third = copy.deepcopy((model, first))
    pickled, fourth = pickle.loads(pickle.dumps((model, first)))
    runs = [(model, first), (twin, second), (clone, third), (pickled, fourth)]
    for network, optimizer in runs:
        optimizer.train_mode()
        for step in range(5):
            optimizer.step(closure(network, batch(step + 9, dtype=dtype)))
        optimizer.eval_mode()
    assert all(same(snapshot(model), snapshot(network)) for network, _ in runs)


def test_dog_leaves_alone_what_is_not_trained() -> None:
    model = plain()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    adapted = Baseline(
        DoG([{"params": model[:3].parameters()}, {"params": model[3:].parameters()}])
    )
    unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    adapted.add_param_group({"params": [unused]})
    for step in range(3):
        adapted.step(closure(model, batch(step)))
    adapted.eval_mode()
    assert torch.equal(before, model[0].weight)
    assert unused.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reps_rel": 0.0}, r"Invalid reps_rel: 0\.0, must be above 0"),
        ({"gamma": -1.0}, r"Invalid gamma: -1\.0, must be at least 0"),
        ({"lr": -1.0}, r"Invalid lr: -1\.0"),
        ({"gamma": -1}, "Invalid gamma: -1"),
        ({"eps": math.nan}, "Invalid eps: nan"),
    ],
)
def test_dog_checks_its_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DoG(plain().parameters(), **options)


def test_dog_wants_dense_gradients() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    with pytest.raises(RuntimeError, match="found a sparse gradient"):
        Baseline(DoG(table.parameters())).step(lambda: table(torch.tensor([1])).sum())


def test_a_schedule_scales_dog() -> None:
    model, twin = plain(), plain()
    one, half = DoG(model.parameters()), DoG(twin.parameters())
    half.param_groups[0]["lr"] = 0.5
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    for network, optimizer in ((model, one), (twin, half)):
        Baseline(optimizer).step(closure(network, batch()))
    moved = [
        torch.nn.utils.parameters_to_vector(network.parameters()).detach() - start
        for network in (model, twin)
    ]
    torch.testing.assert_close(moved[0], 2.0 * moved[1], rtol=1e-7, atol=1e-15)


def _packaged(name: str) -> Any:
    module, _, kind = name.rpartition(".")
    return getattr(pytest.importorskip(module), kind)


@pytest.mark.parametrize(
    "name",
    [
        "prodigyopt.Prodigy",
        "schedulefree.AdamWScheduleFree",
        "schedulefree.SGDScheduleFree",
        "schedulefree.AdamWScheduleFreeClosure",
        "dadaptation.DAdaptAdam",
        "dadaptation.DAdaptSGD",
    ],
)
@pytest.mark.parametrize("at", ["training", "evaluation"])
def test_packages_step_count_and_resume(name: str, at: str) -> None:
    """Bit for bit, from either mode; one evaluation a step; frozen parameters stay."""
    kind = _packaged(name)

    def make() -> tuple[nn.Module, Baseline]:
        model = noisy()
        model[0].bias.requires_grad_(False)
        return model, Baseline(kind(model.parameters()))

    def train(model: nn.Module, optimizer: Baseline, first: int) -> list[float]:
        optimizer.train_mode()
        torch.manual_seed(first)
        return [optimizer.step(closure(model, batch(first + step))) for step in range(25)]

    model, optimizer = make()
    frozen = model[0].bias.clone()
    optimizer.eval_mode()  # as before the first epoch
    losses = train(model, optimizer, 0)
    record = optimizer.last_step
    assert record is not None
    assert record.forwards == record.backwards == 1
    if at == "evaluation":
        optimizer.eval_mode()
    file = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    twin_model, twin = make()
    twin_model.load_state_dict(weights)
    twin.load_state_dict(state)
    assert train(model, optimizer, 50) == train(twin_model, twin, 50)
    assert same(snapshot(model), snapshot(twin_model))
    copied_model, copied = copy.deepcopy((model, optimizer))
    later = train(model, optimizer, 100)
    assert later == train(copied_model, copied, 100)
    assert torch.equal(frozen, model[0].bias)
    assert math.isfinite(later[-1])
    assert len({*losses, *later}) == 50


def test_schedule_free_is_evaluated_at_its_average() -> None:
    """The average of the package's own formula: x is where beta y + (1 - beta) z leads back."""
    kind = _packaged("schedulefree.SGDScheduleFree")
    model = plain()
    optimizer = Baseline(kind(model.parameters(), lr=0.1, momentum=0.9))
    start = snapshot(model)
    optimizer.train_mode()
    z = [p.detach().clone() for p in model.parameters()]
    x = [p.clone() for p in z]
    for step in range(1, 6):
        optimizer.step(closure(model, batch(step)))
        for i, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            z[i] = z[i] - 0.1 * parameter.grad
            x[i] = x[i] + (z[i] - x[i]) / step
    optimizer.eval_mode()
    assert not same(start, snapshot(model))
    for expected, parameter in zip(x, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-10, atol=1e-12)


def _pair(model: nn.Module) -> Combined:
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    return Combined([torch.optim.SGD(matrices, lr=0.1, momentum=0.9), DoG(vectors)])


def test_combined_optimizers_share_one_evaluation() -> None:
    model, twin = plain(), plain()
    adapted, parts = Baseline(_pair(model)), _pair(twin).optimizers
    schedule = torch.optim.lr_scheduler.StepLR(adapted, step_size=2)
    for step in range(6):
        twin.zero_grad()
        closure(twin, batch(step))().backward()
        for part in parts:
            part.step()
        adapted.step(closure(model, batch(step)))
        record = adapted.last_step
        assert record is not None
        assert record.forwards == record.backwards == 1
        assert same(snapshot(model), snapshot(twin))
        if step % 2:
            for group in [group for part in parts for group in part.param_groups]:
                group["lr"] *= 0.1
        schedule.step()
    adapted.eval_mode()
    assert not same(snapshot(model), snapshot(twin))
    file = io.BytesIO()
    torch.save((model.state_dict(), adapted.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    restored_model = plain()
    restored_model.load_state_dict(weights)
    restored = Baseline(_pair(restored_model))
    restored.load_state_dict(state)
    clone_model, clone = copy.deepcopy((model, adapted))
    runs = [(model, adapted), (restored_model, restored), (clone_model, clone)]
    for network, optimizer in runs:
        optimizer.train_mode()
        for step in range(3):
            optimizer.step(closure(network, batch(step)))
    assert all(same(snapshot(model), snapshot(network)) for network, _ in runs)


def test_combined_refuses_what_cannot_be() -> None:
    model = plain()
    every = list(model.parameters())
    with pytest.raises(ValueError, match="that have no parameter in common"):
        Combined([torch.optim.SGD(every), torch.optim.Adam(every[:1])])
    with pytest.raises(ValueError, match="LBFGS evaluates the loss itself, allowed: alone"):
        Combined([torch.optim.SGD(every[1:]), torch.optim.LBFGS(every[:1])])
    with pytest.raises(ValueError, match="found a group for all optimizers"):
        _pair(model).add_param_group({"params": []})
    with pytest.raises(ValueError, match="found the state of 1 optimizers, allowed: 2"):
        _pair(model).load_state_dict({"optimizers": [{}]})
