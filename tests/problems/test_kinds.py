"""The problems of other kinds that ship: regression, language, an equation, a finite sum."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import napts
from napts.experiment import run
from napts.experiment.spec.run_spec import RunSpec
from napts.problems import EpochOrder, get_problem, problem_class, problem_names, samples_in
from napts.problems.poisson import exact, solution, source
from napts.problems.text import CHARACTERS, spelled, text, tokens_of

SMALL = {
    "diabetes-mlp": {},
    "text-gpt": {"train_samples": 64, "validation_size": 8, "test_size": 8, "width": 16},
    "poisson-pinn": {"points": 32, "hidden": 16},
    "cancer-logistic": {},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SMALL)
def test_they_are_cut_and_learn_with_napts(name, dtype):
    problem = get_problem(name, SMALL[name])
    data = problem.load(dtype=dtype)
    model = problem.build_model(0).to(dtype)
    before = problem.evaluate(model, data.validation)
    inputs = problem.example_inputs(data.train.first(2))
    stages = napts.partition_layers(model, problem.subdomains, example_inputs=inputs)
    optimizer = napts.NAPTS(stages)
    for epoch in (1, 2):
        for batch in problem.training_batches(data.train, EpochOrder(problem.batch_size, 0, epoch)):
            tensors = [batch] if isinstance(batch, torch.Tensor) else batch
            assert {t.dtype for t in tensors} <= {dtype, torch.int64}
            optimizer.step(lambda batch=batch: problem.loss(model, batch))
    after = problem.evaluate(model, data.validation)
    assert after.loss < before.loss
    sign = 1 if problem.primary[1] == "max" else -1
    assert sign * after[problem.primary[0]] > sign * before[problem.primary[0]]
    assert set(problem.fractions) <= set(after)


@pytest.mark.parametrize("name", ["diabetes-mlp", "text-gpt", "cancer-logistic"])
def test_a_run_records_their_metrics(name, tmp_path: Path):
    spec = RunSpec.model_validate(
        {
            "experiment": "tests",
            "workload": {"name": name, **SMALL[name]},
            "optimizer": {"method": "TR"},
            "budget": {"epochs": 1},
        }
    )
    outcome = run(spec, tmp_path)
    assert outcome.state == "done"
    text = (outcome.path / "epochs.jsonl").read_text()
    for metric in ("loss", problem_class(name).primary[0], *problem_class(name).fractions):
        assert f'"val_{metric}":' in text


def test_a_gpt_is_cut_between_its_blocks():
    problem = get_problem("text-gpt")
    data = problem.load()
    inputs = problem.example_inputs(data.train.first(2))
    assert inputs.dtype == torch.int64
    stages = napts.partition_layers(problem.build_model(0), 4, example_inputs=inputs)
    heads = [{name.split(".")[0] for name in stage.names} for stage in stages]
    assert heads == [{"0", "1"}, {"2"}, {"3"}, {"4", "5", "6"}]


def test_the_gpt_sees_no_character_ahead():
    model = get_problem("text-gpt").build_model(0).eval()
    ids = torch.randint(len(CHARACTERS), (2, 20), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 12] = (changed[:, 12] + 1) % len(CHARACTERS)
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:])


def test_the_text_is_true_and_its_parts_share_no_sentence():
    assert spelled(4021) == "four thousand twenty-one"
    assert spelled(315) == "three hundred fifteen"
    lines = text(0).splitlines()
    assert len(lines) == len(set(lines)) == 20_000
    assert "twelve plus seven is nineteen" in lines
    assert "nine times eight is seventy-two" in lines
    assert text(0) == text(0) != text(1)
    problem = get_problem("text-gpt")
    whole = []
    for part in (problem.load().train, problem.load().validation, problem.load().test):
        inputs, targets = part.all()
        assert torch.equal(inputs.flatten()[1:], targets.flatten()[:-1])
        characters = "".join(CHARACTERS[i] for i in inputs.flatten().tolist())
        assert torch.equal(tokens_of(characters), inputs.flatten())
        whole.append(set(characters.split("\n")[:-1]))
    train, validation, test = whole
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_text_that_does_not_suffice_is_refused():
    with pytest.raises(
        ValueError, match="train_samples: found 100000, allowed: fewer, since the text"
    ):
        get_problem("text-gpt", {"train_samples": 100_000}).load()


def test_bits_are_those_of_the_loss():
    problem = get_problem("text-gpt", SMALL["text-gpt"])
    found = problem.evaluate(problem.build_model(0), problem.load().test)
    assert found["bits_per_character"] == pytest.approx(found["loss"] / math.log(2))
    assert found["loss"] == pytest.approx(math.log(len(CHARACTERS)), rel=0.05)


def test_the_exact_solution_solves_the_equation():
    points = torch.linspace(0, 1, 101, dtype=torch.float64).unsqueeze(1).requires_grad_()
    (slope,) = torch.autograd.grad(exact(points).sum(), points, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), points)
    torch.testing.assert_close(-curvature, source(points))
    assert exact(points)[[0, -1]].abs().max() < 1e-12


class Exact(nn.Module):
    def forward(self, points):
        return exact(points) / (points * (1 - points))


def test_residual_and_error_of_the_exact_solution_vanish():
    problem = get_problem("poisson-pinn")
    data = problem.load(dtype=torch.float64)
    found = problem.evaluate(Exact(), data.test)
    assert found.loss < 1e-20
    assert found["relative_error"] < 1e-14
    assert solution(nn.Linear(1, 1).double(), torch.tensor([[0.0], [1.0]]).double()).norm() == 0
    train, test = data.train.all(), data.test.all()
    assert not set(train.flatten().tolist()) & set(test.flatten().tolist())
    assert [samples_in(b) for b in data.train.epoch(EpochOrder("full", 0, 1))] == [128]


def test_the_finite_sum_has_the_minimum_that_scikit_learn_finds():
    from sklearn.linear_model import LogisticRegression

    problem = get_problem("cancer-logistic", {"penalty": 0.1})
    data = problem.load(dtype=torch.float64)
    inputs, targets = data.train.all()
    reference = LogisticRegression(
        C=1 / (0.1 * len(targets)), fit_intercept=False, tol=1e-10, max_iter=1000
    ).fit(inputs.numpy(), targets.numpy())
    model = problem.build_model(0).double()
    with torch.no_grad():
        model.weight.copy_(torch.as_tensor(reference.coef_))
    loss = problem.loss(model, (inputs, targets))
    loss.backward()
    assert model.weight.grad.norm() < 1e-6


def test_inputs_and_targets_are_standardised_by_the_training_samples():
    data = get_problem("diabetes-mlp").load(dtype=torch.float64)
    for tensor in data.train.all():
        torch.testing.assert_close(tensor.mean(0), torch.zeros_like(tensor[0]), atol=1e-12, rtol=0)
        torch.testing.assert_close(tensor.std(0), torch.ones_like(tensor[0]))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [264, 89, 89]
    fewer = get_problem("diabetes-mlp", {"train_samples": 100}).load()
    assert len(fewer.train) == 100


def test_regression_scores_are_those_of_scikit_learn():
    from sklearn.metrics import r2_score, root_mean_squared_error

    problem = get_problem("diabetes-mlp")
    validation = problem.load(dtype=torch.float64).validation
    model = problem.build_model(3).double()
    found = problem.evaluate(model, validation, batch_size=7)
    inputs, targets = validation.all()
    outputs = model(inputs).detach()
    assert found["r2"] == pytest.approx(r2_score(targets, outputs), rel=1e-10)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(targets, outputs), rel=1e-10)
    assert found["loss"] == pytest.approx(found["rmse"] ** 2, rel=1e-10)


def test_a_target_of_another_shape_is_refused_instead_of_broadcast():
    problem = get_problem("diabetes-mlp")
    with pytest.raises(ValueError, match=r"shape \(4, 1\) and targets of shape \(4,\), allowed"):
        problem.criterion(torch.zeros(4, 1), torch.zeros(4))


def test_all_built_in_problems_are_there():
    assert {*SMALL, "digits-cnn", "cifar10-mini-deep", "synthetic-blobs"} <= set(problem_names())
