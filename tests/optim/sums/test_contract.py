"""Methods for finite sums as optimizers of torch: options, states, copies, errors, networks."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

import napts
from napts.optim.sums import FiniteSum, LogisticSum
from tests.helpers.sums import flat, sum_of, weight

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "TRNewton": [{}, {"radius": 0.1}],
    "ASTROM": [{"share": 0.05}, {"share": 0.3, "coarse_steps": 1, "radius": 3.0}],
    "MLVR": [
        {},
        {"shares": (0.1, 0.4), "coarse_solver": "gd", "post_smoothing_steps": 1},
        {"resample": "never", "cycle": "W"},
        {"resample": "step", "coarse_solver": "gd", "lr": 0.05, "line_search": False},
    ],
    "SSN": [{}, {"share": 0.3, "lr": 0.5}],
}
CASES = [(method, options) for method, cases in OPTIONS.items() for options in cases]
METHODS = list(OPTIONS)
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("TRNewton", {"radius": 0.0}, r"Invalid radius: 0\.0, must be above 0"),
    ("TRNewton", {"radius_max": 0.5}, r"Invalid radius: 1\.0, must lie in \[1e-16, 0\.5\]"),
    ("TRNewton", {"eta_1": 0.8}, "Invalid eta_1"),
    ("TRNewton", {"rounding": -1.0}, "Invalid rounding"),
    ("TRNewton", {"cg_iterations": 0}, "Invalid cg_iterations: 0, must be integer"),
    ("ASTROM", {"share": 0.0}, r"Invalid share: 0\.0, must be in \(0, 1\]"),
    ("ASTROM", {"growth": 1.0}, r"Invalid growth: 1\.0, must be above 1"),
    ("ASTROM", {"coarse_steps": 0}, "Invalid coarse_steps"),
    ("ASTROM", {"seed": -1}, "Invalid seed"),
    ("MLVR", {"shares": ()}, "must be at least one share of the samples"),
    ("MLVR", {"shares": (0.4, 0.1)}, "must not decrease"),
    ("MLVR", {"shares": (0.4, 1.5)}, r"must be shares in \(0, 1\]"),
    ("MLVR", {"resample": "often"}, "must be one of cycle, step, never"),
    ("MLVR", {"coarse_solver": "adam"}, "must be one of newton, gd"),
    ("MLVR", {"cycle": "F"}, "must be one of V, W"),
    ("MLVR", {"lr": -1.0}, "Invalid lr"),
    ("SSN", {"lr": 0.0}, r"Invalid lr: 0\.0, must be above 0"),
    ("SSN", {"armijo": 1.0}, "Invalid armijo"),
]


def make(method: str, parameters: Any, **options: Any) -> Any:
    if method != "TRNewton":
        options = {"seed": 11, **options}
    return getattr(napts, method)(parameters, **options)


def steps(optimizer: Any, total: Any, count: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(count):
        optimizer.step(total)
        found.append(optimizer.last_step.as_dict())
    return found


@pytest.mark.parametrize(("method", "options", "message"), BAD)
def test_bad_arguments(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(napts, method)([weight()], **options)


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(TypeError, match=r"'share'. Did you mean 'shares'\?"):
        napts.MLVR([weight()], share=0.1)  # pyright: ignore[reportCallIssue]


def _reloaded(optimizer: Any, fresh: Any) -> Any:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize(("method", "options"), CASES)
def test_going_on_from_a_saved_state(method: str, options: dict[str, Any], stop: int) -> None:
    """Bit for bit, counts included: what was kept of the iterate is not paid for again."""
    straight = weight()
    whole = steps(make(method, [straight], **options), sum_of(straight, flat()), 9)
    parameter = weight()
    first = make(method, [parameter], **options)
    before = steps(first, sum_of(parameter, flat()), stop)
    again = weight()
    with torch.no_grad():
        again.copy_(parameter)
    second = _reloaded(first, make(method, [again]))
    after = steps(second, sum_of(again, flat()), 9 - stop)
    assert before + after == whole
    assert torch.equal(straight, again)


@pytest.mark.parametrize(
    ("method", "options"), [("ASTROM", {"share": 0.3}), ("MLVR", {"resample": "never"})]
)
def test_going_on_with_sparse_data(method: str, options: dict[str, Any]) -> None:
    """A subset that is taken again rounds as the one that was there."""

    def sparse(parameter: nn.Parameter) -> FiniteSum:
        problem = flat()
        inputs = torch.from_numpy(problem.x * (abs(problem.x) > 0.5)).to_sparse_csr()
        return LogisticSum.of([parameter], inputs, torch.from_numpy(problem.c), problem.lam)

    straight, parameter = weight(), weight()
    whole = steps(make(method, [straight], **options), sparse(straight), 9)
    optimizer = make(method, [parameter], **options)
    found = []
    for _ in range(9):
        found += steps(optimizer, sparse(parameter), 1)
        optimizer = _reloaded(optimizer, make(method, [parameter], **options))
    assert found == whole
    assert torch.equal(straight, parameter)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize(("method", "options"), CASES)
def test_copies_go_on_by_themselves(
    method: str, options: dict[str, Any], copied: Callable[[Any], Any]
) -> None:
    parameter = weight()
    optimizer = make(method, [parameter], **options)
    total = sum_of(parameter, flat())
    steps(optimizer, total, 3)
    other = copied(optimizer)
    (theirs,) = other.param_groups[0]["params"]
    assert theirs is not parameter
    found = steps(other, sum_of(theirs, flat()), 4)
    assert steps(optimizer, total, 4) == found
    assert torch.equal(parameter, theirs)


class Failing(FiniteSum):
    """Raises at one of its evaluations."""

    def __init__(self, inner: FiniteSum, at: int) -> None:
        super().__init__(inner.layout)
        self.inner, self.at, self.seen = inner, [at], [0]

    def _note(self) -> FiniteSum:
        self.seen[0] += 1
        if self.seen[0] == self.at[0]:
            raise MemoryError("out of memory")
        return self.inner

    def __len__(self) -> int:
        return len(self.inner)

    def __call__(self) -> Tensor:
        return self.inner()

    def value(self, theta: Any) -> float:
        return self._note().value(theta)

    def value_and_gradient(self, theta: Any) -> Any:
        return self._note().value_and_gradient(theta)

    def hessian(self, theta: Any) -> Any:
        return self._note().hessian(theta)

    def take(self, samples: Any) -> "Failing":
        part = Failing(self.inner.take(samples), 0)
        part.at, part.seen = self.at, self.seen
        return part


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_failure_leaves_no_trace(method: str, options: dict[str, Any], at: int) -> None:
    parameter, straight = weight(), weight()
    inner = sum_of(parameter, flat())
    total = Failing(inner, 0)
    optimizer = make(method, [parameter], **options)
    expected = steps(make(method, [straight], **options), sum_of(straight, flat()), 6)
    found = steps(optimizer, total, 2)
    total.at[0], failed = total.seen[0] + at, 0
    while len(found) < 6:
        before = parameter.detach().clone()
        try:
            found += steps(optimizer, total, 1)
        except MemoryError:
            failed += 1
            assert torch.equal(parameter, before)
    assert failed == 1
    assert [record["loss"] for record in found] == [record["loss"] for record in expected]
    assert torch.equal(parameter, straight)


@pytest.mark.parametrize("method", METHODS)
def test_no_step_where_the_loss_is_not_finite(method: str) -> None:
    parameter = weight()
    with torch.no_grad():
        parameter.fill_(float("nan"))
    optimizer = make(method, [parameter])
    loss = optimizer.step(sum_of(parameter, flat()))
    assert loss != loss
    assert not optimizer.last_step.accepted
    assert parameter.isnan().all()


@pytest.mark.parametrize("method", ["ASTROM", "MLVR", "SSN"])
def test_a_closure_does_not_tell_its_samples(method: str) -> None:
    parameter = weight()
    with pytest.raises(ValueError, match="this method needs to know the parts of a batch"):
        make(method, [parameter]).step(lambda: parameter.square().sum())


def test_a_step_without_a_closure() -> None:
    with pytest.raises(ValueError, match="step\\(\\) needs a closure"):
        napts.SSN([weight()]).step()


def test_options_can_be_edited_and_must_agree() -> None:
    first, second = nn.Parameter(torch.zeros(3).double()), nn.Parameter(torch.zeros(3).double())
    problem = flat()
    inputs, labels = torch.from_numpy(problem.x), torch.from_numpy(problem.c)

    def loss(samples: tuple[Tensor, Tensor]) -> Tensor:
        x, c = samples
        both = torch.cat([first, second])
        return -nn.functional.logsigmoid(c * (x @ both)).mean() + 0.01 * both.square().sum()

    batch = napts.Batch(loss, (inputs, labels))
    optimizer = napts.ASTROM([{"params": [first]}, {"params": [second]}], seed=0)
    optimizer.step(batch)
    for group in optimizer.param_groups:
        group["radius"] = 0.01
    before = torch.cat([first, second]).detach()
    optimizer.step(batch)
    assert torch.linalg.vector_norm(torch.cat([first, second]) - before) <= 0.01 * (1 + 1e-12)
    optimizer.param_groups[1]["eta_1"] = 0.3
    with pytest.raises(ValueError, match=r"eta_1 cannot differ between groups, found 0\.25"):
        optimizer.step(batch)
    optimizer.param_groups[1]["eta_1"] = optimizer.param_groups[0]["eta_1"] = 0.9
    with pytest.raises(ValueError, match="Invalid eta_1"):
        optimizer.step(batch)


def test_a_scheduler_drives_a_fixed_length() -> None:
    parameter, total = weight(), None
    optimizer = napts.SSN([parameter], lr=0.5, share=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)
    total = sum_of(parameter, flat())
    optimizer.step(total)
    scheduler.step()
    at = parameter.detach().clone()
    optimizer.step(total)
    shorter = parameter.detach() - at
    other = weight()
    with torch.no_grad():
        other.copy_(at)
    napts.SSN([other], lr=0.5, share=1.0).step(sum_of(other, flat()))
    torch.testing.assert_close(10 * shorter, other.detach() - at, rtol=1e-9, atol=0)


def test_seeds_decide_about_the_samples() -> None:
    def after(method: str, seed: int | None, torch_seed: int) -> Tensor:
        torch.manual_seed(torch_seed)
        parameter = weight()
        steps(getattr(napts, method)([parameter], seed=seed), sum_of(parameter, flat()), 8)
        return parameter.detach()

    for method in ("ASTROM", "MLVR", "SSN"):
        assert torch.equal(after(method, 1, 0), after(method, 1, 1))
        assert not torch.equal(after(method, 1, 0), after(method, 2, 0))
        assert torch.equal(after(method, None, 3), after(method, None, 3))
        assert not torch.equal(after(method, None, 3), after(method, None, 4))


def _network(dtype: torch.dtype) -> tuple[nn.Module, napts.Batch]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2)).to(dtype)
    inputs, targets = torch.randn(64, 5).to(dtype), torch.randint(2, (64,))

    def loss(samples: tuple[Tensor, Tensor]) -> Tensor:
        penalty = sum(p.square().sum() for p in model.parameters())
        return nn.functional.cross_entropy(model(samples[0]), samples[1]) + 0.005 * penalty

    return model, napts.Batch(loss, (inputs, targets))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_the_loss_of_a_network_on_all_samples(method: str, dtype: torch.dtype) -> None:
    """Its Hessian is not definite, its samples are dropped out; the loss falls all the same."""
    more = {"share": 0.25} if method == "ASTROM" else {}
    model, batch = _network(dtype)
    model.eval()
    optimizer = make(method, model.parameters(), **more)
    losses = [optimizer.step(batch) for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]
    assert optimizer.last_step.cg_iterations > 0
    model, batch = _network(dtype)  # with dropout each step has a mask of its own
    optimizer = make(method, model.parameters(), **more)
    losses = [optimizer.step(batch) for _ in range(12)]
    assert min(losses) < losses[0]


@pytest.mark.filterwarnings("ignore:.*barrier")
def test_a_network_that_is_averaged_over_processes_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(3, 1)
    inputs = torch.randn(8, 3)
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        batch = napts.Batch(lambda x: wrapped(x).square().mean(), inputs)
        with pytest.raises(ValueError, match="found DistributedDataParallel, allowed where"):
            napts.SSN(model.parameters()).step(batch)
    finally:
        distributed.destroy_process_group()


def test_a_state_of_an_older_version_keeps_the_options_that_it_lacks() -> None:
    first, second = napts.SSN([weight()], share=0.5), napts.SSN([weight()], backtracks=3)
    state = first.state_dict()
    del state["param_groups"][0]["backtracks"]
    second.load_state_dict(state)
    assert second.param_groups[0]["backtracks"] == 3
    assert second.param_groups[0]["share"] == 0.5


def _counted(loss: Callable[[Tensor], Tensor], key: str | None) -> tuple[napts.Batch, list[int]]:
    """A batch of a loss whose evaluations with a graph are counted."""
    graphs: list[int] = []

    def noted(x: Tensor) -> Tensor:
        graphs.append(int(torch.is_grad_enabled()))
        return loss(x)

    batch = napts.Batch(noted, torch.linspace(-2.0, 2.0, 20).double())
    batch.function_key = key
    return batch, graphs


@pytest.mark.parametrize(("key", "drop"), [(None, 0.0), ("one", 0.0), ("one", 0.5)])
def test_what_is_known_of_a_loss_is_not_evaluated_again(key: str | None, drop: float) -> None:
    """After a rejected step: for the same batch, or one that says that it has the same loss."""
    parameter = nn.Parameter(torch.tensor([0.4, -0.3]).double())

    def loss(x: Tensor) -> Tensor:
        x = nn.functional.dropout(x, drop)
        return (torch.sin(9 * parameter[0] * x) - 0.5 * x + parameter[1].square()).square().mean()

    optimizer = napts.TRNewton([parameter], radius=2.0, eta_1=0.9, eta_2=0.99)
    batch, graphs = _counted(loss, key)
    verdicts, spent = [], []
    for _ in range(20):
        if key is not None:
            batch, graphs = _counted(loss, key)
        graphs.clear()
        optimizer.step(batch)
        record = optimizer.last_step
        assert record is not None
        verdicts.append(record.accepted)
        spent.append(record.backwards)
        assert sum(graphs) == record.backwards + (record.hessians or 0)
    assert verdicts.count(False) >= 2
    expected = [1.0, *(float(accepted or drop > 0.0) for accepted in verdicts[:-1])]
    assert spent == expected


@pytest.mark.parametrize("method", METHODS)
def test_frozen_parameters_stay(method: str) -> None:
    model, batch = _network(torch.float64)
    model.eval()
    first = model.get_submodule("0")
    for parameter in first.parameters():
        parameter.requires_grad_(False)
    before = [p.detach().clone() for p in model.parameters()]
    more = {"share": 0.5} if method == "ASTROM" else {}
    optimizer = make(method, model.parameters(), **more)
    optimizer.step(batch)
    same = [torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True)]
    assert same == [True, True, False, False]
    for parameter in first.parameters():
        parameter.requires_grad_(True)
    for _ in range(4):  # some of them may be rejected
        optimizer.step(batch)
    same = [torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True)]
    assert same == [False] * 4


def test_gradients_in_grad_are_not_used() -> None:
    parameter = weight()
    parameter.grad = torch.ones_like(parameter)
    with pytest.warns(UserWarning, match=r"SSN: the gradients found in \.grad are not used"):
        napts.SSN([parameter]).step(sum_of(parameter, flat()))


def test_hooks_run_around_a_step() -> None:
    parameter, seen = weight(), []
    optimizer = napts.TRNewton([parameter])
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step(sum_of(parameter, flat()))
    assert seen == ["before", "after"]
