"""The differential equations that ship: conditions, residuals, references, points, networks."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import napts
from napts.experiment import load_spec, plugins, run
from napts.experiment.plugins import loading
from napts.experiment.spec.run_spec import RunSpec
from napts.problems import get_problem, registry
from napts.problems.pde import Field, Pde, PdeOptions, chebyshev, collocation
from napts.problems.pde.exponential import integrate
from napts.problems.pde.networks import SlopeLayer
from tests.helpers.pages import code, text_of

DOUBLE = torch.float64
NAMES = ("burgers", "klein-gordon", "klein-gordon-paper-code", "transport", "allen-cahn")
SMALL: dict[str, Any] = {"points": 60, "hidden_layers": 3, "width": 8, "grid": (6, 7)}


def small(name: str, **options: Any) -> Any:
    return get_problem(name, {**SMALL, **options})


def model_of(problem: Pde, seed: int = 0) -> nn.Module:
    return problem.build_model(seed).to(DOUBLE)


def points_on(problem: Pde, **fixed: float) -> Tensor:
    return collocation.side(problem.domain, fixed, 23)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)[:, None]


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)[None]


# --- conditions --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_liftings_meet_the_conditions_of_random_networks(name: str, seed: int) -> None:
    problem = small(name)
    solution = problem.solution(model_of(problem, seed))
    misfits = problem.misfits(lambda **at: problem.field(solution, points_on(problem, **at)))
    sizes = [misfit.abs().max().item() for misfit in misfits]
    if name == "klein-gordon-paper-code":
        assert sizes.pop(1) > 0.1, "its lifting does not meet the initial velocity"
    assert max(sizes) <= 1e-14


def test_the_lifting_of_the_paper_s_code_is_the_solution_and_ours_is_not() -> None:
    t, x = collocation.scaled(collocation.hammersley(50, 2), {"t": (0, 12), "x": (-1, 1)}).split(
        1, 1
    )
    exact = x * torch.cos(t)
    assert torch.equal(get_problem("klein-gordon-paper-code").lifting(t, x)[0], exact)
    ours, factor = get_problem("klein-gordon").lifting(t, x)
    assert (ours - exact).norm() > 0.3 * exact.norm()
    assert factor.max() < 1
    start, _ = get_problem("klein-gordon").lifting(column(6.0), column(0.5))
    assert start.item() == pytest.approx(0.495, abs=5e-4)


# --- residuals ---------------------------------------------------------------------------------


def test_the_exact_klein_gordon_solution_has_no_residual() -> None:
    problem = small("klein-gordon")
    (points,) = problem.data()[0]
    residual = problem.residual_of(lambda p: p[:, 1:] * torch.cos(p[:, :1]), points)
    assert residual.abs().max() < 1e-12


def exponential(points: Tensor) -> Tensor:
    """``u = 0.3 exp(0.7 a - 0.4 b)``, whose derivatives are multiples of it."""
    return 0.3 * torch.exp(0.7 * points[:, :1] - 0.4 * points[:, 1:])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("burgers", lambda a, b, u: 0.7 * u - 0.4 * u**2 - 0.01 / math.pi * 0.16 * u),
        ("allen-cahn", lambda a, b, u: 0.7 * u - 1e-3 * 0.16 * u - 5 * (u - u**3)),
        ("transport", lambda a, b, u: -0.01 * (0.49 + 0.16) * u + 0.3 * u - 1),
        (
            "klein-gordon",
            lambda a, b, u: (0.49 - 0.16) * u + u**2 + b * torch.cos(a) - b**2 * torch.cos(a) ** 2,
        ),
    ],
)
def test_residuals_of_an_exponential(name: str, expected: Any) -> None:
    problem = small(name)
    (points,) = problem.data()[0]
    wanted = expected(*points.split(1, 1), exponential(points))
    torch.testing.assert_close(problem.residual_of(exponential, points), wanted)


def test_derivatives_by_nested_autograd_and_by_forward_mode_agree() -> None:
    model = model_of(small("burgers"))
    points = torch.rand(9, 2, dtype=DOUBLE, requires_grad=True)
    u = Field(model(points), points, "tx")
    along = torch.zeros_like(points)
    along[:, 1] = 1

    def slope(p: Tensor) -> Tensor:
        return torch.func.jvp(model, (p,), (along,))[1]

    torch.testing.assert_close(u.d("x"), slope(points))
    torch.testing.assert_close(u.d("xx"), torch.func.jvp(slope, (points,), (along,))[1])
    torch.testing.assert_close(u.d("tx"), u.d("xt"))
    with pytest.raises(ValueError, match=r"d\('y'\): allowed: letters of t, x"):
        u.d("y")


# --- references, checked against the digits of independent computations ------------------------


def assert_all_digits(found: Tensor, expected: str) -> None:
    """Compare numbers with rows of decimals, each to half a unit of its last digit."""
    for value, digits in zip(found.reshape(-1).tolist(), expected.split(), strict=True):
        unit = 10.0 ** -len(digits.partition(".")[2])
        assert abs(value - float(digits)) <= 0.5 * unit * (1 + 1e-6), (value, digits)


def test_burgers_reference() -> None:
    found = small("burgers").reference(column(0, 0.25, 0.5, 1), row(-0.1, 0.02))
    start = torch.tensor([math.sin(math.pi * 0.1), -math.sin(math.pi * 0.02)], dtype=DOUBLE)
    torch.testing.assert_close(found[0], start, rtol=0, atol=1e-15)
    expected = """
        0.7949743591331 -0.2461256320982
        0.9581595534189 -0.9799058674140
        0.6654815676640 -0.7060816781233
    """
    assert_all_digits(found[1:], expected)


def test_transport_reference() -> None:
    pytest.importorskip("scipy")
    at = (0.5, 0.9, 0.98)
    found = small("transport").reference(column(*at), row(*at)).diagonal()
    assert_all_digits(found, "0.444264628826 0.824751371 0.674830889")
    axis = torch.linspace(0, 1, 51, dtype=DOUBLE)
    largest = small("transport").reference(axis[:, None], axis[None]).max()
    assert_all_digits(largest, "0.858956253")


def test_allen_cahn_reference() -> None:
    found = small("allen-cahn").reference(column(0.25, 0.5, 1), row(0, 0.25, 0.5, 0.75, 0.9))
    expected = """
        0.00173227 0.15152439 -0.00545106 -0.83281830 -0.97238063
        0.01200144 0.46859940 -0.03640254 -0.98157360 -0.99754815
        0.2753265 0.987321 -0.247501 -0.999857 -0.999982
    """
    assert_all_digits(found, expected)


@pytest.mark.parametrize("name", ["burgers", "klein-gordon", "transport", "allen-cahn"])
def test_references_meet_the_conditions(name: str) -> None:
    problem = small(name)
    for fixed in ({"t": 0.0}, {"x": -1.0}, {"x": 1.0}):
        if name == "transport":
            fixed = {"y" if k == "x" else "x": max(v, 0.0) for k, v in fixed.items()}
        box = {n: (fixed[n],) * 2 if n in fixed else ends for n, ends in problem.domain.items()}
        at = collocation.axes(box, [1 if n in fixed else 5 for n in box])
        lifted, _ = problem.lifting(*at)
        torch.testing.assert_close(
            problem.reference(*at), lifted.expand(problem.reference(*at).shape), atol=1e-12, rtol=0
        )


def test_exponential_steps_have_order_four() -> None:
    """``w' = -50 w + cos of a state that turns``, against the linear solution."""
    linear = np.array([[-50.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])

    def turning(w: Any) -> Any:
        return np.array([0.0, w[2], -w[1]])  # (sin, cos)

    def error(step: float) -> float:
        found = integrate(linear, turning, np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0]), step)[1]
        rest = (50 * math.cos(1) + math.sin(1)) / 2501
        return abs(found[0] - (rest + (1 - 50 / 2501) * math.exp(-50))) + abs(
            found[1] - math.sin(1)
        )

    assert error(0.05) < 1e-6
    assert error(0.1) / error(0.05) > 12


def test_chebyshev_matrices_are_exact_for_polynomials() -> None:
    at = chebyshev.nodes(8, -1.0, 3.0)
    to = np.array([-1.0, 0.2, at[3], 3.0])
    np.testing.assert_allclose(chebyshev.differentiation(at) @ at**5, 5 * at**4, rtol=0, atol=1e-10)
    np.testing.assert_allclose(chebyshev.interpolation(at, to) @ at**5, to**5, rtol=0, atol=1e-11)


# --- points and networks -----------------------------------------------------------------------


def test_hammersley_points() -> None:
    expected = [[1 / 2, 1 / 5], [1 / 4, 2 / 5], [3 / 4, 3 / 5], [1 / 8, 4 / 5]]
    assert torch.equal(collocation.hammersley(4, 2), torch.tensor(expected, dtype=DOUBLE))
    three = collocation.hammersley(4, 3)[:, 1]
    torch.testing.assert_close(three, torch.tensor([1 / 3, 2 / 3, 1 / 9, 4 / 9], dtype=DOUBLE))


@pytest.mark.parametrize(
    ("name", "residual", "plain"),
    [("burgers", 3_449, 3_021), ("klein-gordon", 15_507, 12_951), ("transport", 25_711, 23_151)],
)
def test_networks_of_the_slides(name: str, residual: int, plain: int) -> None:
    for architecture, count in (("resnet_adaptive", residual), ("mlp", plain)):
        problem = get_problem(name, {"architecture": architecture})
        network = problem.network()
        assert sum(p.numel() for p in network.parameters()) == count
        assert problem.options.points == 10_000
        assert problem.subdomains == problem.options.hidden_layers


def test_the_residual_network_is_its_formula_and_trains_its_slopes() -> None:
    problem = small("burgers")
    network = model_of(problem)
    points = torch.rand(5, 2, dtype=DOUBLE)
    p = dict(network.named_parameters())
    z = torch.tanh(points @ p["0.weight"].T + p["0.bias"])
    for k in (2, 3, 4):
        z = z + 2.0 / 2 * torch.tanh(
            10 * p[f"{k}.slope"] * (z @ p[f"{k}.weight"].T + p[f"{k}.bias"])
        )
    torch.testing.assert_close(network(points), z @ p["5.weight"].T + p["5.bias"])
    slopes = [m.slope for m in network.modules() if isinstance(m, SlopeLayer)]
    assert [slope.item() for slope in slopes] == pytest.approx([0.1] * 3)
    gradients = torch.autograd.grad(problem.loss(network, (points,)), slopes)
    assert all(gradient != 0 for gradient in gradients)


# --- as problems -------------------------------------------------------------------------------


@pytest.mark.parametrize("conditions", ["built-in", "penalty"])
@pytest.mark.parametrize("name", NAMES)
def test_they_are_cut_and_learn_with_napts(name: str, conditions: str) -> None:
    problem = small(name, conditions=conditions)
    data = problem.load(dtype=DOUBLE)
    model = model_of(problem)
    before = problem.evaluate(model, data.validation)
    inputs = problem.example_inputs(data.train.first(2))
    optimizer = napts.NAPTS(napts.partition_layers(model, 2, example_inputs=inputs))
    batch = data.train.all()
    for _ in range(3):
        optimizer.step(lambda: problem.loss(model, batch))
    after = problem.evaluate(model, data.validation)
    assert problem.loss(model, batch).isfinite()
    assert after.loss < before.loss
    assert {"relative_error", "residual"} < set(after)


def test_an_evaluation_is_what_its_formulas_say() -> None:
    problem = small("burgers", conditions="penalty")
    data = problem.load(dtype=DOUBLE)
    model = model_of(problem)
    points, exact = data.validation.all()
    found = problem.evaluate(model, data.validation, batch_size=5)
    assert found.loss == pytest.approx(problem.loss(model, (points,)).item())
    square = problem.residual_of(model, points).square().mean().item()
    assert found["residual"] == pytest.approx(math.sqrt(square))
    assert found.loss > square
    error = ((model(points) - exact).norm() / exact.norm()).item()
    assert found["relative_error"] == pytest.approx(error)


def test_the_exact_solution_has_no_error() -> None:
    class Exact(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return points[:, 1:] * torch.cos(points[:, :1])

    problem = small("klein-gordon", conditions="penalty")
    found = problem.evaluate(Exact(), problem.load(dtype=DOUBLE).test)
    assert found["relative_error"] == 0.0
    assert found.loss < 1e-24


def test_runs_are_in_double_precision_unless_they_say_otherwise(tmp_path: Path) -> None:
    data: dict[str, Any] = {
        "experiment": "tests",
        "workload": {"name": "burgers", **SMALL},
        "optimizer": {"method": "TR"},
        "budget": {"epochs": 2},
    }
    spec = RunSpec.model_validate(data)
    assert spec.precision == "float64"
    assert RunSpec.model_validate({**data, "precision": "float32"}).run_key != spec.run_key
    other = {**data, "workload": {"name": "poisson-pinn"}}
    assert RunSpec.model_validate(other).precision == "float32"
    outcome = run(spec, tmp_path)
    assert outcome.state == "done", outcome.error
    assert outcome.final is not None
    assert {"val_relative_error", "test_residual"} <= set(outcome.final)


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="grid: found"):
        small("burgers", grid=(3,))


# --- the page ----------------------------------------------------------------------------------

PAGE = "results/pde.md"


def test_a_further_equation_is_one_short_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(registry, "_PROBLEMS", dict(registry._PROBLEMS))
    monkeypatch.setattr(loading, "_plugins", {})
    (program,) = code(PAGE, "python")
    toml = code(PAGE, "toml")[0]
    assert len(program.splitlines()) <= 40
    (tmp_path / "documented_poisson.py").write_text(program)
    (tmp_path / "poisson.toml").write_text(toml)
    assert len(plugins.load([str(tmp_path / "documented_poisson.py")])) == 1
    for spec in load_spec(tmp_path / "poisson.toml").runs():
        outcome = run(spec, tmp_path / "records")
        assert outcome.state == "done", outcome.error
        assert outcome.final is not None
        assert outcome.final["test_relative_error"] < 0.2
    problem = get_problem("poisson-square")
    assert isinstance(problem, Pde)
    residual = problem.residual_of(lambda p: problem.reference(*p.split(1, 1)), torch.rand(9, 2))
    assert residual.abs().max() < 1e-4
    with pytest.raises(ValueError, match="conditions: found penalty, allowed: built-in"):
        get_problem("poisson-square", {"conditions": "penalty"})


def test_the_page_names_all_options_and_equations() -> None:
    text = text_of(PAGE)
    for name in (*PdeOptions.model_fields, *NAMES):
        assert f"`{name}`" in text, name
