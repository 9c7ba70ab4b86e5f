import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from napts import problems
from napts.problems import TensorSamples, get_problem, options_model, problem_names
from napts.problems.holdout import split
from napts.problems.tensors import Normalisation, Prepare, RawSet, digest


def numbered(n: int) -> RawSet:
    return RawSet(torch.arange(n), torch.arange(n))


def test_split_is_disjoint_complete_and_fixed():
    torch.manual_seed(1)
    train, validation = split(numbered(100), 30)
    torch.manual_seed(2)
    again = split(numbered(100), 30)
    assert (len(train), len(validation)) == (70, 30)
    assert sorted([*train.inputs.tolist(), *validation.inputs.tolist()]) == list(range(100))
    assert torch.equal(train.inputs, again[0].inputs)
    assert torch.equal(validation.inputs, again[1].inputs)


def test_a_smaller_training_set_is_part_of_the_larger_and_holds_out_the_same_samples():
    train, validation = split(numbered(100), 30)
    few, same = split(numbered(100), 30, train_samples=20)
    assert torch.equal(few.inputs, train.inputs[:20])
    assert torch.equal(same.inputs, validation.inputs)


@pytest.mark.parametrize(
    ("validation", "train", "message"),
    [
        (10, None, "validation_size: found 10, allowed: 1 to 9"),
        (4, 7, "train_samples: found 7, allowed: 1 to 6"),
    ],
)
def test_split_refuses_more_samples_than_there_are(validation, train, message):
    with pytest.raises(ValueError, match=message):
        split(numbered(10), validation, train)


@pytest.mark.parametrize("name", ["synthetic-blobs", "synthetic-batchnorm"])
def test_synthetic_problems(name):
    splits = get_problem(name).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [300, 80, 80]
    assert splits.digest == get_problem(name).load().digest
    other = get_problem(name, {"data_seed": 1}).load()
    assert splits.digest != other.digest
    small = get_problem(name, {"train_samples": 50, "validation_size": 10}).load()
    assert [len(s) for s in (small.train, small.validation)] == [50, 10]


def test_digits_splits_are_disjoint_and_complete():
    splits = get_problem("digits-cnn").load()
    sets = (splits.train, splits.validation, splits.test)
    assert [len(s) for s in sets] == [1200, 300, 297]
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    expected = sorted(zip(images.astype(int).tolist(), targets.tolist(), strict=True))
    found = [
        (image, target)
        for s in sets
        for image, target in zip(s.inputs.flatten(1).tolist(), s.targets.tolist(), strict=True)
    ]
    assert sorted(found) == expected


def test_double_precision_reaches_the_inputs():
    splits = get_problem("digits-cnn").load(dtype=torch.float64)
    inputs, _ = splits.train.batch(slice(0, 3))
    assert inputs.dtype == torch.float64
    assert splits.train.inputs.dtype == torch.uint8
    expected = (splits.train.inputs[:3].double() / 16 - 0.305) / 0.376
    torch.testing.assert_close(inputs, expected)


def test_prepare_normalises_each_channel_and_leaves_what_is_stored():
    stored = torch.randint(0, 256, (4, 3, 2, 2), dtype=torch.uint8)
    before = stored.clone()
    constants = Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    prepared = Prepare(constants)(stored)
    for channel, (mean, std) in enumerate(zip(constants.mean, constants.std, strict=True)):
        expected = (stored[:, channel] / 255 - mean) / std
        torch.testing.assert_close(prepared[:, channel], expected)
    assert torch.equal(stored, before)


def test_prepare_leaves_stored_floating_point_inputs_too():
    stored = torch.ones(2, 1, 2, 2)
    Prepare(Normalisation((0.5,), (0.5,)))(stored)
    assert torch.equal(stored, torch.ones(2, 1, 2, 2))


@pytest.mark.parametrize("batch_size", [1, 7, 80, 1000])
def test_evaluation_over_ragged_batches_equals_the_whole_set_in_one_go(batch_size):
    problem = get_problem("synthetic-blobs")
    validation = problem.load(dtype=torch.float64).validation
    model = problem.build_model(0).double()
    found = problem.evaluate(model, validation, batch_size=batch_size)
    inputs, targets = validation.tensors()
    outputs = model(inputs)
    assert found.loss == pytest.approx(functional.cross_entropy(outputs, targets).item(), rel=1e-12)
    assert found.accuracy == (outputs.argmax(1) == targets).double().mean().item()


def test_a_mean_of_batch_means_would_be_wrong():
    problem = get_problem("synthetic-blobs")
    validation = problem.load().validation
    model = problem.build_model(0)
    means = [problem.loss(model, validation.batch(slice(a, a + 70))).item() for a in (0, 70)]
    assert problem.evaluate(model, validation, batch_size=70).loss != pytest.approx(
        sum(means) / 2, abs=1e-4
    )


def test_evaluation_changes_neither_buffers_nor_modes_nor_random_state():
    problem = get_problem("synthetic-batchnorm")
    validation = problem.load().validation
    model = problem.build_model(0)
    model[1].eval()  # one frozen layer must stay frozen
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    first = problem.evaluate(model, validation)
    assert problem.evaluate(model, validation) == first
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_modes_come_back_when_evaluation_fails():
    problem = get_problem("synthetic-batchnorm")
    model = problem.build_model(0)
    bad = TensorSamples((torch.zeros(3, 99), torch.zeros(3, dtype=torch.int64)))
    with pytest.raises(RuntimeError):
        problem.evaluate(model, bad)
    assert all(module.training for module in model.modules())


def test_an_empty_set_cannot_be_evaluated():
    problem = get_problem("synthetic-blobs")
    empty = TensorSamples((torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64)))
    with pytest.raises(ValueError, match="synthetic-blobs: cannot evaluate on an empty set"):
        problem.evaluate(problem.build_model(0), empty)


def test_sum_and_mean_agree():
    problem = get_problem("synthetic-blobs")
    outputs, targets = torch.randn(9, 4), torch.randint(4, (9,))
    totals = problem.totals(outputs, targets)
    torch.testing.assert_close(totals["loss"], 9 * problem.criterion(outputs, targets))
    assert problem.totals(torch.eye(4), torch.tensor([0, 1, 3, 2]))["correct"].item() == 2


def test_unknown_names_list_what_is_allowed():
    with pytest.raises(
        ValueError, match="workload: found 'mnist', allowed: digits-cnn, mnist-"
    ) as e:
        get_problem("mnist")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "options", [{"widht": 3}, {"train_samples": 0}, {"validation_size": 0}, {"noise": -1.0}]
)
def test_options_are_validated(options):
    with pytest.raises(ValidationError):
        get_problem("synthetic-blobs", options)


@pytest.mark.parametrize("name", problem_names())
def test_every_problem_has_defaults(name):
    problem = get_problem(name)
    assert problem.name == name
    assert problem.batch_size == "full" or problem.batch_size >= 1
    assert problem.subdomains >= 1
    assert isinstance(problem.options, options_model(name))


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="same length, got 3 and 2"):
        TensorSamples((torch.zeros(3), torch.zeros(2)))


def test_digest_sees_values_shapes_and_types():
    base = torch.zeros(4, dtype=torch.uint8)
    variants = [base, base.view(2, 2), base.to(torch.int8), base + 1]
    assert len({digest([variant]) for variant in variants}) == 4
    assert digest([base]) == digest([base.clone()])
    assert digest([torch.arange(6).view(2, 3).T]) == digest([torch.arange(6).view(2, 3).T.clone()])


FORMER = ["Workload", "WorkloadOptions", "TensorSet", "get_workload", "workload_names"]


@pytest.mark.parametrize("name", FORMER)
def test_former_names_work_and_say_what_they_are_called_now(name):
    with pytest.warns(
        DeprecationWarning, match=f"napts.problems.{name} is now called napts.problems"
    ):
        assert callable(getattr(problems, name))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = problems.Nothing


def test_a_former_set_of_tensors_is_a_set_of_samples():
    with pytest.warns(DeprecationWarning, match="TensorSet is now called .*TensorSamples"):
        made = problems.TensorSet(torch.zeros(3, 2), torch.ones(3), lambda inputs: inputs + 1)
    inputs, targets = made.batch(slice(0, 2))
    assert torch.equal(inputs, torch.ones(2, 2))
    assert torch.equal(targets, torch.ones(2))
