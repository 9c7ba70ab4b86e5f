import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napts.workloads import TensorSet, batch_count, batches, epoch_permutation
from napts.workloads.tensors import Prepare


@pytest.fixture
def numbered() -> TensorSet:
    return TensorSet(torch.arange(10.0).unsqueeze(1), torch.arange(10), Prepare())


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 10_000), n=st.integers(0, 200))
def test_order_is_a_permutation_and_a_pure_function(seed, epoch, n):
    order = epoch_permutation(seed, epoch, n)
    assert order.dtype == torch.int64
    assert torch.equal(order.sort().values, torch.arange(n))
    torch.rand(3)
    assert torch.equal(order, epoch_permutation(seed, epoch, n))


def test_epochs_and_seeds_differ_in_order():
    orders = [epoch_permutation(seed, epoch, 50) for seed in range(4) for epoch in range(4)]
    assert len({tuple(order.tolist()) for order in orders}) == len(orders)


def test_order_leaves_the_global_random_state():
    state = torch.get_rng_state()
    epoch_permutation(0, 1, 100)
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_cover_the_set_once_with_a_smaller_last_one(numbered):
    found = list(batches(numbered, 4, seed=0, epoch=1))
    assert [len(targets) for _, targets in found] == [4, 4, 2]
    order = torch.cat([targets for _, targets in found])
    assert torch.equal(order, epoch_permutation(0, 1, 10))
    assert all(torch.equal(inputs.squeeze(1), targets.float()) for inputs, targets in found)
    assert batch_count(10, 4) == 3


@pytest.mark.parametrize(("size", "sizes"), [(5, [5, 5]), (10, [10]), (25, [10]), (1, [1] * 10)])
def test_batch_sizes(numbered, size, sizes):
    assert [len(targets) for _, targets in batches(numbered, size, 0, 0)] == sizes
    assert batch_count(10, size) == len(sizes)


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_a_resumed_epoch_continues_with_the_same_batches(numbered, start):
    whole = list(batches(numbered, 4, 3, 2))
    rest = list(batches(numbered, 4, 3, 2, start=start))
    assert len(rest) == len(whole) - start
    for (a, _), (b, _) in zip(whole[start:], rest, strict=True):
        assert torch.equal(a, b)


def test_an_empty_set_has_no_batches():
    empty = TensorSet(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), Prepare())
    assert list(batches(empty, 4, 0, 0)) == []


def test_bad_arguments_are_refused_at_once(numbered):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        batches(numbered, 0, 0, 0)
    with pytest.raises(ValueError, match="start must lie between 0 and 3 batches, got 4"):
        batches(numbered, 4, 0, 0, start=4)
