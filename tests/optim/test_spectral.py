"""Steps in the spectral norm: polar factors against singular values, and what is a matrix."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import napts
from napts.optim.spectral import ENTRY, direct, polar_factor
from napts.optim.vectors import Layout

SHAPES = [(6, 6), (4, 9), (9, 4), (1, 7), (7, 1), (1, 1)]


def _matrix(shape: tuple[int, int], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_singular_value_becomes_about_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = _matrix(shape, dtype=dtype)
    factor = polar_factor(matrix)
    assert factor.shape == matrix.shape
    values = torch.linalg.svdvals(factor)
    assert values.min() > 0.6
    assert values.max() < 1.21
    # Both share their singular vectors: their product is symmetric, and positive.
    product = factor @ matrix.T
    torch.testing.assert_close(product, product.T, rtol=1e-4, atol=1e-5)
    assert torch.linalg.eigvalsh(product).min() > -1e-5


@given(st.integers(0, 50), st.floats(-30, 30))
def test_only_the_direction_of_a_matrix_counts(seed: int, exponent: float) -> None:
    matrix = _matrix((3, 5), seed, torch.float32)
    scaled = matrix * 10.0**exponent
    torch.testing.assert_close(polar_factor(scaled), polar_factor(matrix), rtol=1e-3, atol=1e-4)


def test_half_precision_is_computed_in_single() -> None:
    matrix = _matrix((4, 30), dtype=torch.bfloat16)
    factor = polar_factor(matrix)
    assert factor.dtype == torch.bfloat16
    torch.testing.assert_close(factor, polar_factor(matrix.float()).bfloat16())


def test_autocast_leaves_it_alone() -> None:
    """Also around `step`, as some loops have it."""
    matrix = _matrix((4, 30), dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        factor = polar_factor(matrix)
    assert torch.equal(factor, polar_factor(matrix))


def test_coarse_products_leave_it_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As TF32 and bfloat16 products of single-precision matrices are."""
    original = torch.addmm
    vectors = torch.linalg.qr(_matrix((64, 64), dtype=torch.float32))[0]
    matrix = (vectors * torch.logspace(0, -6, 64)) @ vectors.T

    def coarse(base: Tensor, first: Tensor, second: Tensor, **factors: float) -> Tensor:
        return original(base, first.bfloat16().float(), second.bfloat16().float(), **factors)

    monkeypatch.setattr(torch, "addmm", coarse)
    assert torch.linalg.matrix_norm(polar_factor(matrix), 2) < 1.5


def test_turning_the_space_turns_the_factor() -> None:
    turn = torch.linalg.qr(_matrix((5, 5), 1))[0]
    matrix = _matrix((5, 8), 2)
    torch.testing.assert_close(polar_factor(turn @ matrix), turn @ polar_factor(matrix))
    torch.testing.assert_close(polar_factor(matrix.T), polar_factor(matrix).T)


def test_it_promises_nearly_the_most_within_the_norm() -> None:
    """The sum of the singular values bounds what a matrix of spectral norm 1 can promise."""
    for seed in range(20):
        gradient = _matrix((6, 10), seed)
        factor = polar_factor(gradient)
        factor /= torch.linalg.matrix_norm(factor, 2)
        most = torch.linalg.matrix_norm(gradient, "nuc")
        assert 0.6 * most < (factor * gradient).sum() <= most


def test_small_singular_values_stay_small_and_zeros_are_zeros() -> None:
    assert not polar_factor(torch.zeros(3, 4)).any()
    vectors = torch.linalg.qr(_matrix((4, 4)))[0]
    values = torch.tensor([1.0, 0.5, 1e-9, 0.0], dtype=torch.float64)
    found = torch.linalg.svdvals(polar_factor((vectors * values) @ vectors.T))
    assert found[1] > 0.6
    assert found[2] < 1e-6
    assert polar_factor(torch.full((2, 2), math.nan)).isnan().all()


def test_filters_are_rows_and_vectors_are_left_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4))
    layout = Layout([list(model.parameters())])
    average = layout.flatten([torch.randn_like(p) for p in layout.parameters])
    direction = [torch.full_like(flat, 7.0) for flat in average]  # not faded
    direct(direction, average, layout)
    parts = zip(layout.parts(direction), layout.parts(average), strict=True)
    for part, mean in parts:
        if mean.ndim == 1:
            assert (part == 7.0).all()
            continue
        rows = mean.reshape(len(mean), -1)
        expected = -ENTRY * math.sqrt(max(rows.shape)) * polar_factor(rows)
        torch.testing.assert_close(part.reshape(rows.shape), expected)
        assert part.square().mean().sqrt() == pytest.approx(ENTRY, rel=0.35)


def _scaled_loss(model: nn.Module, data: Tensor, factor: float) -> Tensor:
    return factor * model(data).square().mean()


def test_it_ignores_the_scale_of_the_loss() -> None:
    moved = []
    for factor in (1.0, 1e4):
        torch.manual_seed(0)
        model = nn.Linear(5, 4, bias=False).double()
        optimizer = napts.STTR(model.parameters(), caution=1.0)
        data = torch.randn(40, 5, dtype=torch.float64)
        for part in data.split(8):
            optimizer.step(partial(_scaled_loss, model, part, factor))
        moved.append(model.weight.detach().clone())
    torch.testing.assert_close(moved[0], moved[1])


def test_what_has_no_gradient_any_more_comes_to_rest() -> None:
    """An expert that is not used again, a head, a dead layer: the factor alone has no size."""
    torch.manual_seed(0)
    used, unused = nn.Linear(6, 6), nn.Linear(6, 6)
    optimizer = napts.STTR([*used.parameters(), *unused.parameters()], first_probes=0)
    data, moved = torch.randn(8, 6), []

    def loss(share: float) -> Tensor:
        return (used(data) + share * unused(data) - 1.0).square().mean()

    for step in range(300):
        before = unused.weight.detach().clone()
        optimizer.step(partial(loss, 1.0 if step < 5 else 0.0))
        moved.append(float((unused.weight - before).detach().norm()))
    assert moved[4] > 1e-4
    assert sum(moved[150:]) < 1e-2 * sum(moved[:5])


def test_parameters_without_entries() -> None:
    empty, vector = nn.Parameter(torch.zeros(0, 4)), nn.Parameter(torch.ones(2))
    optimizer = napts.STTR([empty, vector])
    for _ in range(3):
        optimizer.step(lambda: vector.square().sum() + empty.sum())
    assert bool((vector < 1.0).all())


def test_of_low_rank_the_direction_is_shorter() -> None:
    column = nn.Parameter(torch.randn(6, 8, dtype=torch.float64))
    layout = Layout([[column]])
    average = torch.outer(torch.arange(1.0, 7.0), torch.arange(1.0, 9.0)).double()
    direction = [torch.ones(48, dtype=torch.float64)]
    direct(direction, [average.flatten()], layout)
    assert torch.linalg.matrix_rank(direction[0].view(6, 8), rtol=1e-6) == 1
    assert float(direction[0].square().mean().sqrt()) < ENTRY / 2


def test_a_group_may_be_left_to_adam() -> None:
    """An embedding, say: its rows then move as TTR moves them, and states keep that."""
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 2)).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    ours = napts.STTR(
        [{"params": models[0][0].parameters(), "spectral": False}, *_groups(models[0][1])],
        radius=1e-3,
    )
    adams = napts.TTR(models[1].parameters(), radius=1e-3)
    data = torch.randn(9, 5, dtype=torch.float64)
    for model, one in zip(models, (ours, adams), strict=True):
        one.step(lambda model=model: model(data).square().mean())
    torch.testing.assert_close(models[0][0].weight, models[1][0].weight)
    assert not torch.allclose(models[0][1].weight, models[1][1].weight, rtol=0, atol=1e-5)
    again = napts.STTR([{"params": g["params"]} for g in ours.param_groups])
    again.load_state_dict(ours.state_dict())
    assert [group["spectral"] for group in again.param_groups] == [False, True]


def _groups(module: nn.Module) -> list[dict[str, object]]:
    return [{"params": module.parameters()}]


def test_other_methods_have_no_such_groups() -> None:
    theta = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match="spectral cannot differ between groups, TTR has one"):
        napts.TTR([{"params": [theta], "spectral": False}])
