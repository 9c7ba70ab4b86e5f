"""SR1 curvature and the exact subproblem, against full matrices and the optimality conditions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import napts
from napts.optim import subproblem
from napts.optim.quadratic_model import QuadraticModel
from napts.optim.sr1 import Curvature, LimitedMemorySR1
from napts.optim.vectors import Vector
from tests.helpers.networks import batch, closure, plain, same, snapshot
from tests.reference.sr1 import Pairs, subproblem_step

N = 12
SPLIT = (5, 4, 3)
SIGNED = st.floats(-10, 10).map(lambda x: 0.0 if abs(x) < 1e-3 else x)


def _blocks(vector: np.ndarray) -> Vector:
    return list(torch.from_numpy(vector.copy()).split(SPLIT))


def _whole(vector: Vector) -> np.ndarray:
    return torch.cat(vector).numpy()


def _matrix(curvature: Curvature) -> np.ndarray:
    matrix = curvature.base * np.eye(N)
    if curvature.values:
        columns = np.stack([_whole(column) for column in curvature.columns], axis=1)
        axes = columns @ curvature.weights.numpy()
        np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-6)
        matrix += axes @ np.diag(np.array(curvature.values) - curvature.base) @ axes.T
    return matrix


def _memory(seed: int, count: int = 4, size: int = 5) -> tuple[LimitedMemorySR1, Pairs]:
    rng = np.random.default_rng(seed)
    ours, theirs = LimitedMemorySR1(size), Pairs(size, N)
    hessian = rng.normal(size=(N, N))
    hessian = hessian + hessian.T
    for _ in range(count):
        s = rng.normal(size=N)
        y = hessian @ s + 0.1 * rng.normal(size=N)
        ours.add(_blocks(s), _blocks(y))
        theirs.add(s, y)
    return ours, theirs


# --- the subproblem ------------------------------------------------------------------------------


@given(
    st.lists(SIGNED, min_size=0, max_size=5),
    SIGNED,
    st.lists(SIGNED, min_size=5, max_size=5),
    st.floats(0, 10).map(lambda x: 0.0 if x < 1e-3 else x),
    st.floats(1e-3, 1e3),
    st.sampled_from([1e-100, 1e-8, 1.0, 1e8, 1e100]),
)
def test_optimality_conditions(
    values: list[float],
    base: float,
    slopes: list[float],
    rest: float,
    radius: float,
    scale: float,
) -> None:
    """Moré and Sorensen: B + sigma I is positive semidefinite, (B + sigma I) p = -g, and sigma is
    0 or p is on the boundary. Zero slopes make hard cases, equal values multiple eigenvalues."""
    values, base = [scale * v for v in values], scale * base
    g = [scale * s for s in (*slopes[: len(values)], rest)]
    found = subproblem.solve(values, base, g[:-1], g[-1], radius, has_beyond=True)
    curvatures, step = [*values, base], [*found.along, found.rest]
    size = max(map(abs, [*curvatures, *(s / radius for s in g)]))
    accuracy = 1e-9 * size
    assert found.shift >= 0.0
    assert min(curvatures) + found.shift >= -accuracy
    assert found.length <= radius * (1 + 1e-9)
    for c, s, p in zip(curvatures, g, step, strict=True):
        assert abs((c + found.shift) * p + s) <= accuracy * radius
    if found.beyond:
        assert abs(base + found.shift) <= accuracy
    if found.shift > accuracy:
        assert found.length == pytest.approx(radius, rel=1e-9)
    promised = -sum(s * p + c * p * p / 2 for s, c, p in zip(g, curvatures, step, strict=True))
    promised -= base * found.beyond**2 / 2
    assert found.predicted_reduction == pytest.approx(promised, rel=1e-12, abs=1e-300)
    assert found.predicted_reduction >= 0.0


def test_just_beside_the_hard_case() -> None:
    """A slope of 1e-18 along the lowest eigenvector: the shift keeps its digits."""
    found = subproblem.solve([-1.0], 1.0, [1e-18], 1e-3, 2.0, has_beyond=True)
    assert found.length == pytest.approx(2.0, rel=1e-12)
    assert found.along[0] == pytest.approx(-2.0, rel=1e-6)


def test_a_stationary_point_of_a_saddle_is_left() -> None:
    found = subproblem.solve([-2.0, 3.0], 1.0, [0.0, 0.0], 0.0, 0.5, has_beyond=True)
    assert found.along[0] == pytest.approx(0.5)
    assert found.predicted_reduction == pytest.approx(0.25)


def test_an_eigenvalue_without_eigenvector_is_none() -> None:
    """All directions are known: the base, however negative, belongs to nothing."""
    found = subproblem.solve([1.0, 2.0], -5.0, [1.0, 1.0], 0.0, 10.0, has_beyond=False)
    assert found.along == pytest.approx([-1.0, -0.5])
    assert found.shift == 0.0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("radius", [1e-6, 0.1, 1.0, 30.0])
def test_the_models_step_is_the_dense_one(seed: int, radius: float) -> None:
    ours, _ = _memory(seed)
    gradient = np.random.default_rng(seed + 100).normal(size=N)
    model = QuadraticModel(_blocks(gradient), ours.curvature, "l2")
    step, matrix = model.minimise(radius), _matrix(ours.curvature)
    expected = subproblem_step(matrix, gradient, radius)
    promised = -(gradient @ expected + expected @ matrix @ expected / 2)
    np.testing.assert_allclose(_whole(step.vector), expected, rtol=0, atol=1e-8 * radius)
    assert step.predicted_reduction == pytest.approx(promised, rel=1e-9)
    assert model.reduction(step.vector) == pytest.approx(promised, rel=1e-9)
    half = model.shorten(step, 0.5)
    assert half.predicted_reduction == pytest.approx(
        -(gradient @ expected / 2 + expected @ matrix @ expected / 8), rel=1e-9
    )
    mixture = model.mix(0.3, step, half)
    assert mixture.predicted_reduction == pytest.approx(model.reduction(mixture.vector))


@pytest.mark.parametrize("base", [-3.0, 0.0])
def test_the_hard_case_beyond_the_known_directions(base: float) -> None:
    """The gradient lies in the known eigenvectors, the lowest eigenvalue does not."""
    known, _ = _memory(0, 1)
    column = known.curvature.columns[0]
    curvature = Curvature(base, (2.0,), (column,), known.curvature.weights)
    gradient = 0.5 * _whole(column)
    step = QuadraticModel(_blocks(gradient), curvature, "l2").minimise(40.0)
    vector, matrix = _whole(step.vector), _matrix(curvature)
    promised = -(gradient @ vector + vector @ matrix @ vector / 2)
    assert step.predicted_reduction == pytest.approx(promised, rel=1e-9)
    if base < 0:
        assert np.linalg.norm(vector) == pytest.approx(40.0)
        residual = (matrix - base * np.eye(N)) @ vector + gradient
        assert np.linalg.norm(residual) < 1e-9 * np.linalg.norm(gradient)
    else:
        assert np.linalg.norm(matrix @ vector + gradient) < 1e-9 * np.linalg.norm(gradient)


# --- the curvature -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_the_compact_form_is_the_recursion(seed: int, count: int) -> None:
    ours, theirs = _memory(seed, count)
    assert ours.curvature.base == pytest.approx(theirs.gamma, rel=1e-12)
    np.testing.assert_allclose(_matrix(ours.curvature), theirs.matrix, rtol=0, atol=1e-7)
    vector = np.random.default_rng(seed).normal(size=N)
    product = _whole(ours.product(_blocks(vector)))
    np.testing.assert_allclose(product, theirs.matrix @ vector, rtol=0, atol=1e-6)


def test_a_quadratic_is_learnt() -> None:
    """As many independent pairs as there are variables give the Hessian itself."""
    rng = np.random.default_rng(3)
    hessian = rng.normal(size=(N, N))
    hessian = hessian + hessian.T
    memory = LimitedMemorySR1(N)
    for _ in range(N):
        s = rng.normal(size=N)
        memory.add(_blocks(s), _blocks(hessian @ s))
    np.testing.assert_allclose(_matrix(memory.curvature), hessian, atol=1e-6)


def test_dependent_pairs() -> None:
    """The same pair again brings nothing; parallel columns and B s = y are no trouble."""
    rng = np.random.default_rng(4)
    s, y = rng.normal(size=N), rng.normal(size=N)
    memory = LimitedMemorySR1(5)
    assert memory.add(_blocks(s), _blocks(y))
    matrix = _matrix(memory.curvature)
    assert not memory.add(_blocks(2 * s), _blocks(2 * y))
    np.testing.assert_array_equal(_matrix(memory.curvature), matrix)
    # Psi has two parallel columns: a Hessian that differs from gamma I in one direction.
    memory, theirs = LimitedMemorySR1(5), Pairs(5, N)
    for step in (np.eye(N)[0] + np.eye(N)[1], np.eye(N)[0] - np.eye(N)[2], np.eye(N)[3]):
        change = 2.0 * step + 5.0 * step[0] * np.eye(N)[0]
        memory.add(_blocks(step), _blocks(change))
        theirs.add(step, change)
    assert np.isfinite(memory.curvature.values).all()
    expected = 2.0 * np.eye(N)
    expected[0, 0] = 7.0
    product = _whole(memory.product(_blocks(np.eye(N)[0] + np.eye(N)[1])))
    np.testing.assert_allclose(product, expected @ (np.eye(N)[0] + np.eye(N)[1]), atol=1e-6)


@pytest.mark.parametrize(
    ("s", "y"),
    [
        (np.zeros(N), np.ones(N)),
        (np.ones(N), np.zeros(N)),
        (1e-7 * np.ones(N) / math.sqrt(N), np.ones(N)),
        (np.ones(N), np.ones(N)),  # B = I: y = B s already
        (np.eye(N)[0], np.eye(N)[0] + np.eye(N)[1]),  # s is orthogonal to y - B s
        (np.ones(N), np.full(N, np.nan)),
    ],
)
def test_pairs_that_are_skipped(s: np.ndarray, y: np.ndarray) -> None:
    memory = LimitedMemorySR1(5)
    assert not memory.add(_blocks(s), _blocks(y))
    assert memory.curvature.values == ()
    assert memory.curvature.base == 1.0


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e12])
def test_scales(scale: float) -> None:
    """Multiplying all changes of the gradient multiplies the matrix."""
    memory, scaled = LimitedMemorySR1(3), LimitedMemorySR1(3)
    rng = np.random.default_rng(5)
    for _ in range(4):
        s, y = rng.normal(size=N), rng.normal(size=N)
        memory.add(_blocks(s), _blocks(y))
        scaled.add(_blocks(s), _blocks(scale * y))
    ours, theirs = _matrix(scaled.curvature), _matrix(memory.curvature)
    np.testing.assert_allclose(ours / scale, theirs, atol=1e-7)


def test_a_blocks_memory_is_that_of_the_blocks_parts() -> None:
    ours, theirs = _memory(6)
    part = ours.restricted(1)
    small = Pairs(5, 4)
    small.gamma = theirs.gamma
    for s, y in theirs.pairs:
        small.add(s[5:9] / np.linalg.norm(s), y[5:9] / np.linalg.norm(s))
    vector = np.arange(4.0)
    product = part.product([torch.from_numpy(vector)])[0].numpy()
    np.testing.assert_allclose(product, small.matrix @ vector, rtol=1e-6)


def test_a_block_that_did_not_move_has_no_pair() -> None:
    memory = LimitedMemorySR1(5)
    rng = np.random.default_rng(8)
    for _ in range(3):
        s, y = rng.normal(size=N), rng.normal(size=N)
        s[5:9] = 0.0
        memory.add(_blocks(s), _blocks(y))
    assert len(memory.restricted(0).curvature.values) == 3
    assert memory.restricted(1).curvature.values == ()


# --- the methods ---------------------------------------------------------------------------------


def test_a_convex_quadratic_is_solved() -> None:
    """With curvature the minimum is reached to rounding, without it is not."""
    losses = {}
    for order in (1, 2):
        x = torch.nn.Parameter(torch.ones(8, dtype=torch.float64))
        scales = torch.logspace(-1, 1, 8, dtype=torch.float64)
        optimizer = napts.TR([x], order=order, pairs=8, radius_min=1e-8)
        for _ in range(60):
            optimizer.step(lambda x=x, scales=scales: (scales * x * x).sum())
        losses[order] = float((scales * x.detach() ** 2).sum())
    assert losses[2] < 1e-10
    assert losses[2] < 1e-3 * losses[1]


@pytest.mark.parametrize("method", [napts.TR, napts.NTR])
def test_going_on_from_a_saved_state(method: type[napts.TR]) -> None:
    model, other = plain(), plain()
    optimizer = method(model.parameters(), order=2)
    for _ in range(8):
        optimizer.step(closure(model, batch()))
    other.load_state_dict(model.state_dict())
    resumed = method(other.parameters(), order=2)
    resumed.load_state_dict(optimizer.state_dict())
    for _ in range(5):
        optimizer.step(closure(model, batch()))
        resumed.step(closure(other, batch()))
        assert resumed.last_step == optimizer.last_step
    assert same(snapshot(model), snapshot(other))


@pytest.mark.parametrize("values", [[-1.0], [2.0], []])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_promise_nothing(values: list[float], bad: float) -> None:
    found = subproblem.solve(values, 1.0, [bad] * len(values), bad, 1.0, has_beyond=True)
    assert (found.along, found.rest, found.beyond) == ([0.0] * len(values), 0.0, 0.0)
    assert math.isnan(found.predicted_reduction)


def test_a_loss_that_is_not_finite_leaves_everything() -> None:
    model = plain()
    optimizer = napts.TR(model.parameters(), order=2)
    inputs, targets = batch()
    for _ in range(8):
        optimizer.step(closure(model, (inputs, targets)))
    before = snapshot(model)
    assert math.isnan(optimizer.step(closure(model, (inputs * math.nan, targets))))
    assert same(before, snapshot(model))
    optimizer.step(closure(model, (inputs, targets)))
    assert not same(before, snapshot(model))


def test_single_precision() -> None:
    """It does what double precision does, as long as rounding has not grown."""
    losses = {}
    for dtype in (torch.float32, torch.float64):
        model = plain(dtype)
        optimizer = napts.TR(model.parameters(), order=2)
        data = batch(dtype=dtype)
        losses[dtype] = [optimizer.step(closure(model, data)) for _ in range(60)]
    single, double = losses[torch.float32], losses[torch.float64]
    assert single[:12] == pytest.approx(double[:12], rel=1e-3)
    assert single[-1] < 0.5 * single[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"order": 3}, "Invalid order: 3, must be 1 or 2"), ({"pairs": 0}, "Invalid pairs")],
)
def test_bad_options(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        napts.TR(plain().parameters(), **options)  # pyright: ignore[reportArgumentType]
