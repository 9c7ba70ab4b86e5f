import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napts.problems import TensorSamples, batch_count, batches, epoch_permutation
from napts.problems.batches import overlapping


@pytest.fixture
def numbered() -> TensorSamples:
    return TensorSamples((torch.arange(10.0).unsqueeze(1), torch.arange(10)))


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
    empty = TensorSamples((torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)))
    assert list(batches(empty, 4, 0, 0)) == []


def test_bad_arguments_are_refused_at_once(numbered):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        batches(numbered, 0, 0, 0)
    with pytest.raises(ValueError, match="start must lie between 0 and 3 batches, got 4"):
        batches(numbered, 4, 0, 0, start=4)


def test_the_papers_overlap() -> None:
    """20 batches of 2,500 and 1 % from each other batch are 20 of 2,975, new in every epoch."""
    chunks = list(epoch_permutation(0, 1, 50_000).split(2500))
    found = overlapping(chunks, 25, seed=0, epoch=1)
    assert [len(batch) for batch in found] == [2975] * 20
    for own, batch in zip(chunks, found, strict=True):
        assert torch.equal(batch[:2500], own)
        assert len(batch.unique()) == 2975
        others = [other for other in chunks if other is not own]
        for other, part in zip(others, batch[2500:].split(25), strict=True):
            assert torch.isin(part, other).all()
    assert torch.equal(found[3], overlapping(chunks, 25, seed=0, epoch=1)[3])
    assert not torch.equal(found[3][2500:], overlapping(chunks, 25, seed=0, epoch=2)[3][2500:])


@given(
    n=st.integers(1, 120),
    size=st.integers(1, 40),
    overlap=st.floats(0, 0.9),
    seed=st.integers(0, 9),
)
def test_overlapping_batches(n: int, size: int, overlap: float, seed: int) -> None:
    """Every batch has its own samples first, and as many as asked for of every other batch."""
    chunks = list(epoch_permutation(seed, 1, n).split(size))
    shared = int(overlap * min(size, n))
    found = overlapping(chunks, shared, seed, 1)
    assert torch.equal(
        torch.cat([b[: len(c)] for b, c in zip(found, chunks, strict=True)]), torch.cat(chunks)
    )
    for index, batch in enumerate(found):
        more = sum(min(shared, len(other)) for k, other in enumerate(chunks) if k != index)
        assert len(batch) == len(chunks[index]) + more
        assert len(batch.unique()) == len(batch)


def test_a_resumed_epoch_continues_with_the_same_overlap(numbered: TensorSamples) -> None:
    whole = list(batches(numbered, 4, 3, 2, overlap=0.5))
    assert [len(targets) for _, targets in whole] == [8, 8, 6]
    rest = list(batches(numbered, 4, 3, 2, overlap=0.5, start=1))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(whole[1:], rest, strict=True))


def test_an_overlap_of_everything_is_refused(numbered: TensorSamples) -> None:
    with pytest.raises(ValueError, match="overlap must be at least 0 and less than 1"):
        batches(numbered, 4, 0, 0, overlap=1.0)
