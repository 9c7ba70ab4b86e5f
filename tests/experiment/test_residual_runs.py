"""Runs on residual networks: any method trains them, RMTR resumes as if nothing had happened."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import napts
from napts.analysis import epochs_frame
from napts.cli.commands import main
from napts.experiment import RunSpec, run
from napts.problems import get_problem
from napts.records import load_run
from tests.helpers.stopped import assert_stopping_changes_nothing

SMALL: dict[str, Any] = {"train_samples": 60, "validation_size": 20, "width": 4, "blocks": 8}
CASES: list[dict[str, Any]] = [
    {},
    {"levels": 2, "transfer": "nodal", "blocks": 9},
    {"cycle": "F", "nested_steps": 2, "levels": 4},
    {"model": "newton-cg", "levels": 2},
    {"share": 0.4},
]
OTHERS = ("TR", "NTR", "APTS", "NAPTS", "APTSD", "ASTROM", "Adam", "SGD", "LBFGS")


def _spec(method: str = "RMTR", problem: str = "sine-resnet", **options: Any) -> RunSpec:
    workload = {**SMALL, "blocks": options.pop("blocks", 8)}
    budget = options.pop("budget", {"epochs": 6})
    return RunSpec.model_validate(
        {
            "experiment": "tests",
            "workload": {"name": problem, **workload},
            "optimizer": {"method": method, **options},
            "budget": budget,
            "execution": {"checkpoint_every_s": 0.0},
        }
    )


@pytest.mark.parametrize("size", ["full", 16])
@pytest.mark.parametrize("options", CASES)
def test_a_run_that_was_stopped_ends_the_same(
    options: dict[str, Any], size: Any, tmp_path: Path
) -> None:
    spec = _spec(**options, budget={"epochs": 8 if size == "full" else 2, "batch_size": size})
    straight = assert_stopping_changes_nothing(spec, tmp_path)
    assert straight.epochs[-1]["val_loss"] < straight.epochs[0]["val_loss"]


@pytest.mark.parametrize("method", OTHERS)
def test_other_methods_train_residual_networks(method: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"shards": 2} if method == "APTSD" else {}
    record = load_run(run(_spec(method, **options), tmp_path).path)
    assert record.state == "done"
    assert "work_units" not in record.epochs[-1]


def test_work_stands_in_the_records_and_frames(tmp_path: Path) -> None:
    """Gradients of all samples, whatever the batches; other methods have one for each gradient."""
    specs = [
        _spec(budget={"epochs": 3, "batch_size": 15}, kappa=0.0),
        _spec("TR", budget={"epochs": 3, "batch_size": 15}),
    ]
    records = [load_run(run(spec, tmp_path).path) for spec in specs]
    ours = records[0]
    for row in ours.epochs[1:]:
        levels = [row[f"work_level_{level}"] for level in (1, 2, 3)]
        assert row["work_units"] == pytest.approx(sum(levels))
        assert "work_level_4" not in row
        assert row["work_units"] < row["backwards"]  # the layers outside of blocks cost something
    frame = epochs_frame(records)
    ends = frame[frame["epoch"] == 3].set_index("method")
    work = sum(row["work_units"] for row in ours.epochs[1:])
    assert ends.loc["RMTR", "work_units_total"] == pytest.approx(work / 4)
    assert ends.loc["TR", "work_units_total"] == ends.loc["TR", "backwards_total"] / 4 == 3.0
    assert ends.loc["TR", "work_level_1_total"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["workload.name=digits-cnn"], "optimizer.levels: found Sequential without residual"),
        (["optimizer.levels=5"], "optimizer.levels: found 5, allowed: 1 to 4 for a stage of 8"),
        (["optimizer.levels=9"], "levels: found 9"),
        (["optimizer.transfer=linear"], "transfer: found 'linear'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(
        'experiment = "x"\n[workload]\nname = "sine-resnet"\nblocks = 8\n'
        '[optimizer]\nmethod = "RMTR"\n[budget]\nepochs = 1\n'
    )
    if "workload.name=digits-cnn" in arguments:
        path.write_text(path.read_text().replace("blocks = 8\n", ""))
    more = [part for argument in arguments for part in ("--set", argument)]
    found = CliRunner().invoke(main, ["run", str(path), "--records", str(tmp_path / "r"), *more])
    lines = [line for line in found.output.splitlines() if message in line]
    assert len(lines) == 1, found.output
    assert found.exit_code == 2
    assert "Traceback" not in found.output


@pytest.mark.parametrize(
    ("name", "depths", "parameters"),
    [
        ("sine-resnet", [6, 12, 24], 3 * 10 + 24 * 110 + 11),
        ("digits-resnet", [6, 12, 24], 65 * 32 + 24 * 33 * 32 + 33 * 10),
        ("mnist-resnet", [6, 12, 24], 785 * 32 + 24 * 33 * 32 + 33 * 10),
        (
            "cifar10-mini-resnet",
            [4, 8, 16],
            (27 + 1) * 16 + 8 * (144 + 1) * 16 + (144 + 1) * 32 + 8 * (288 + 1) * 32 + 33 * 10,
        ),
    ],
)
def test_networks(name: str, depths: list[int], parameters: int) -> None:
    problem = get_problem(name)
    model = problem.build_model(0)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert napts.residual_hierarchy(model, 3).depths == depths
    inputs = {
        "sine-resnet": (5, 2),
        "digits-resnet": (5, 1, 8, 8),
        "mnist-resnet": (5, 1, 28, 28),
        "cifar10-mini-resnet": (5, 3, 16, 16),
    }
    assert len(model(torch.randn(inputs[name]))) == 5


def test_the_penalty_is_the_same_for_networks_of_all_depths() -> None:
    problem = get_problem("sine-resnet", SMALL)
    model = problem.build_model(0)
    batch = torch.zeros(3, 2), torch.zeros(3, 1)
    plain = get_problem("sine-resnet", {**SMALL, "penalty": 0.0})
    hierarchy, found = napts.residual_hierarchy(model, 3), []
    with torch.no_grad():
        for layout in hierarchy.layouts:
            for p in layout.parameters:
                p.fill_(0.5)
        for level in range(3):
            with hierarchy.at(level):
                found.append(problem.loss(model, batch) - plain.loss(model, batch))
    expected = 0.5 * 1e-3 * 0.25 * (3 * 4 + 5 + 5 * 4)
    assert [float(each) for each in found] == pytest.approx([expected] * 3, rel=1e-3)
