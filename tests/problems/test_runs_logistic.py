"""Logistic regression in runs, and the known minima of real sets, where there are the files."""

from pathlib import Path

import pytest
import torch

from napts.experiment import RunSpec, run
from napts.problems import DataMissing, get_problem, problem_class
from napts.problems.logistic import Logistic
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
