"""The forms in which data are given: memory, data sets, loaders; and what a run makes of them."""

import random
from collections.abc import Iterator

import numpy
import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from napts.problems import EpochOrder, Problem, TensorSamples, samples_in
from napts.problems.datasets import DatasetSamples
from napts.problems.given import as_samples
from napts.problems.loaders import LoaderSamples
from napts.problems.splits import DataSplits

N = 10
INPUTS = torch.arange(float(N)).unsqueeze(1)
TARGETS = torch.arange(N)


class Numbered(Dataset):
    """Samples made one by one, the first part with random noise of all three kinds."""

    def __init__(self, noisy: bool = False, n: int = N) -> None:
        self.noisy, self.n = noisy, n
        self.reads = 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int):
        self.reads += 1
        noise = 0.0
        if self.noisy:
            noise = torch.rand(()).item() + numpy.random.rand() + random.random()
        return torch.tensor([index + noise], dtype=torch.float64), index


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(N))


class Counted(Endless):
    def __len__(self) -> int:
        return N


def values(batches) -> list[list[float]]:
    return [batch[0].flatten().tolist() for batch in batches]


def states():
    return torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()


def assert_same(first, second) -> None:
    assert torch.equal(first[0], second[0])
    assert (first[1] == second[1]).all()
    assert first[2] == second[2]


def loader(dataset=None, **options) -> DataLoader:
    return DataLoader(dataset or Numbered(), **{"batch_size": 4, **options})


FORMS = {
    "tensors": lambda: (INPUTS, TARGETS),
    "arrays": lambda: (INPUTS.numpy(), TARGETS.numpy()),
    "dictionary": lambda: {"x": INPUTS, "y": TARGETS},
    "tensor data set": lambda: TensorDataset(INPUTS, TARGETS),
    "data set": lambda: Numbered(),
    "subset": lambda: Subset(Numbered(), range(N)),
    "loader": lambda: loader(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_delivers_all_samples_in_the_runs_type(form):
    samples = as_samples(FORMS[form](), "training").to("cpu", torch.float32)
    assert len(samples) == N
    whole = samples.all()
    inputs, targets = whole.values() if isinstance(whole, dict) else whole
    assert inputs.dtype == torch.float32
    assert targets.dtype == torch.int64
    assert torch.equal(inputs, INPUTS)
    assert torch.equal(targets, TARGETS)
    assert [samples_in(batch) for batch in samples.batches(4)] == [4, 4, 2]
    assert samples_in(samples.first(2)) == 2
    assert samples.device == torch.device("cpu")


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("dictionary", "loader")])
def test_data_sets_have_the_order_of_samples_in_memory(form):
    memory = as_samples((INPUTS, TARGETS), "training")
    other = as_samples(FORMS[form](), "training").to("cpu", torch.float32)
    for start, overlap in ((0, 0.0), (2, 0.0), (1, 0.5)):
        expected = values(memory.epoch(EpochOrder(4, 3, 2, start=start, overlap=overlap)))
        assert values(other.epoch(EpochOrder(4, 3, 2, start=start, overlap=overlap))) == expected
    assert values(other.epoch(EpochOrder("full", 3, 2))) == [list(range(N))]
    assert values(other.epoch(EpochOrder("full", 3, 2, start=1))) == []
    assert (other.check("full"), other.check(4)) == (1, 3)


def test_data_sets_of_tensors_lie_in_memory_and_others_do_not():
    whole = TensorDataset(INPUTS, TARGETS)
    assert isinstance(as_samples(whole, "training"), TensorSamples)
    part = as_samples(Subset(whole, [3, 1]), "training")
    assert isinstance(part, TensorSamples)
    assert values(part.batches()) == [[3, 1]]
    dataset = Numbered()
    assert isinstance(as_samples(dataset, "training"), DatasetSamples)
    assert dataset.reads == 0


@pytest.mark.parametrize("make", [Numbered, lambda noisy: loader(Numbered(noisy), shuffle=True)])
def test_random_samples_depend_on_seed_and_epoch_and_leave_the_trainings_numbers(make):
    samples = as_samples(make(noisy=True), "training")
    torch.manual_seed(0)
    before = states()
    first = values(samples.epoch(EpochOrder(4, 1, 1)))
    values(samples.batches())
    assert_same(before, states())
    torch.rand(7), numpy.random.rand(7), random.random()
    iterator = samples.epoch(EpochOrder(4, 1, 1))
    again = []
    for batch in iterator:
        torch.rand(3), numpy.random.rand(), random.random()  # as a step of training does
        again += values([batch])
    assert again == first
    assert values(samples.epoch(EpochOrder(4, 1, 2))) != first
    assert values(samples.epoch(EpochOrder(4, 2, 1))) != first
    assert values(samples.batches()) == values(samples.batches())
    for start in (1, 2, 3):
        assert values(samples.epoch(EpochOrder(4, 1, 1, start=start))) == first[start:]


def test_a_loaders_own_generator_and_sampler_are_seeded():
    plain = as_samples(loader(shuffle=True), "training")
    own = as_samples(loader(shuffle=True, generator=torch.Generator()), "training")
    weighted = torch.utils.data.WeightedRandomSampler(
        torch.ones(N), N, generator=torch.Generator().manual_seed(4)
    )
    drawn = as_samples(loader(sampler=weighted), "training")
    for samples in (plain, own, drawn):
        first = values(samples.epoch(EpochOrder(4, 0, 1)))
        assert first == values(samples.epoch(EpochOrder(4, 0, 1)))
        assert first != values(samples.epoch(EpochOrder(4, 0, 2)))


def test_a_sampler_is_told_the_epoch():
    class Told(torch.utils.data.SequentialSampler):
        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    sampler = Told(range(N))
    list(as_samples(loader(sampler=sampler), "training").epoch(EpochOrder(4, 0, 7)))
    assert sampler.epoch == 7


def test_workers_draw_the_same_numbers_in_a_resumed_epoch():
    samples = as_samples(loader(Numbered(noisy=True), num_workers=1), "training")
    first = values(samples.epoch(EpochOrder(4, 1, 1)))
    assert values(samples.epoch(EpochOrder(4, 1, 1, start=2))) == first[2:]


def test_a_loader_keeps_to_its_own_batches():
    samples = as_samples(loader(drop_last=True), "training")
    assert (len(samples), samples.check(4)) == (8, 2)
    message = "budget.batch_size: found 5, allowed: 4, that of the DataLoader"
    with pytest.raises(ValueError, match=message):
        samples.check(5)
    with pytest.raises(ValueError, match=r"budget.overlap: found 0.5, allowed: 0 with a DataL"):
        samples.epoch(EpochOrder(4, 0, 1, overlap=0.5))
    with pytest.raises(ValueError, match="start must lie between 0 and 2 batches, got 3"):
        samples.epoch(EpochOrder(4, 0, 1, start=3))
    batches = torch.utils.data.BatchSampler(range(N), 3, drop_last=False)
    assert as_samples(DataLoader(Numbered(), batch_sampler=batches), "training").check(3) == 4


def test_an_iterable_data_set_of_known_length_comes_by_a_loader():
    samples = as_samples(loader(Counted()), "training")
    assert isinstance(samples, LoaderSamples)
    assert (len(samples), samples.check(4)) == (N, 3)
    assert [len(batch) for batch in samples.epoch(EpochOrder(4, 0, 1, start=1))] == [4, 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Counted(), "found Counted, an IterableDataset, allowed: a DataLoader over it"),
        (loader(Endless()), "DataLoader over Endless without a length, allowed"),
        (loader(batch_size=None), "batch_size: found None, allowed: 1, 2, ... for a DataLoader"),
        (loader(num_workers=1, persistent_workers=True), "persistent_workers: found True, allow"),
        (loader(drop_last=True), "drop_last: found True, allowed: False, since every sample"),
        ((INPUTS, TARGETS[:3]), "all tensors of a set must have the same length, got 10 and 3"),
        (torch.tensor(3.0), "all tensors of a set must have the same length"),
        (numpy.array(["a", "b"]), "found an array of <U1, allowed: numbers"),
        ("text", "found str, allowed: a tensor or NumPy array, a tuple or dictionary of these"),
        ((INPUTS, [1, 2]), "found int, allowed: a tensor or NumPy array"),
        ((), "found tuple, allowed: a tensor or NumPy array"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(data, message):
    with pytest.raises(ValueError, match="^validation samples: .*" + message) as caught:
        as_samples(data, "validation")
    assert "\n" not in str(caught.value)


def test_a_data_sets_own_collate_makes_the_batch():
    class Pairs(Numbered):
        @staticmethod
        def collate_fn(samples):
            inputs, targets = zip(*samples, strict=True)
            return {"double": 2 * torch.stack(inputs), "targets": torch.tensor(targets)}

    batch = as_samples(Pairs(), "training").first(3)
    assert batch["double"].flatten().tolist() == [0, 2, 4]


def test_several_samples_are_read_at_once_where_the_data_set_can():
    class AtOnce(Numbered):
        def __getitems__(self, indices: list[int]):
            self.asked = indices
            return [self[index] for index in indices]

    dataset = AtOnce()
    as_samples(dataset, "training").first(3)
    assert dataset.asked == [0, 1, 2]


def test_arrays_that_cannot_be_written_are_copied():
    array = INPUTS.numpy().copy()
    array.flags.writeable = False
    assert torch.equal(as_samples(array, "training").all(), INPUTS)


# --- types and digests ---------------------------------------------------------------------------


def test_integers_stay_integers_and_floats_follow_the_run():
    given = {
        "tokens": torch.arange(4, dtype=torch.int32),
        "mask": torch.tensor([True, False, True, False]),
        "pixels": torch.arange(4, dtype=torch.uint8),
        "half": torch.ones(4, dtype=torch.float16),
        "waves": torch.ones(4, dtype=torch.complex64),
        "numbers": torch.ones(4),
    }
    found = as_samples(given, "training").to("cpu", torch.float64).all()
    kinds = {name: tensor.dtype for name, tensor in found.items()}
    assert kinds == {
        "tokens": torch.int32,
        "mask": torch.bool,
        "pixels": torch.uint8,
        "half": torch.float64,
        "waves": torch.complex128,
        "numbers": torch.float64,
    }


class Holding(Dataset):
    def __init__(self, values, labels, path: str = "/a") -> None:
        self.values, self.labels, self.path = values, labels, path

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int):
        return self.values[index], self.labels[index]


def digest_of(*parts) -> str:
    return DataSplits.of(parts, "cpu", torch.float32).digest


def test_digests_see_what_lies_in_memory():
    tensors = (INPUTS, TARGETS)
    assert digest_of(tensors, tensors, tensors) == digest_of(*[TensorDataset(*tensors)] * 3)
    base = Holding(INPUTS, TARGETS.tolist())
    variants = [
        base,
        Holding(INPUTS + 1, TARGETS.tolist()),
        Holding(INPUTS, TARGETS.flip(0).tolist()),
        Holding(INPUTS.numpy()[:9], TARGETS.tolist()[:9]),
        Subset(base, [1, 2]),
        Subset(base, [1, 3]),
        ConcatDataset([base, base]),
        DataLoader(Holding(INPUTS * 3, TARGETS.tolist()), batch_size=4),
        Numbered(),
        Numbered(n=9),
    ]
    found = [digest_of(variant, tensors, tensors) for variant in variants]
    assert len(set(found)) == len(variants)
    assert all(text.startswith("partial-") for text in found)
    moved = Holding(INPUTS.clone(), TARGETS.tolist(), path="/b")
    assert digest_of(moved, tensors, tensors) == found[0]
    joint = ConcatDataset([TensorDataset(INPUTS), TensorDataset(INPUTS)])
    assert not digest_of(joint, tensors, tensors).startswith("partial-")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (INPUTS, r"found Tensor, allowed: \(training, validation, test\) samples"),
        ((INPUTS, INPUTS), r"found 2 parts, allowed: \(training"),
        ((INPUTS[:0], INPUTS, INPUTS), "found no training samples, allowed: at least 1"),
        ((INPUTS, INPUTS[:0], INPUTS), "found no validation samples, allowed: at least 1"),
        ((INPUTS, INPUTS, INPUTS[:0]), "found no test samples, allowed: at least 1"),
    ],
)
def test_data_are_three_sets(parts, message):
    class Odd(Problem):
        def network(self):
            return torch.nn.Linear(1, 1)

        def data(self, root=None):
            return parts

        def loss(self, model, batch):
            return model(batch).mean()

    with pytest.raises(ValueError, match=r"Odd\.data: " + message):
        Odd().load()
