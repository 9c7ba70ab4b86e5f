"""Differential equations whose training loss is compiled: the same numbers, and clear refusals."""

import copy
import gc
import math
import pickle
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.decomposition import compiled
from napts.experiment import RunSpec, parse_spec, run
from napts.problems import get_problem
from napts.problems.pde import Field, Pde, PdeOptions, collocation
from napts.problems.pde.derivatives import PlannedField
from napts.records import load_run

DOUBLE = torch.float64
SMALL: dict[str, Any] = {"points": 30, "hidden_layers": 2, "width": 5, "grid": (5, 6)}
NAMES = ("burgers", "klein-gordon", "transport", "allen-cahn")


class Poisson(Pde):
    """A user's own, whose residual asks for the second derivatives as it likes."""

    domain: ClassVar[collocation.Domain] = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
    test_grid = (5, 5)
    asked = ("xx", "yy")

    def residual(self, u: Field, x: Tensor, y: Tensor) -> Tensor:
        laplacian = u.d(self.asked[0]) + u.d(self.asked[1])
        return laplacian + 2 * math.pi**2 * self.reference(x, y)

    def lifting(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return 0 * x, x * (1 - x) * y * (1 - y)

    def reference(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.sin(math.pi * x) * torch.sin(math.pi * y)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace, but generate no code; what torch says of itself while it does so is not ours."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        torch.compiler.reset()


def small(name: str, **options: Any) -> Any:
    options = {**SMALL, "compile": True, **options}
    return Poisson(PdeOptions(**options)) if name == "poisson" else get_problem(name, options)


def plain(problem: Pde) -> Any:
    return type(problem)(problem.options.model_copy(update={"compile": False}))


def model_of(problem: Pde, seed: int = 0) -> nn.Module:
    return problem.build_model(seed).to(DOUBLE)


def batch_of(problem: Pde) -> Any:
    return problem.load(dtype=DOUBLE).train.all()


def loss_and_gradient(problem: Pde, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    loss = problem.loss(model, batch)
    found = torch.autograd.grad(loss, list(model.parameters()))
    return loss.detach(), torch.cat([gradient.reshape(-1) for gradient in found])


def check_agreement(problem: Pde) -> None:
    """Compare twice, the second time elsewhere."""
    assert problem.compiled
    model, batch = model_of(problem), batch_of(problem)
    for _ in range(2):
        ours = loss_and_gradient(problem, model, batch)
        theirs = loss_and_gradient(plain(problem), model, batch)
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine - other).norm() <= 1e-12 * other.norm()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1).add_(0.01)


# --- the same numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["resnet_adaptive", "mlp"])
@pytest.mark.parametrize("name", [*NAMES, "poisson"])
def test_loss_and_gradient_are_the_plain_ones(name: str, architecture: str) -> None:
    check_agreement(small(name, architecture=architecture))


@pytest.mark.parametrize("name", ["burgers", "poisson"])
def test_so_they_are_with_a_backward_pass_that_is_traced(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    check_agreement(small(name))


@pytest.mark.parametrize("name", NAMES)
def test_penalties_are_the_plain_ones(name: str) -> None:
    check_agreement(small(name, conditions="penalty", architecture="mlp"))


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_generated_code_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    check_agreement(small("poisson", hidden_layers=1, architecture="mlp"))


def test_derivatives_are_those_of_autograd_planned_or_not() -> None:
    model = model_of(small("burgers"))
    points = torch.rand(9, 2, dtype=DOUBLE)
    leaf = points.clone().requires_grad_()
    expected = Field(model(leaf), leaf, "tx")
    for plan in ((), ("",), ("", "x"), ("", "t", "x", "xx")):
        u = PlannedField(model, points, "tx", plan)
        for by in ("t", "xx", "tx", "xt", "xxx"):
            torch.testing.assert_close(u.d(by), expected.d(by), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(u.value, expected.value)
        with pytest.raises(ValueError, match=r"d\('y'\): allowed: letters of t, x"):
            u.d("y")
    assert expected.differentiated == ("", "x", "t", "xx")


def test_a_residual_that_changes_its_mind_is_followed() -> None:
    problem, other = small("poisson"), small("poisson", compile=False)
    model, batch = model_of(problem), batch_of(problem)
    for asked in (("x", "y"), ("xy", "yyx")):
        problem.asked = other.asked = asked
        ours = loss_and_gradient(problem, model, batch)
        theirs = loss_and_gradient(other, model, batch)
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


def test_a_loss_without_gradient_is_the_same() -> None:
    problem = small("burgers")
    model, batch = model_of(problem), batch_of(problem)
    with torch.no_grad():
        value = problem.loss(model, batch)
    assert not value.requires_grad
    assert torch.equal(value, problem.loss(model, batch).detach())
    assert problem.evaluate(model, problem.load(dtype=DOUBLE).test).loss > 0


# --- what belongs to it ------------------------------------------------------------------------


def test_nothing_is_kept_of_problems_and_models() -> None:
    """More of them than torch compiles of one function, too."""
    gone: list[weakref.ref[Any]] = []
    for count in range(9):
        problem = small("burgers", points=10 + count)
        model = model_of(problem)
        loss_and_gradient(problem, model, batch_of(problem))
        gone += [weakref.ref(problem), weakref.ref(model), weakref.ref(problem._compiled_loss)]
        del problem, model
    gc.collect()
    assert not [each() for each in gone if each() is not None]


def test_problem_and_model_can_be_copied_and_pickled() -> None:
    problem = small("burgers")
    model, batch = model_of(problem), batch_of(problem)
    expected = loss_and_gradient(problem, model, batch)
    for pair in (copy.deepcopy((problem, model)), pickle.loads(pickle.dumps((problem, model)))):
        torch.testing.assert_close(loss_and_gradient(pair[0], pair[1], batch), expected)
    for seed in range(9):  # one problem, many networks
        loss_and_gradient(problem, model_of(problem, seed), batch)


# --- runs --------------------------------------------------------------------------------------

METHODS: dict[str, dict[str, Any]] = {
    "TR": {},
    "NTR": {"order": 2},
    "ASPQN": {"local_steps": 2},
    "MSPQN": {"local_steps": 2},
    "SSBroyden": {},
    "Adam": {"lr": 1e-3},
}


def spec_of(method: str, *, compile: bool, **more: Any) -> RunSpec:
    spec = parse_spec(
        {
            "experiment": "tests",
            "workload": {"name": "burgers", **SMALL, "grid": [5, 6], "compile": compile},
            "optimizer": {"method": method, **METHODS.get(method, {})},
            "budget": {"epochs": 3},
            **more,
        }
    )
    assert isinstance(spec, RunSpec)
    return spec


@pytest.mark.parametrize("method", METHODS)
def test_runs_are_those_of_the_plain_loss(method: str, tmp_path: Path) -> None:
    losses = []
    for each in (True, False):
        outcome = run(spec_of(method, compile=each), tmp_path)
        assert outcome.state == "done", outcome.error
        losses.append([row["loss"] for row in load_run(outcome.path).steps])
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_the_key_of_a_run_tells_only_that_it_compiles() -> None:
    plain, said = spec_of("TR", compile=False), spec_of("TR", compile=True)
    assert "compile" not in plain.as_dict()["workload"]
    assert said.as_dict()["workload"]["compile"] is True
    assert plain.run_key != said.run_key
    for spec in (plain, said):
        assert RunSpec.model_validate(spec.as_dict()).run_key == spec.run_key


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("NAPTS", "cuts the network into blocks of layers"),
        ("APTSA", "cuts the network into blocks of layers"),
        ("TRNewton", "takes second derivatives"),
        ("SSN", "takes second derivatives"),
    ],
)
def test_methods_that_look_inside_are_refused(method: str, why: str) -> None:
    wanted = f"workload.compile: found true, allowed: false for {method}, which {why}"
    with pytest.raises(ValueError, match=wanted):
        spec_of(method, compile=True)
    spec_of(method, compile=False)


def test_layers_that_are_watched_are_refused_before_and_after_compiling() -> None:
    problem = small("burgers")
    model, batch = model_of(problem), batch_of(problem)
    optimizer = napts.NAPTS(napts.partition_layers(model, 2))
    for _ in range(2):
        with pytest.raises(ValueError, match="compile: found true, allowed: false with methods"):
            optimizer.step(problem.batch(model, batch))
        problem.loss(model, batch)
    optimizer.step(plain(problem).batch(model, batch))


def test_second_derivatives_are_refused() -> None:
    problem = small("burgers")
    model = model_of(problem)
    loss = problem.loss(model, batch_of(problem))
    with pytest.raises(ValueError, match="methods that take second derivatives"):
        torch.autograd.grad(loss, list(model.parameters()), create_graph=True)


def test_what_torch_cannot_compile_is_told() -> None:
    class Odd(Poisson):
        def residual(self, u: Field, x: Tensor, y: Tensor) -> Tensor:
            return u.value if x.sum() > 0 else u.d("x")

    problem = Odd(PdeOptions(**SMALL, compile=True))
    with pytest.raises(ValueError, match="since torch cannot compile the loss: "):
        problem.loss(model_of(problem), batch_of(problem))
