"""What is said about methods for differential equations is said of their thinned copies too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.made_runs import write_run
from napts.analysis import load_collection
from napts.cli.commands import main
from napts.experiment import Study, parse_spec, run_all
from napts.papers.equations import equation_tables
from napts.papers.figures.equations import equation_drawings
from napts.plotting.curves import curve, in_step
from napts.plotting.drawings import Drawing
from napts.plotting.style import style
from napts.records import read_runs, thinning
from napts.records.condense import condense_packed
from napts.records.metric import Metric

ERROR, RATE = Metric("relative_error", "min"), 0.01
STUDY: dict[str, Any] = {
    "experiment": "small",
    "seeds": [0, 1, 2],
    "workload": {
        "name": "burgers",
        "points": 25,
        "hidden_layers": 2,
        "width": 6,
        "grid": [6, 11],
    },
    "budget": {"passes": 30},
    "execution": {"record_steps": False},
    "methods": [
        {"method": "ASPQN", "local_steps": 3},
        {"method": "MSPQN", "local_steps": 3},
        {"method": "MomentumLBFGS", "label": "L-BFGS"},
        {"method": "Adam", "lr": RATE},
        {"method": "TR"},
    ],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Records of a small study, and the same packed and thinned."""
    full, few = (tmp_path_factory.mktemp(name) for name in ("full", "few"))
    study = parse_spec(STUDY)
    assert isinstance(study, Study)
    assert {outcome.state for outcome in run_all(study.runs(), full)} == {"done"}
    write_run(
        full,
        method="Adam",
        workload="burgers",
        experiment="tune-burgers-Adam",
        kind="tuning",
        options={"lr": RATE},
        metric=ERROR,
        epochs=2,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LONG", 12), ("WHOLE", 3), ("RATIO", 1.5)):
            patch.setattr(thinning, name, value)
        condense_packed(full, few, thinned=True)
    return full, few


def test_fewer_rows(folders: tuple[Path, Path]) -> None:
    full, few = ({run.run_key: run for run in read_runs(folder)[0]} for folder in folders)
    thinned = {key for key, run in few.items() if run.thinned is not None}
    assert {few[key].method for key in thinned} == {"MomentumLBFGS", "Adam", "TR"}
    for key in thinned:
        assert len(few[key].epochs) < len(full[key].epochs)
    assert sum(len(few[key].epochs) for key in thinned) < 0.7 * sum(
        len(full[key].epochs) for key in thinned
    )


def test_claims_have_the_same_numbers(folders: tuple[Path, Path]) -> None:
    found = []
    for folder in folders:
        result = CliRunner().invoke(main, ["claims", str(folder), "--json"])
        assert result.exit_code == 0, result.output
        found.append(json.loads(result.output))
    assert rounded(found[1]) == rounded(found[0])
    tested = {row["claim"]: row["verdict"] for row in found[0] if row["section"]}
    assert {"P1", "P2", "P3"} <= set(tested)
    assert "not tested" not in {tested["P1"], tested["P3"]}


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return f"{value:.10g}" if isinstance(value, float) else value


def test_tables_of_equations_are_the_same(folders: tuple[Path, Path]) -> None:
    (full,), (few,) = (load_collection(folder).of_kind("comparison") for folder in folders)
    tables = equation_tables(full)
    assert len(tables) == 3
    assert equation_tables(few) == tables


def test_figures_have_the_same_numbers_at_the_epochs_that_are_kept(
    folders: tuple[Path, Path],
) -> None:
    full, few = (
        drawing_of(folder).data.set_index(["label", "seed", "epoch"]) for folder in folders
    )
    assert 0.3 * len(full) < len(few) < 0.8 * len(full)
    full = full.loc[few.index]
    assert few["method"].tolist() == full["method"].tolist()
    for name in few.columns.difference(["method", "state", "batches"]):
        assert few[name].to_numpy() == pytest.approx(full[name].to_numpy(), nan_ok=True), name


def drawing_of(folder: Path) -> Drawing:
    """Return the figure of errors by gradients."""
    (section,) = load_collection(folder).of_kind("comparison")
    return next(iter(equation_drawings(section)))


def test_curves_are_those_of_all_rows_at_the_epochs_that_all_seeds_have(
    folders: tuple[Path, Path],
) -> None:
    """Where only one seed has a row, its value is no mean over seeds."""
    frames = [load_collection(f).of_kind("comparison")[0].epochs for f in folders]
    rates = "backwards_total", ERROR.column("val")
    for label in frames[0]["label"].unique():
        full, few = (frame[frame["label"] == label] for frame in frames)
        end = min(full.groupby("seed")["epoch"].max())
        whole, shown = curve(full, *rates, end), curve(in_step(few), *rates, end)
        assert (
            len(shown.x) == len(whole.x) if few["merged_epochs"].isna().all() else len(shown.x) > 4
        )
        for point in zip(shown.x, shown.middle, shown.low, shown.high, strict=True):
            there = zip(whole.x, whole.middle, whole.low, whole.high, strict=True)
            assert any(point == pytest.approx(other, rel=1e-12) for other in there)


def test_the_figure_is_drawn(folders: tuple[Path, Path]) -> None:
    full, few = (drawing_of(folder) for folder in folders)
    with style():
        lines = [drawing.figure().axes[1].get_lines() for drawing in (full, few)]
    assert all(len(line.get_xdata()) for line in lines[1])
    for place in (0, -1):  # both ends of all that is drawn
        ends = [sorted({float(np.ravel(line.get_xdata())[place]) for line in own}) for own in lines]
        assert ends[1][place] == ends[0][place]
