"""What other code for these methods has got wrong, and which tests keep it out.

Here: the slope of another vector than the one searched along; pairs that mix in the
preconditioner's step; baselines with another memory; a learning rate that is ignored. Elsewhere:

- division by the mean covering, or by 0: ``test_overlaps_are_divided_by_how_many_cover_each_entry``
  in ``test_spqn_local_phase.py``;
- slopes that are no parameters, and a lifting that is the solution:
  ``test_the_residual_network_is_its_formula_and_trains_its_slopes`` and
  ``test_the_lifting_of_the_paper_s_code_is_the_solution_and_ours_is_not`` in
  ``tests/problems/test_pde.py``;
- the best iterate of some methods beside the last one of others:
  ``test_the_table_has_the_best_iterate_and_what_it_had_cost`` in
  ``tests/papers/test_equations.py``;
- searches that are not counted: ``test_every_gradient_is_counted_those_of_searches_too`` in
  ``test_spqn_counts.py``.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from napts.optim.quasi_newton.function import Function, Point
from tests.helpers.spqn import make, network, problem_of, trained


def test_the_slope_is_that_of_what_is_searched_along(monkeypatch: Any) -> None:
    """Not that of the quasi-Newton direction, which is another one with momentum."""
    from napts.optim.quasi_newton.wolfe import StrongWolfe

    seen = []
    search = StrongWolfe.search

    def watched(
        self: Any, evaluate: Any, start: Any, direction: Tensor, length: float = 1.0
    ) -> Any:
        seen.append((start.slope, torch.dot(start.gradient, direction).item()))
        return search(self, evaluate, start, direction, length)

    monkeypatch.setattr(StrongWolfe, "search", watched)
    trained("ASPQN", 4, local_steps=2)
    assert len(seen) > 10
    assert all(given == pytest.approx(own, rel=1e-12) for given, own in seen)


def test_pairs_belong_to_the_global_step_alone() -> None:
    """Their change of the gradient is not mixed with that of the preconditioner's step."""
    model = network()
    optimizer = make("ASPQN", model, local_steps=4)
    ends: list[tuple[Point, Point]] = []
    inner = optimizer._quasi_newton_step

    def watched(function: Function, at: Point) -> Point:
        ends.append((at, inner(function, at)))
        return ends[-1][1]

    optimizer._quasi_newton_step = watched
    for _ in range(3):
        optimizer.step(problem_of(model))
    for (half, end), (step, change, _) in zip(ends, optimizer._curvature._pairs, strict=True):
        torch.testing.assert_close(step, end.theta - half.theta, rtol=0, atol=1e-12)
        assert torch.equal(change, end.gradient - half.gradient)
    assert not torch.equal(ends[1][0].theta, ends[0][1].theta), "the preconditioner has moved it"


def test_the_baseline_has_the_memory_of_the_methods() -> None:
    for method in ("ASPQN", "MSPQN", "MomentumLBFGS"):
        optimizer = make(method, network())
        assert optimizer.param_groups[0]["pairs"] == 3
        assert optimizer.param_groups[0]["momentum"] == 0.9
    _, records = trained("MomentumLBFGS", 8, pairs=1)
    _, others = trained("MomentumLBFGS", 8, pairs=3)
    assert records[-1].trial_loss != others[-1].trial_loss


def test_there_is_no_learning_rate_that_would_be_ignored() -> None:
    for method in ("ASPQN", "MSPQN", "MomentumLBFGS", "SSBroyden"):
        with pytest.raises(TypeError, match="unexpected keyword argument 'lr'"):
            make(method, network(), lr=0.1)


def test_what_is_kept_out_elsewhere_is_there() -> None:
    """The tests that the docstring of this module names."""
    told = __doc__ or ""
    folder = Path(__file__).parents[2] / "tests"
    files = [folder / "optim" / name for name in re.findall(r"``(test_\w+\.py)``", told)]
    files += [folder.parent / name for name in re.findall(r"``(tests/[\w/]+\.py)``", told)]
    written = "\n".join(path.read_text() for path in files)
    names = re.findall(r"``(test_\w+)``", told)
    assert len(names) == 5
    assert all(f"def {name}(" in written for name in names)
