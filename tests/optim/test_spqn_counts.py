"""What quasi-Newton methods count, and what they do not evaluate twice."""

import pytest
import torch

from tests.helpers.spqn import ALL, Counting, make, network, problem_of, trained


@pytest.mark.parametrize("method", ALL)
def test_every_gradient_is_counted_those_of_searches_too(method: str) -> None:
    model = network()
    batch, optimizer = Counting(model), make(method, model)
    total = 0.0
    for _ in range(6):
        optimizer.step(batch)
        record = optimizer.last_step
        total += record.backwards
        assert record.forwards == record.backwards
        assert batch.calls == total
    assert total > 6


def test_the_three_counts() -> None:
    _, plain = trained("MomentumLBFGS", 5)
    assert all(r.gradients_published == 1 for r in plain)
    assert all(r.gradients_concurrent == r.backwards for r in plain)
    _, additive = trained("ASPQN", 5, local_steps=4)
    assert [r.gradients_published for r in additive] == [1, 6, 6, 6, 6]
    for r in additive[1:]:
        # Four subdomains, of which the first local gradient is known.
        assert r.gradients_concurrent < r.backwards
        assert r.backwards >= 4 * 4 + 2
        assert r.gradients_concurrent >= 4 + 2
    _, sequential = trained("MSPQN", 5, local_steps=4)
    assert [r.gradients_published for r in sequential] == [1, 18, 18, 18, 18]
    for r in sequential[1:]:
        assert r.gradients_concurrent == r.backwards >= 4 * 4 + 3 + 2
    sizes = [18, 42, 35, 6]
    assert additive[1].update_cost == pytest.approx(1 + 4 * max(sizes) / sum(sizes))
    assert sequential[1].update_cost == pytest.approx(1 + 4)
    assert plain[1].update_cost == 1
    _, dense = trained("SSBroyden", 2)
    assert dense[1].update_cost is None
    assert "update_cost" not in dense[1].as_dict()


def test_what_is_known_is_not_evaluated_again_and_only_then() -> None:
    def gradients(key: str | None) -> float:
        model = network()
        optimizer = make("MomentumLBFGS", model)
        for _ in range(3):
            batch = problem_of(model)
            batch.function_key = key
            optimizer.step(batch)
        return optimizer.last_step.backwards

    assert gradients("a") == gradients(None) - 1


@pytest.mark.parametrize("change", ["parameters", "key"])
def test_what_has_changed_is_evaluated(change: str) -> None:
    model = network()
    optimizer = make("MomentumLBFGS", model)
    optimizer.step(problem_of(model))
    batch = problem_of(model)
    if change == "key":
        batch._loss = lambda data: 2 * (model(data[0]) - data[1]).square().mean()
        batch.function_key = "another"
    else:
        with torch.no_grad():
            next(model.parameters()).add_(1e-3)
    expected = batch().item()
    assert optimizer.step(batch) == expected
    assert optimizer.last_step.backwards >= 2
