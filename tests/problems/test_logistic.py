"""Logistic regression as a problem: what is in a small file, and the known minima of real ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napts.optim.batch import Batch
from napts.optim.sums import LogisticSum
from napts.problems import DataInvalid, DataMissing, get_problem
from napts.problems.logistic import Logistic, Scores
from napts.problems.minimum import CACHE, TOLERANCE, minimiser
from napts.problems.scaling import scaled
from tests.helpers.rows import ROWS


def small(**options: object) -> Logistic:
    found = get_problem("libsvm-logistic", options)
    assert isinstance(found, Logistic)
    return found


def loaded(root: Path, **options: object) -> tuple[Logistic, nn.Module, tuple[torch.Tensor, ...]]:
    problem = small(**options)
    splits = problem.load(root, dtype=torch.float64)
    model = problem.build_model(0).double()
    nn.init.constant_(next(model.parameters()), 0.3)
    return problem, model, splits.train.all()


def test_labels_are_mapped_and_the_loss_is_the_formula(rows_root: Path) -> None:
    problem, model, (inputs, labels) = loaded(rows_root, penalty=0.02)
    table = np.loadtxt(
        [
            line.replace(":", " ")
            for line in (rows_root / "libsvm" / "data.txt").read_text().splitlines()
        ]
    )
    np.testing.assert_array_equal(labels, np.where(table[:, 0] == 2, 1, -1))
    np.testing.assert_array_equal(inputs, table[:, 2::2])
    margins = labels.numpy() * (table[:, 2::2] @ [0.3, 0.3, 0.3])
    expected = np.log1p(np.exp(-margins)).mean() + 0.01 * 3 * 0.09
    assert problem.loss(model, (inputs, labels)).item() == pytest.approx(expected, rel=1e-14)


def test_all_three_sets_are_the_whole_and_the_penalty_is_one_over_it(rows_root: Path) -> None:
    problem = small()
    splits = problem.load(rows_root)
    assert splits.train is splits.validation is splits.test
    assert len(splits.train) == ROWS
    assert problem.penalty == 1 / ROWS
    assert splits.train.all()[0].dtype == torch.float32


@pytest.mark.parametrize("sparse", [True, False])
def test_metrics(rows_root: Path, sparse: bool) -> None:
    problem, model, (inputs, labels) = loaded(rows_root, sparse=sparse)
    assert inputs.layout is (torch.sparse_csr if sparse else torch.strided)
    found = problem.evaluate(model, problem.load(rows_root, dtype=torch.float64).validation)
    weight = next(model.parameters())
    scores = (inputs.to_dense() @ weight.reshape(-1)).detach()
    (gradient,) = torch.autograd.grad(problem.loss(model, (inputs, labels)), weight)
    assert found["gap"] == pytest.approx(found.loss - problem.minimum, abs=1e-16)
    assert found["gap"] > 0.01
    assert found["gradient_norm"] == pytest.approx(gradient.norm().item(), rel=1e-12)
    assert found["accuracy"] == ((scores > 0) == (labels > 0)).double().mean()
    torch.testing.assert_close(model(inputs).detach(), scores)


def test_a_whole_batch_is_one_sum_however_often_it_is_asked_for(rows_root: Path) -> None:
    problem, model, whole = loaded(rows_root)
    total = problem.batch(model, whole)
    assert isinstance(total, LogisticSum)
    assert problem.batch(model, tuple(whole)) is total
    assert problem.batch(problem.build_model(1).double(), whole) is not total
    part = problem.batch(model, (whole[0][:8], whole[1][:8]))
    assert isinstance(part, LogisticSum)
    assert (len(part), part.penalty) == (8, 1 / ROWS)
    assert isinstance(part, Batch)


@pytest.mark.parametrize("sparse", [True, False])
def test_a_bias_is_a_feature_that_is_one(rows_root: Path, sparse: bool) -> None:
    _, model, (inputs, _) = loaded(rows_root, bias=True, sparse=sparse)
    assert isinstance(model, Scores)
    assert inputs.to_dense().shape == (ROWS, 4)
    assert (inputs.to_dense()[:, 3] == 1).all()
    assert model.weight.shape == (1, 4)


@pytest.mark.parametrize("sparse", [True, False])
def test_scaling(sparse: bool) -> None:
    table = torch.tensor([[1.0, 0, 4, 0], [-2, 0, 2, 3], [0, 0, 0, 1]]).double()
    given = table.to_sparse_csr() if sparse else table
    assert scaled(given, "none") is given
    largest = scaled(given, "maxabs")
    assert largest.layout is given.layout
    expected = [[0.5, 0, 1, 0], [-1, 0, 0.5, 1], [0, 0, 0, 1 / 3]]
    torch.testing.assert_close(largest.to_dense(), torch.tensor(expected).double())
    between = scaled(given, "minmax")
    expected = [[1, 0, 1, -1], [-1, 0, 0, 1], [1 / 3, 0, -1, -1 / 3]]
    torch.testing.assert_close(between, torch.tensor(expected).double())
    standard = scaled(given, "standard")
    torch.testing.assert_close(standard.mean(0), torch.zeros(4).double())
    torch.testing.assert_close(standard.square().mean(0), torch.tensor([1.0, 0, 1, 1]).double())


def test_options_make_other_data(rows_root: Path) -> None:
    digests = {
        small(**options).load(rows_root).digest
        for options in ({}, {"scale": "minmax"}, {"bias": True}, {"sparse": True})
    }
    assert len(digests) == 4
    assert small().load(rows_root).digest in digests


def test_what_is_missing_or_wrong_is_said_in_one_line(rows_root: Path) -> None:
    with pytest.raises(DataMissing) as caught:
        get_problem("a9a-logistic").load(rows_root)
    told = str(caught.value)
    assert told.startswith("data set 'a9a' is not (completely) in ")
    assert "/libsvm: put a9a.txt or " in told
    assert told.endswith("--data-root or NAPTS_DATA")
    assert "napts data prepare" not in told
    with pytest.raises(DataMissing, match=r"data set 'other.txt' is not .*: put it there, or name"):
        small(file="other.txt").load(rows_root)
    (rows_root / "libsvm" / "a9a").write_text("+1 124:1\n")
    with pytest.raises(DataInvalid, match=r"line 1: found '124:1', allowed: indices up to 123"):
        get_problem("a9a-logistic").load(rows_root)


def test_networks_of_known_sets_need_no_data() -> None:
    model = get_problem("w8a-logistic", {"bias": True}).build_model(0)
    assert [tuple(p.shape) for p in model.parameters()] == [(1, 301)]


def test_the_minimiser_is_kept_and_never_believed(rows_root: Path, tmp_path: Path) -> None:
    problem, _, whole = loaded(rows_root)
    kept = tmp_path / "cache" / "minima"
    smallest = problem.minimum
    (path,) = kept.iterdir()
    theta = torch.tensor(json.loads(path.read_text())["theta"], dtype=torch.float64)
    inputs, labels = whole
    total = LogisticSum.of([torch.zeros(3).double()], inputs, labels, problem.penalty)
    assert total.value_and_gradient([theta])[1][0].norm() <= TOLERANCE
    rng = np.random.default_rng(0)
    for shift in rng.normal(size=(20, 3)):
        assert total.value([theta + torch.from_numpy(shift)]) > smallest
    again = loaded(rows_root)[0]
    assert again.minimum == smallest
    for text in ("", "{}", '{"theta": [1.0]}', '{"theta": [0.0, 0.0, 0.0]}', '{"theta": ["x"]}'):
        path.write_text(text)
        assert loaded(rows_root)[0].minimum == pytest.approx(smallest, abs=1e-15)
        assert json.loads(path.read_text())["theta"] == pytest.approx(theta.tolist(), abs=1e-8)
    assert loaded(rows_root, penalty=0.1)[0].minimum > smallest
    assert len(list(kept.iterdir())) == 2


def test_a_cache_that_cannot_be_written_does_no_harm(
    rows_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = loaded(rows_root)[0].minimum
    monkeypatch.setenv(CACHE, str(tmp_path / "libsvm" / "data.txt"))
    assert loaded(rows_root)[0].minimum == expected


def test_a_sum_without_a_minimum_is_an_error() -> None:
    inputs = torch.ones(2, 1).double()
    total = LogisticSum.of([nn.Parameter(torch.zeros(1).double())], inputs, torch.ones(2), 0.0)
    with pytest.raises(ArithmeticError, match="no minimum found"):
        minimiser(total, tolerance=0.0)
