"""Logistic regression in runs, and the known minima of real sets, where there are the files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import napts
from napts.experiment import RunSpec, run
from napts.optim.sums import LogisticSum
from napts.problems import DataMissing, get_problem, problem_class
from napts.problems.logistic import Logistic
from napts.problems.minimum import minimiser
from napts.records.read import load_run

MINIMA = {
    "australian-logistic": 0.3417260932,
    "australian-scale-logistic": 0.3310238168,
    "mushrooms-logistic": 0.0144858661,
    "phishing-logistic": 0.1868285505,
    "a9a-logistic": 0.3233795825,
    "w8a-logistic": 0.1261806865,
}
"""Found by another program, by Newton's method in a trust region; penalty 1/p, no bias."""


def test_a_run(rows_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPTS_DATA", str(rows_root))
    spec = RunSpec.model_validate(
        {
            "experiment": "tests",
            "workload": {"name": "libsvm-logistic", "sparse": True},
            "optimizer": {"method": "TR", "order": 2},
            "budget": {"epochs": 30},
            "precision": "float64",
        }
    )
    outcome = run(spec, rows_root / "records")
    rows = load_run(outcome.path).epochs
    assert outcome.final is not None
    assert spec.as_dict()["budget"]["batch_size"] == "full"
    assert rows[-1]["val_gap"] == outcome.final["test_gap"]
    assert 0 < rows[-1]["val_gap"] < 0.1 * rows[0]["val_gap"]
    assert {"val_gradient_norm", "val_accuracy"} <= set(rows[-1])


@pytest.mark.parametrize("method", ["SGD", "NAPTS"])
def test_minibatches_and_other_methods(
    rows_root: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("NAPTS_DATA", str(rows_root))
    for sparse in (True, False):
        spec = RunSpec.model_validate(
            {
                "experiment": "tests",
                "workload": {"name": "libsvm-logistic", "sparse": sparse},
                "optimizer": {"method": method},
                "budget": {"epochs": 2, "batch_size": 16},
            }
        )
        assert run(spec, rows_root / "records").state == "done"


def real(name: str) -> Logistic:
    problem = get_problem(name)
    assert isinstance(problem, Logistic)
    try:
        problem.load(dtype=torch.float64)
    except DataMissing:
        pytest.skip("needs the file")
    return problem


@pytest.mark.usefixtures("own_cache")
@pytest.mark.filterwarnings("ignore:w8a")
@pytest.mark.parametrize("name", MINIMA)
def test_minima_are_the_known_ones(name: str) -> None:
    assert real(name).minimum == pytest.approx(MINIMA[name], abs=1e-10)


@pytest.mark.parametrize(
    ("name", "samples", "positive"),
    [
        ("australian-logistic", 690, 307),
        ("mushrooms-logistic", 8124, 4208),
        ("phishing-logistic", 11055, 6157),
        ("a9a-logistic", 32561, 7841),
    ],
)
def test_sizes_and_labels_are_the_known_ones(name: str, samples: int, positive: int) -> None:
    whole = real(name).load(dtype=torch.float64).train
    inputs, labels = whole.all()
    assert inputs.shape == (samples, problem_class(name).features)  # pyright: ignore[reportAttributeAccessIssue]
    assert labels.unique().tolist() == [-1.0, 1.0]
    assert int((labels > 0).sum()) == positive


def test_the_line_without_a_label_of_w8a_is_said() -> None:
    with pytest.warns(UserWarning, match=r"w8a.*: 1 line without a label skipped: 49750"):
        whole = real("w8a-logistic").load(dtype=torch.float64).train
    assert len(whole) == 49749


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("australian-logistic", 5.3e6),
        ("australian-scale-logistic", 181),
        ("mushrooms-logistic", 429),
        ("phishing-logistic", 483),
        ("a9a-logistic", 2.4e4),
    ],
)
def test_hessians_at_minima_have_the_known_conditions(name: str, condition: float) -> None:
    problem = real(name)
    samples = problem.load(dtype=torch.float64).train
    inputs, labels = samples.all()
    weight = nn.Parameter(torch.zeros(inputs.shape[1]).double())
    total = LogisticSum.of([weight], inputs, labels, problem.penalty).prepared()
    multiply = total.hessian(minimiser(total))
    columns = [multiply([unit])[0] for unit in torch.eye(len(weight)).double()]
    sizes = torch.linalg.eigvalsh(torch.stack(columns))
    assert (sizes[-1] / sizes[0]).item() == pytest.approx(condition, rel=0.05)


COSTS = [
    ("australian-scale-logistic", "SSN", {"share": 0.1}, 10, 10),
    ("australian-scale-logistic", "MLVR", {"shares": (0.1,)}, 29, 46),
    ("australian-scale-logistic", "MLVR", {"shares": (0.01, 0.1)}, 43, 5),
    ("australian-scale-logistic", "SVRG", {"lr": 1.0}, 121, 0),
    ("australian-scale-logistic", "SARAH", {"lr": 1.0}, 115, 0),
    ("mushrooms-logistic", "SSN", {"share": 0.1}, 14, 14),
    ("mushrooms-logistic", "MLVR", {"shares": (0.1,)}, 44, 76),
    ("mushrooms-logistic", "MLVR", {"shares": (0.01, 0.1)}, 64, 11),
]
"""Gradients and Hessian-vector products to a gap of 1e-6, of prototypes and one seed: pointers."""


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("name", "method", "options", "gradients", "products"), COSTS)
def test_costs_are_about_those_of_prototypes(
    name: str, method: str, options: dict[str, Any], gradients: float, products: float
) -> None:
    problem = real(name)
    samples = problem.load(dtype=torch.float64).train.all()
    spent = []
    for seed in range(3):
        model = problem.build_model(0).double()
        (weight,) = model.parameters()
        total = problem.sum(model, samples)
        optimizer = getattr(napts, method)([weight], seed=seed, **options)
        cost = [0.0, 0.0]
        while total.value([weight.detach().reshape(-1)]) - problem.minimum > 1e-6:
            optimizer.step(total)
            cost[0] += optimizer.last_step.backwards
            cost[1] += optimizer.last_step.hessian_products
            assert cost[0] < 3 * gradients
        spent.append(cost)
    (_, middle, _) = sorted(spent)
    assert middle == pytest.approx([gradients, products], rel=0.4, abs=2)


def test_the_stand_in_for_gisette_is_of_its_size_and_the_same_in_every_run() -> None:
    whole = real("mnist49-logistic").load(dtype=torch.float64).train
    inputs, labels = whole.all()
    assert inputs.shape == (6000, 5000)
    assert inputs.layout is torch.strided
    assert int((labels > 0).sum()) == 3000
    inputs = inputs[:, inputs.any(0)]  # some products of pixels are always zero
    assert inputs.shape[1] > 4900
    assert (inputs.amin(0) == -1).all()
    assert (inputs.amax(0) == 1).all()
    # Half of the features tell nothing of the labels: their correlations are those of chance.
    correlations = (labels @ (inputs - inputs.mean(0))).abs() / inputs.std(0) / 6000
    chance = 6000**-0.5
    assert 0.45 < (correlations < 2.5 * chance).double().mean() < 0.7
    assert whole.fingerprint() == ("2799c94cb1cb4c79", True)
